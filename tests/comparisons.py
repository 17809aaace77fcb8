"""A comparison as comparison.json holds it, made by hand."""

from typing import Any

DEPTH = {
    "depth": {"delta1": 0.9, "absrel": 0.1, "rmse_m": 1.5},
    "interval_95": {"depth": {"delta1": [0.85, 0.95], "absrel": None, "rmse_m": [1.0, 2.0]}},
    "slices": {"near": {"depth": {"value": 0.8, "interval_95": [0.7, 0.9]}}},
}
METADATA = {
    "schema": 2,
    "tasks": ["depth"],
    "classes": [],
    "depth_kind": "metric",
    "units": {"depth_m": "metres along the optical axis"},
    "backbone": "swiftformer_xs",
    "trained_px": [96, 128],
    "runs_on": "any device",
    "licence": {"student": "Apache-2.0", "teacher": "CC-BY-NC-4.0", "backbone": None},
    "parity": {
        "compared_with": "exported_program",
        "passed": True,
        "photographs": 32,
        "outputs": {"depth_m": {"worst": 3e-5}},
    },
}


def make_row(title: str, kind: str, p50_ms: float, **fields: Any) -> dict[str, Any]:
    """A labeller that does depth only; `fields` override what it says."""
    times = {"min": p50_ms - 1, "p50": p50_ms, "p90": p50_ms * 2, "p99": None, "core_p50": None}
    details = {"n": 9, "batch": 1, "threads": 2, "load_average": 0.5, "peak_memory_bytes": 10**9}
    return {
        "title": title,
        "kind": kind,
        **DEPTH,
        "size_px": [96, 128],
        "alignment": None,
        "latency_ms": times,
        "latency": details,
        "throughput": {"batch": 8, "images_per_s": 2000 / p50_ms},
        "hours_per_million": p50_ms / 7.2,
        "cost_per_million": None,
        "params": 2_000_000,
        "size_bytes": 8_000_000,
        "path": "runs/<b>model</b>",
        "sha256": "ab" * 32,
        **fields,
    }


def make_learned(title: str, kind: str, p50_ms: float, **fields: Any) -> dict[str, Any]:
    """A labeller that is compared with the teacher."""
    shares = {
        "agreement": {"depth": 0.83},
        "agreement_interval_95": {"depth": [0.8, 0.86]},
        "retention": {"depth": 0.95},
        "retention_interval_95": {"depth": [0.93, 0.97]},
        "speedup": {"teacher": 300 / p50_ms},
    }
    return make_row(title, kind, p50_ms, **{**shares, **fields})


def make_comparison(**changes: Any) -> dict[str, Any]:
    """Teacher, student and one file."""
    file = make_learned("ONNX FP32", "onnx", 10.0, metadata=METADATA, path="student_fp32.onnx")
    return {
        "schema": 2,
        "headline": "onnx_fp32",
        "labellers": {
            "teacher": make_row("Teacher", "teacher", 300.0),
            "student": make_learned("Student", "student", 12.0),
            "onnx_fp32": file,
        },
        "refused": [],
        "images": 12,
        "resolution": [96, 128],
        "classes": [],
        "slices": {"near": 0.25},
        "price_per_hour": None,
        "currency": "",
        "machine": {"cpu": "abacus", "cores": 2, "system": "none"},
        "versions": {"torch": "2"},
        "data": {"images": "held-out/images", "labels": "held-out/labels"},
        "protocol": "as always",
        "real": None,
        **changes,
    }

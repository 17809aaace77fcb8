"""Teacher, student and ONNX file side by side: the same photographs, one JSON, one report."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distill.evaluate import Labeller
from export.findings import (
    ONNX,
    STUDENT,
    TEACHER,
    Findings,
    examine,
    read_held_out,
    show,
    take,
)
from export.labellers import count_parameters, load_labeller, size_bytes, weights_sha256
from export.latency import Latency, measure_latency
from export.real import read_manifest, read_real
from export.real_scores import RealFindings, examine_real
from export.report import Galleries, write_report
from export.tally import (
    draw_weights,
    headlines,
    interval,
    intervals,
    retention,
)
from teacher.progress import track
from teacher.provenance import describe_machine, package_versions, write_run

COMPARISON_SCHEMA = 1
HELD_OUT_PROTOCOL = (
    "Without alignment and without test-time augmentation, every labeller on the same pixels. "
    "Depth: mean over photographs of each one's score, sky and unknown left out; normals: pooled "
    "over pixels; segments: one confusion matrix, mean over the classes that occur. Intervals: "
    "percentile bootstrap over photographs, the same draws for every labeller."
)


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Compare a teacher, its student and the student's ONNX file, and write a report."""

    teacher: Path
    """Teacher folder (model_index.json)."""
    student: Path
    """Folder of `potstill train` (student.json)."""
    onnx: Path
    """File of `potstill export`."""
    images: Path
    """Held-out photographs: image shards."""
    labels: Path
    """Their ground truth: a folder with label shards of the same names."""
    out: Path
    """Folder for comparison.json and report/index.html."""
    real: Path | None = None
    """Folder of real photographs with a manifest.json."""
    limit: int | None = None
    """Compare on so many held-out photographs only."""
    real_limit: int | None = None
    """Take so many real photographs only, evenly spread over the manifest."""
    batch: int = 8
    """Photographs in one call while accuracy is measured."""
    threads: int = 1
    """CPU threads of each labeller while it is timed."""
    runs: int = 100
    """Calls to time for each labeller."""
    seconds: float = 30.0
    """Time allowed for timing each labeller."""
    resamples: int = 1000
    """Bootstrap resamples."""
    seed: int = 0
    """Of the bootstrap."""
    pictures: int = 6
    """Held-out photographs to show, evenly spread."""
    worst_pictures: int = 2
    """Photographs to show for each task on which the student fell behind."""
    real_pictures: int = 6
    """Real photographs to show, from as many sources as there are."""

    def __post_init__(self) -> None:
        for name in ("limit", "real_limit", "batch", "threads", "runs", "resamples", "pictures"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, found {value}")


def compare(config: CompareConfig) -> dict[str, Any]:
    """Run the whole comparison, write it, and return what comparison.json holds.

    Raises FileNotFoundError or ValueError when a labeller or the data cannot be read, when the
    labels are of several sizes, and when labellers and labels name different classes.
    """
    paths = {TEACHER: config.teacher, STUDENT: config.student, ONNX: config.onnx}
    entries = read_manifest(config.real, config.real_limit) if config.real else []
    labellers = {name: load_labeller(path) for name, path in paths.items()}
    held_out = take(read_held_out(config.images, config.labels), config.limit)
    findings = examine(labellers, held_out, batch=config.batch, where=str(config.labels))
    real = None
    if config.real:
        photographs = read_real(config.real, entries, findings.sample.shape[1])
        bar = track(photographs, "real photographs", total=len(entries))
        real = examine_real(labellers, bar, findings.classes)
    comparison = {
        "schema": COMPARISON_SCHEMA,
        **compare_quality(findings, config),
        "images": len(findings.keys),
        "resolution": list(findings.sample.shape[1:3]),
        "classes": list(findings.classes),
        "machine": describe_machine(),
        "versions": package_versions(),
        "data": {"images": shown_path(config.images), "labels": shown_path(config.labels)},
        "protocol": HELD_OUT_PROTOCOL,
        "real": real.summary if real else None,
    }
    add_costs(comparison, paths, findings.sample, config)
    galleries = choose_pictures(labellers, findings, real, config)
    write_comparison(config, comparison, galleries)
    return comparison


def write_comparison(
    config: CompareConfig, comparison: Mapping[str, Any], galleries: Galleries
) -> None:
    """Write comparison.json, and the report with the run.json of this comparison beside it."""
    report = write_report(config.out / "report", comparison, galleries)
    text = json.dumps(comparison, indent=2, ensure_ascii=False, allow_nan=False)
    (config.out / "comparison.json").write_text(text + "\n", encoding="utf-8")
    write_run(report.parent, config)


def compare_quality(findings: Findings, config: CompareConfig) -> dict[str, Any]:
    """Accuracy of each labeller, agreement and retention, with bootstrap intervals."""
    weights = draw_weights(len(findings.keys), config.resamples, config.seed)
    drawn = {name: tally.resample(weights) for name, tally in findings.against_truth.items()}
    scores = {name: tally.result() for name, tally in findings.against_truth.items()}
    agreement = findings.agreement.result()
    shares = retention(drawn[TEACHER], drawn[STUDENT])
    return {
        "labellers": {
            name: {**scores[name], "interval_95": intervals(drawn[name])} for name in scores
        },
        "agreement": headlines(agreement),
        "agreement_scores": agreement,
        "retention": {t: finite(s) for t, s in retention(scores[TEACHER], scores[STUDENT]).items()},
        "retention_interval_95": {task: interval(share) for task, share in shares.items()},
    }


def finite(value: Any) -> float | None:
    """A number for JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None


def add_costs(
    comparison: dict[str, Any],
    paths: Mapping[str, Path],
    photographs: np.ndarray,
    config: CompareConfig,
) -> None:
    """Add latency, throughput, parameters and size to each labeller, and the speed-up."""
    for name, path in track(paths.items(), "timing", total=len(paths)):
        latency = measure_latency(
            path,
            photographs,
            threads=config.threads,
            runs=config.runs,
            seconds=config.seconds,
        )
        comparison["labellers"][name] |= {
            "path": shown_path(path),
            "sha256": weights_sha256(path),
            "params": count_parameters(path),
            "size_bytes": size_bytes(path),
            **latency_fields(latency),
        }
    rows = comparison["labellers"]
    comparison["speedup"] = rows[TEACHER]["latency_ms"]["p50"] / rows[ONNX]["latency_ms"]["p50"]


def shown_path(path: Path) -> str:
    """A path as seen from the working directory, where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def latency_fields(latency: Latency) -> dict[str, Any]:
    """A measurement as comparison.json states it: times apart from their circumstances."""
    fields = asdict(latency)
    times = {name: fields.pop(f"{name}_ms") for name in ("min", "p50", "p90", "p99")}
    return {"latency_ms": times, "images_per_s": fields.pop("images_per_s"), "latency": fields}


def choose_pictures(
    labellers: Mapping[str, Labeller],
    findings: Findings,
    real: RealFindings | None,
    config: CompareConfig,
) -> Galleries:
    """Photographs evenly spread, and those on which the student lost most."""
    spread = findings.spread_keys(config.pictures)
    tasks = findings.agreement.result()
    worst = {task: findings.worst_keys(task, config.worst_pictures) for task in tasks}
    keys = {*spread, *(key for chosen in worst.values() for key in chosen)}
    held_out = read_held_out(config.images, config.labels)
    shown = show(labellers, held_out, findings, keys)
    return Galleries(
        held_out=[shown[key] for key in spread],
        worst={task: [shown[key] for key in chosen] for task, chosen in worst.items()},
        real=real.specimens[: config.real_pictures] if real else (),
    )

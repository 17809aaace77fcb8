"""What each labeller costs: time, throughput, memory, size, and the price of a million photographs.

Everything is measured on the very files whose sha256 stands beside the figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from export.labellers import count_parameters, size_bytes, weights_sha256
from export.latency import Latency, Timed, measure_together
from export.lineup import ONNX, STUDENT, TEACHER, Entry

MILLION = 1_000_000


def measure_costs(
    entries: Sequence[Entry],
    photographs: np.ndarray,
    *,
    threads: int,
    runs: int,
    seconds: float,
    batch: int,
    price_per_hour: float | None,
) -> dict[str, dict[str, Any]]:
    """Labeller -> its fields in comparison.json that are not about accuracy.

    photographs: (N, H, W, 3) uint8. All are timed in turns, once at batch 1, once at `batch` for
    the throughput; threads, runs, seconds: of each, see export.latency.measure_together.
    """
    timed = {e.name: Timed(path=e.path, votes=e.votes, steps=e.steps) for e in entries}

    def time(size: int) -> dict[str, Latency]:
        return measure_together(
            timed, photographs, threads=threads, batch=size, runs=runs, seconds=seconds
        )

    single = time(1)
    many = single if batch == 1 else time(batch)
    return {
        entry.name: {
            **latency_fields(single[entry.name]),
            **throughput(single[entry.name], many[entry.name], price_per_hour),
            "path": shown_path(entry.path),
            "sha256": weights_sha256(entry.path),
            "params": count_parameters(entry.path),
            "size_bytes": size_bytes(entry.path),
        }
        for entry in entries
    }


def latency_fields(latency: Latency) -> dict[str, Any]:
    """A measurement as comparison.json states it: times apart from their circumstances."""
    fields = asdict(latency)
    times = {name: fields.pop(name) for name in tuple(fields) if name.endswith("_ms")}
    del fields["images_per_s"]
    return {
        "latency_ms": {name.removesuffix("_ms"): time for name, time in times.items()},
        "latency": fields,
    }


def throughput(single: Latency, many: Latency, price_per_hour: float | None) -> dict[str, Any]:
    """Photographs per second at the better batch size, and what a million of them take."""
    best = max(single, many, key=lambda latency: latency.images_per_s)
    hours = MILLION / best.images_per_s / 3600
    return {
        "throughput": {"batch": best.batch, "images_per_s": best.images_per_s},
        "hours_per_million": hours,
        "cost_per_million": None if price_per_hour is None else hours * price_per_hour,
    }


def shown_path(path: Path) -> str:
    """A path as seen from the working directory, where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def speedups(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Labeller -> teacher -> how many times as fast it is by the median, at batch 1."""
    medians = {name: row["latency_ms"]["p50"] for name, row in rows.items()}
    teachers = [name for name, row in rows.items() if row["kind"] == TEACHER]
    return {
        name: {teacher: medians[teacher] / medians[name] for teacher in teachers}
        for name in rows
        if name not in teachers
    }


def choose_headline(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The labeller that the report speaks of as the student: the fastest file that ships, or the
    student itself where no file was given."""
    files = [name for name, row in rows.items() if row["kind"] == ONNX]
    return min(files, key=lambda name: rows[name]["latency_ms"]["p50"], default=STUDENT)

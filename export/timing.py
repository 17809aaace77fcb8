"""`potstill latency`: how long files take on this machine, and how near they come to its limits."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from export.latency import Latency, Timed, measure_together
from export.roofline import Peaks, Roofline, measure_peaks, place
from export.ship_config import parse_size
from export.timing_config import TimingConfig
from teacher.atomic import write_atomically
from teacher.provenance import describe_machine, package_versions, sha256_file

CPU = "CPUExecutionProvider"
DEFAULT_PX = 256
"""Of photographs for a teacher or a student, which resize them as they need."""
PHOTOGRAPHS = 8
COLUMNS = (
    "file",
    "threads",
    "batch",
    "min ms",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "core ms",
    "images/s",
    "MB",
    "GFLOP",
    "limit ms",
    "of limit",
    "J/image",
)


@dataclass(frozen=True, kw_only=True)
class TimingRow:
    """One file with one count of threads and one batch."""

    file: str
    sha256: str | None
    """None for a folder"""
    latency: Latency
    roofline: Roofline | None
    """None for what is no ONNX file, and for other processors than the CPU"""


def run_timing(config: TimingConfig) -> list[TimingRow]:
    """Measure all of it; writes `out` where it is given.

    Raises ValueError and FileNotFoundError, naming the file, where one cannot be opened.
    """
    for path in config.files:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file; write one with `potstill export`")
    rows: list[TimingRow] = []
    peaks = [measure_peaks(threads) for threads in config.threads]
    for peak in peaks:
        for batch in config.batch:
            rows += _measure(config, peak, batch)
    if config.out is not None:
        write_atomically(config.out, (json.dumps(_record(rows, peaks), indent=2) + "\n").encode())
    return rows


def _measure(config: TimingConfig, peaks: Peaks, batch: int) -> list[TimingRow]:
    size_px = _size(config)
    height, width = size_px or (DEFAULT_PX, DEFAULT_PX)
    rng = np.random.default_rng(0)
    found = measure_together(
        {str(path): Timed(path=path) for path in config.files},
        rng.integers(0, 256, (PHOTOGRAPHS, height, width, 3), np.uint8),
        threads=peaks.threads,
        batch=batch,
        size_px=size_px,
        device=config.device,
        runs=config.runs,
        seconds=config.seconds,
    )
    return [
        TimingRow(
            file=name,
            sha256=sha256_file(Path(name)) if Path(name).is_file() else None,
            latency=latency,
            roofline=_roofline(Path(name), latency, peaks),
        )
        for name, latency in found.items()
    ]


def _size(config: TimingConfig) -> tuple[int, int] | None:
    return None if config.size is None else parse_size(config.size)


def _roofline(path: Path, latency: Latency, peaks: Peaks) -> Roofline | None:
    """Of the core: what happens around it is no matter of the graph."""
    if latency.core_min_ms is None or latency.onnx_px is None or latency.provider != CPU:
        return None
    from export.graph_cost import count_cost

    cost = count_cost(path.read_bytes(), latency.batch, latency.onnx_px)
    return place(cost, peaks, latency.core_min_ms)


def _record(rows: Sequence[TimingRow], peaks: Sequence[Peaks]) -> dict[str, Any]:
    return {
        "machine": describe_machine(),
        "versions": package_versions(),
        "peaks": [asdict(peak) for peak in peaks],
        "rows": [asdict(row) for row in rows],
    }


def timing_table(rows: Sequence[TimingRow]) -> Table:
    """For the terminal; "-" where nothing can be said, and no column of which nothing can."""
    cells = [_cells(row) for row in rows]
    kept = [at for at in range(len(COLUMNS)) if any(line[at] != "-" for line in cells)]
    table = Table(box=None, pad_edge=False)
    for at in kept:
        table.add_column(COLUMNS[at], justify="right" if at else "left", no_wrap=at == 0)
    for line in cells:
        table.add_row(*(line[at] for at in kept))
    return table


def _cells(row: TimingRow) -> list[str]:
    seen, roof = row.latency, row.roofline
    times_ms = (seen.min_ms, seen.p50_ms, seen.p90_ms, seen.p99_ms, seen.core_min_ms)
    return [
        Path(row.file).name,
        str(seen.threads),
        str(seen.batch),
        *(_fixed(value, 2) for value in times_ms),
        _fixed(seen.images_per_s, 1),
        _fixed(seen.peak_memory_bytes / 1e6, 0),
        _fixed(roof and roof.gflop, 2),
        _fixed(roof and roof.limit_ms, 2),
        "-" if roof is None else f"{roof.reached:.0%}",
        _fixed(seen.energy_j_per_image, 3),
    ]


def _fixed(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

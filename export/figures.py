"""How the figures of a comparison are named, ordered and printed, on the page and in a terminal."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rich.table import Table

TASK_TITLES = {"depth": "Depth", "normal": "Surface normals", "segment": "Segments"}
LABELLER_TITLES: Mapping[str, str] = {
    "teacher": "Teacher",
    "student": "Student",
    "onnx_fp32": "ONNX",
}


class Metric(NamedTuple):
    """A measure of accuracy: where comparison.json has it, and how it is printed."""

    task: str
    key: str
    label: str
    better: str
    digits: int


METRICS = (
    Metric("depth", "delta1", "δ1, within 25 %", "↑", 3),
    Metric("depth", "absrel", "mean relative error", "↓", 3),
    Metric("depth", "rmse_m", "RMSE, m", "↓", 2),
    Metric("normal", "mean_deg", "mean angle, °", "↓", 2),
    Metric("normal", "median_deg", "median angle, °", "↓", 2),
    Metric("normal", "within_11_25", "within 11.25°", "↑", 3),
    Metric("segment", "miou", "mean IoU", "↑", 3),
    Metric("segment", "accuracy", "pixel accuracy", "↑", 3),
)

COSTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "fastest run, ms": lambda row: significant(row["latency_ms"]["min"]),
    "median, ms": lambda row: significant(row["latency_ms"]["p50"]),
    "90th percentile, ms": lambda row: significant(row["latency_ms"]["p90"]),
    "99th percentile, ms": lambda row: significant(row["latency_ms"]["p99"]),
    "runs timed": lambda row: str(row["latency"]["n"]),
    "photographs per second": lambda row: significant(row["images_per_s"]),
    "hours per million": lambda row: significant(1e6 / row["images_per_s"] / 3600),
    "peak memory": lambda row: megabytes(row["latency"]["peak_memory_bytes"]),
    "parameters": lambda row: f"{row['params'] / 1e6:.1f} M",
    "size of the weights": lambda row: megabytes(row["size_bytes"]),
}
"""Label -> the text for a labeller's entry in comparison.json."""


def fixed(value: float | None, digits: int) -> str:
    """A number with so many decimals, or a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def significant(value: float | None) -> str:
    """A number with two or three significant digits, never in powers of ten."""
    if value is None or value != value:
        return "–"
    return f"{value:.0f}" if value >= 99.5 else f"{value:.3g}" if value >= 10 else f"{value:.2g}"


def percent(share: float | None) -> str:
    """A share of 1 as whole percent, or a dash where there is none."""
    return "–" if share is None or share != share else f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def megabytes(size: float) -> str:
    """A size in bytes, in MB of a million bytes."""
    number = f"{size / 1e6:.1f}" if size < 1e8 else f"{size / 1e6:.0f}"
    return f"{number}\N{NO-BREAK SPACE}MB"


def comparison_table(comparison: Mapping[str, Any]) -> Table:
    """A comparison for the terminal: accuracy, retention, cost."""
    rows: Mapping[str, Any] = comparison["labellers"]
    height, width = comparison["resolution"]
    title = f"{comparison['images']} held-out photographs of {width} x {height} px"
    table = Table("", title=title, title_justify="left", caption_justify="left")
    for name in map(str, rows):
        table.add_column(LABELLER_TITLES.get(name, name), justify="right")
    for metric in METRICS:
        if all(metric.task in row for row in rows.values()):
            cells = [fixed(row[metric.task][metric.key], metric.digits) for row in rows.values()]
            label = f"{TASK_TITLES[metric.task]}: {metric.label} {metric.better}"
            table.add_row(label, *cells)
    table.add_section()
    for label, text in COSTS.items():
        table.add_row(label, *(text(row) for row in rows.values()))
    kept = ", ".join(f"{t} {fixed(share, 3)}" for t, share in comparison["retention"].items())
    table.caption = f"kept: {kept}\nONNX is {significant(comparison['speedup'])} times as fast"
    return table

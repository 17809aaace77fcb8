"""How the figures of a comparison are named, ordered and printed, on the page and in a terminal."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rich.console import Group
from rich.table import Table

from distill.tally import HEADLINES
from export.lineup import TEACHER

TASK_TITLES = {"depth": "Depth", "normal": "Surface normals", "segment": "Segments"}
SLICE_TITLES = {
    "near": "near, below 3 m",
    "mid": "3 to 10 m",
    "far": "far, from 10 m",
    "edges": "edges",
    "small": "small segments",
    "sky": "sky",
    "dark": "dark",
    "low_confidence": "low confidence",
}

SLICE_METRICS = {"depth": "delta1", "normal": "mean_deg", "segment": "accuracy"}
"""Task -> the metric of a slice: most classes are absent from one, so that mIoU says little."""

Row = Mapping[str, Any]
"""A labeller's entry in comparison.json."""


class Metric(NamedTuple):
    """A measure of accuracy: where comparison.json has it, and how it is printed."""

    task: str
    key: str
    label: str
    better: str
    digits: int

    @property
    def heading(self) -> str:
        """The label with an arrow to the better end."""
        return f"{self.label}\N{NO-BREAK SPACE}{self.better}"


METRICS = (
    Metric("depth", "delta1", "δ1", "↑", 3),
    Metric("depth", "absrel", "rel. error", "↓", 3),
    Metric("depth", "rmse_m", "RMSE,\N{NO-BREAK SPACE}m", "↓", 2),
    Metric("normal", "mean_deg", "mean,\N{NO-BREAK SPACE}°", "↓", 2),
    Metric("normal", "median_deg", "median,\N{NO-BREAK SPACE}°", "↓", 2),
    Metric("normal", "within_11_25", "within 11.25°", "↑", 3),
    Metric("segment", "miou", "mean IoU", "↑", 3),
    Metric("segment", "accuracy", "accuracy", "↑", 3),
)
HEADLINE_METRICS = {m.task: m for m in METRICS if HEADLINES[m.task] == m.key}
"""Task -> the metric that stands for it."""

TIMES: Mapping[str, Callable[[Row], str]] = {
    "fastest, ms": lambda row: significant(row["latency_ms"]["min"]),
    "median, ms": lambda row: significant(row["latency_ms"]["p50"]),
    "network alone, ms": lambda row: significant(row["latency_ms"]["core_p50"]),
    "90 %, ms": lambda row: significant(row["latency_ms"]["p90"]),
    "99 %, ms": lambda row: significant(row["latency_ms"]["p99"]),
    "runs": lambda row: str(row["latency"]["n"]),
}
"""Label -> the text for a labeller."""
RESOURCES: Mapping[str, Callable[[Row], str]] = {
    "photographs per second": lambda row: significant(row["throughput"]["images_per_s"]),
    "peak memory": lambda row: megabytes(row["latency"]["peak_memory_bytes"]),
    "parameters": lambda row: f"{row['params'] / 1e6:.1f}\N{NO-BREAK SPACE}M",
    "size": lambda row: megabytes(row["size_bytes"]),
}
"""Label -> the text for a labeller."""


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


def per_million(row: Row, currency: str) -> str:
    """What a million photographs take: hours, and their price where an hour has one."""
    hours = f"{significant(row['hours_per_million'])}\N{NO-BREAK SPACE}h"
    cost = row["cost_per_million"]
    return hours if cost is None else f"{significant(cost)}\N{NO-BREAK SPACE}{currency}, {hours}"


def speedup_text(row: Row) -> str:
    """How many times as fast as the plain teacher, or nothing for a teacher."""
    return f"{significant(row['speedup'][TEACHER])}×" if "speedup" in row else ""


def bounds_text(bounds: tuple[float, float] | None, digits: int) -> str:
    """A 95 % interval, or nothing where there is none."""
    return f"{fixed(bounds[0], digits)}–{fixed(bounds[1], digits)}" if bounds else ""


def comparison_tables(comparison: Mapping[str, Any]) -> Group:
    """A comparison for the terminal: accuracy and what was kept, then costs."""
    return Group(_accuracy_table(comparison), _cost_table(comparison))


def _accuracy_table(comparison: Mapping[str, Any]) -> Table:
    rows: Mapping[str, Row] = comparison["labellers"]
    tasks = [task for task in TASK_TITLES if any(task in row for row in rows.values())]
    height, width = comparison["resolution"]
    title = f"{comparison['images']} held-out photographs of {width} x {height} px"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("", overflow="fold")
    for task in tasks:
        metric = HEADLINE_METRICS[task]
        table.add_column(f"{TASK_TITLES[task]}\n{metric.heading}", justify="right")
    table.add_column("of the teacher's\nquality", justify="right")
    for row in rows.values():
        kept = ", ".join(percent(row.get("retention", {}).get(task)) for task in tasks)
        cells = [_accuracy_cell(row, HEADLINE_METRICS[task]) for task in tasks]
        table.add_row(row["title"], *cells, kept if "retention" in row else "")
    table.caption = "below each figure its 95 % bootstrap interval over photographs"
    return table


def _accuracy_cell(row: Row, metric: Metric) -> str:
    if metric.task not in row:
        return "–"
    bounds = bounds_text(row["interval_95"][metric.task][metric.key], metric.digits)
    return f"{fixed(row[metric.task][metric.key], metric.digits)}\n[dim]{bounds}[/dim]"


def _cost_table(comparison: Mapping[str, Any]) -> Table:
    rows: Mapping[str, Row] = comparison["labellers"]
    headline = rows[comparison["headline"]]
    columns = ("median, ms", "times as fast", "per second", "memory", "size", "a million take")
    table = Table(caption_justify="left")
    table.add_column("", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows.values():
        table.add_row(
            row["title"],
            TIMES["median, ms"](row),
            speedup_text(row),
            RESOURCES["photographs per second"](row),
            RESOURCES["peak memory"](row),
            RESOURCES["size"](row),
            per_million(row, comparison["currency"]),
        )
    over = (f"{significant(x)} times as fast as {name}" for name, x in headline["speedup"].items())
    table.caption = f"{headline['title']}: {', '.join(over)}"
    return table

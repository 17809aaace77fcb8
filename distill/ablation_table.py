"""The table of an ablation, and what of a student's scores it tells."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Metric(NamedTuple):
    """A number of evaluate's result."""

    task: str
    name: str
    heading: str
    digits: int


METRICS = (
    Metric("depth", "delta1", "depth δ1 ↑", 4),
    Metric("depth", "absrel", "AbsRel ↓", 4),
    Metric("normal", "mean_deg", "normals ° ↓", 2),
    Metric("segment", "miou", "mIoU ↑", 4),
)


class Row(NamedTuple):
    """A student of the ablation, with what evaluate found."""

    name: str
    options: str
    """How it differs from the baseline, as options of `potstill train`."""
    steps: int
    photographs: int
    """That it was trained on."""
    scores: Mapping[str, Any]


def value(scores: Mapping[str, Any], metric: Metric) -> float | None:
    """A metric of a result, None if the task was not scored."""
    return scores.get(metric.task, {}).get(metric.name)


def interval(scores: Mapping[str, Any], metric: Metric) -> tuple[float, float] | None:
    """Its 95 % bootstrap interval."""
    found = scores.get("interval_95", {}).get(metric.task, {}).get(metric.name)
    return None if found is None else (found[0], found[1])


def table(rows: Sequence[Row], baseline: str, reference: Mapping[str, Any] | None) -> str:
    """Markdown: a line for each student, its difference from the baseline in brackets."""
    base = next((row.scores for row in rows if row.name == baseline), None)
    lines = [
        "| student | photographs | steps | " + " | ".join(m.heading for m in METRICS) + " |",
        "|---|---|---|" + "---|" * len(METRICS),
    ]
    if reference is not None:
        cells = " | ".join(_cell(reference, None, metric) for metric in METRICS)
        lines.append(f"| (reference) | | | {cells} |")
    for row in rows:
        against = None if row.name == baseline else base
        cells = " | ".join(_cell(row.scores, against, metric) for metric in METRICS)
        lines.append(f"| {row.name} | {row.photographs} | {row.steps} | {cells} |")
    return "\n".join(lines)


def _cell(scores: Mapping[str, Any], base: Mapping[str, Any] | None, metric: Metric) -> str:
    found = value(scores, metric)
    if found is None:
        return ""
    usual = None if base is None else value(base, metric)
    difference = "" if usual is None else f" ({found - usual:+.{metric.digits}f})"
    return f"{found:.{metric.digits}f}{difference}"

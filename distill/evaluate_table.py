"""The scores of `potstill evaluate` as text: all metrics in lines, slices in a table."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from distill.slices import SLICES
from teacher.sample import TASKS

COLUMNS = {
    ("depth", "delta1"): ("depth δ1", "{:.3f}"),
    ("normal", "mean_deg"): ("normals °", "{:.1f}"),
    ("segment", "miou"): ("mIoU", "{:.3f}"),
    ("segment", "accuracy"): ("class right", "{:.3f}"),
}
"""Task and metric -> heading and form of a column."""
WHOLE = ("segment", "miou")
"""Not told of a slice: a class that was painted there once, and is not there, has an IoU of 0, and
counts as much as the class that fills the slice."""
SLICE_TITLES = {"low_confidence": "low confidence"}


def score_lines(scores: Mapping[str, Any]) -> str:
    """Who was scored on what, and one line of metrics for each task."""
    alignment = scores.get("alignment", "none")
    fitted = "" if alignment == "none" else f", depth fitted by {alignment}"
    missing = f", {scores['missing']} more have no label" if "missing" in scores else ""
    count = f"{scores['images']} photographs of {scores['labels']}"
    lines = [f"{scores['labeller']} on {count}{missing}{fitted}"]
    for task in TASKS:
        numbers = {k: v for k, v in scores.get(task, {}).items() if isinstance(v, float)}
        if numbers:
            lines.append(f"{task:<8}" + "".join(f"  {k} {v:.3f}" for k, v in numbers.items()))
    return "\n".join(lines)


def score_table(scores: Mapping[str, Any]) -> Table:
    """All pixels, every slice, and the surest pixels: a metric for each task, with its interval."""
    shown = {key: column for key, column in COLUMNS.items() if key[0] in scores}
    table = Table(caption="95 % intervals in brackets: bootstrap over photographs")
    table.add_column("")
    table.add_column("pixels", justify="right")
    for heading, _ in shown.values():
        table.add_column(heading, justify="right")
    table.add_row("all", "", *_cells(scores, shown), end_section=True)
    slices = scores.get("slices", {})
    for name in (name for name in SLICES if name in slices):
        share = f"{slices[name]['share']:.1%}"
        cells = _cells(slices[name], shown, without=WHOLE)
        table.add_row(SLICE_TITLES.get(name, name), share, *cells)
    table.add_section()
    for share, found in scores.get("coverage", {}).items():
        table.add_row(f"surest {float(share):.0%}", "", *_cells(found, shown))
    return table


def _cells(
    scores: Mapping[str, Any],
    shown: Mapping[tuple[str, str], tuple[str, str]],
    without: tuple[str, str] | None = None,
) -> list[str]:
    return ["" if key == without else _cell(scores, *key, form) for key, (_, form) in shown.items()]


def _cell(scores: Mapping[str, Any], task: str, metric: str, form: str) -> str:
    """A value and its interval; empty where the slice has nothing of this task."""
    if task not in scores:
        return ""
    bounds = scores["interval_95"][task][metric]
    value = form.format(scores[task][metric])
    return value if bounds is None else f"{value} [{', '.join(map(form.format, bounds))}]"

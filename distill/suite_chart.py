"""Accuracy against time per photograph as a picture: a panel for each task, up left is better."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from distill.suite_results import SuiteRow, SuiteRun
from distill.suite_table import METRICS, TASK_TITLES
from teacher.atomic import atomic_file

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Of labellers: Okabe and Ito's, told apart by colour-blind people too."""
MARKERS = "oD^vPX*"
"""Of data sets; a square in the legend stands for a colour, whatever the set."""
UNALIGNED = "none"
INK = "#444444"

Point = tuple[SuiteRun, SuiteRow]


class Styles:
    """A colour for each labeller, a marker for each set."""

    def __init__(self, points: Sequence[Point]) -> None:
        labellers = dict.fromkeys(run.labeller for run, _ in points)
        self._colors = dict(zip(labellers, cycle(COLORS)))
        self._markers = dict(zip(dict.fromkeys(row.part for _, row in points), cycle(MARKERS)))

    def color(self, run: SuiteRun) -> str:
        return self._colors[run.labeller]

    def marker(self, row: SuiteRow) -> str:
        return self._markers[row.part]


def draw_chart(runs: Sequence[SuiteRun], path: Path) -> Path:
    """Write a PNG of the headline metric of each labeller on each set, over a log time axis.

    Whiskers are 95 % intervals. Hollow markers are depths that were aligned to the truth first.
    Raises ValueError when no run has scores.
    """
    from matplotlib.figure import Figure

    points = _chosen(runs)
    tasks = [task for task in METRICS if any(row.task == task for _, row in points)]
    if not tasks:
        raise ValueError(f"{path}: nothing to draw: no labeller has scores on any set")
    figure = Figure(figsize=(4.2 * len(tasks) + 0.4, 4.4), layout="constrained", dpi=150)
    styles = Styles(points)
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks):
        _draw_panel(axes, task, points, styles)
    _draw_legend(figure, points, styles)
    with atomic_file(path) as file:
        figure.savefig(file, format="png")
    return path


def _draw_panel(axes: Any, task: str, points: Sequence[Point], styles: Styles) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for run, row in points:
        if row.task == task:
            _draw_point(axes, run, row, styles)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.margins(0.15)
    name, direction = METRICS[task][0].heading.rsplit(maxsplit=1)
    if direction == "↓":
        axes.invert_yaxis()
    axes.set_title(TASK_TITLES[task], loc="left", fontweight="bold")
    axes.set_xlabel("time per photograph, ms")
    axes.set_ylabel(f"{name} (up is better)")
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_point(axes: Any, run: SuiteRun, row: SuiteRow, styles: Styles) -> None:
    key = METRICS[row.task][0].key
    value, color = row.scores[key], styles.color(run)
    low, high = row.interval_95.get(key) or (value, value)
    axes.errorbar(
        run.time_ms,
        value,
        yerr=[[max(value - low, 0)], [max(high - value, 0)]],
        color=color,
        marker=styles.marker(row),
        markerfacecolor="white" if _is_aligned(row) else color,
        markersize=7,
        elinewidth=1,
        capsize=2,
    )


def _draw_legend(figure: Any, points: Sequence[Point], styles: Styles) -> None:
    """Below the panels: colours are labellers, markers are sets, hollow is aligned."""
    from matplotlib.lines import Line2D

    def handle(label: str, color: str = INK, marker: str = "s", fill: str | None = None) -> Line2D:
        face = fill or color
        return Line2D(
            [], [], linestyle="", label=label, color=color, marker=marker, markerfacecolor=face
        )

    handles = {run.labeller: handle(run.labeller, color=styles.color(run)) for run, _ in points}
    handles |= {row.part: handle(row.part, marker=styles.marker(row)) for _, row in points}
    if any(_is_aligned(row) for _, row in points):
        aligned = "hollow: depth aligned to the truth"
        handles[aligned] = handle(aligned, fill="white")
    figure.legend(
        handles=list(handles.values()), loc="outside lower center", ncols=4, frameon=False
    )


def _is_aligned(row: SuiteRow) -> bool:
    return row.task == "depth" and row.variant != UNALIGNED


def _chosen(runs: Sequence[SuiteRun]) -> list[Point]:
    """Of each run and task the first way of scoring; of depth also the first aligned one."""
    found: dict[tuple[str, str, str, str, bool], Point] = {}
    for run in runs:
        for row in run.rows:
            key = (run.labeller, run.dataset, run.split, row.task, _is_aligned(row))
            if row.scores and row.part == run.dataset:
                found.setdefault(key, (run, row))
    return list(found.values())

"""An ablation as pictures: what each variant gains, and accuracy over the number of labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.ablation_table import METRICS, Metric, Row, interval, value
from distill.suite_chart import COLORS, INK
from teacher.atomic import atomic_file

SHOWN = tuple(metric for metric in METRICS if metric.name != "absrel")


def draw_variants(
    rows: Sequence[Row], path: Path, baseline: str, reference: Mapping[str, Any] | None
) -> Path:
    """Write a PNG: a panel for each metric, a dot with its 95 % interval for each student.

    The baseline is a line through the panel; so is the reference, dashed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.4, 1.4 + 0.32 * len(rows)), layout="constrained", dpi=130)
    panels = figure.subplots(1, len(SHOWN), sharey=True)
    base = next((row.scores for row in rows if row.name == baseline), None)
    for axes, metric in zip(panels, SHOWN):
        for place, row in enumerate(rows):
            _draw_dot(axes, place, row, metric)
        _draw_line(axes.axvline, base, metric, linestyle="-", color=COLORS[0])
        _draw_line(axes.axvline, reference, metric, linestyle="--", color=INK)
        axes.set_title(metric.heading, loc="left", fontweight="bold")
        axes.grid(True, axis="x", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [row.name for row in rows])
    panels[0].invert_yaxis()
    return _save(figure, path)


def draw_counts(rows: Sequence[Row], path: Path, reference: Mapping[str, Any] | None) -> Path:
    """Write a PNG: accuracy over the number of labelled photographs, the reference dashed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    counts = sorted(row.photographs for row in rows)
    figure = Figure(figsize=(12.4, 3.6), layout="constrained", dpi=130)
    for axes, metric in zip(figure.subplots(1, len(SHOWN)), SHOWN):
        _draw_curve(axes, rows, metric)
        _draw_line(axes.axhline, reference, metric, linestyle="--", color=INK, label="reference")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(counts))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
        axes.set_xlabel("labelled photographs")
        axes.set_title(metric.heading, loc="left", fontweight="bold")
        axes.grid(True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if reference is not None:
            axes.legend(frameon=False)
    return _save(figure, path)


def _draw_dot(axes: Any, place: int, row: Row, metric: Metric) -> None:
    found = value(row.scores, metric)
    if found is None:
        return
    low, high = interval(row.scores, metric) or (found, found)
    spread = [[max(found - low, 0)], [max(high - found, 0)]]
    axes.errorbar(found, place, xerr=spread, color=COLORS[1], marker="o", capsize=2)


def _draw_line(line: Any, scores: Mapping[str, Any] | None, metric: Metric, **style: Any) -> None:
    found = None if scores is None else value(scores, metric)
    if found is not None:
        line(found, linewidth=1, alpha=0.7, zorder=0, **style)


def _draw_curve(axes: Any, rows: Sequence[Row], metric: Metric) -> None:
    known = [row for row in rows if value(row.scores, metric) is not None]
    known.sort(key=lambda row: row.photographs)
    counts = [row.photographs for row in known]
    values = [value(row.scores, metric) or 0.0 for row in known]
    bounds = [interval(row.scores, metric) or (v, v) for row, v in zip(known, values)]
    below = [max(v - low, 0) for v, (low, _) in zip(values, bounds)]
    above = [max(high - v, 0) for v, (_, high) in zip(values, bounds)]
    axes.errorbar(counts, values, yerr=[below, above], color=COLORS[0], marker="o", capsize=2)


def _save(figure: Any, path: Path) -> Path:
    with atomic_file(path) as file:
        figure.savefig(file, format="png")
    return path

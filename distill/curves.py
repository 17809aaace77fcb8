"""The curves of a run, also of one that was resumed, as one picture."""

import csv
import math
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from distill.suite_chart import COLORS
from distill.trainer import METRICS
from teacher.atomic import atomic_file

Curve = dict[int, float]
"""Step -> value."""

PANELS = {
    "loss": ("loss/",),
    "depth": ("val/depth/delta1", "val/depth/absrel"),
    "normals, degrees": ("val/normal/mean_deg", "val/normal/median_deg"),
    "segments": ("val/segment/miou", "val/segment/accuracy"),
    "score": ("val/score",),
    "learning rate": ("learning_rate",),
}
"""Title of a panel -> the curves in it, by name or by the beginning of the name."""


def read_curves(folder: Path) -> dict[str, Curve]:
    """Name -> curve, from the CSV files of all starts of a run in OUT/metrics.

    What an earlier start logged beyond the checkpoint from which a later one went on is left out:
    the later one did it again.
    """
    starts = {int(path.parent.name.rpartition("_")[2]): path for path in folder.glob("*/*.csv")}
    curves: dict[str, Curve] = {}
    for start, path in sorted(starts.items()):
        for curve in curves.values():
            for step in [step for step in curve if step > start]:
                del curve[step]
        for name, step, value in _read_file(path):
            curves.setdefault(name, {})[step] = value
    return {name: curve for name, curve in curves.items() if curve}


def _read_file(path: Path) -> list[tuple[str, int, float]]:
    """(name, step, value) of every number in a file; a row cut short by a crash is left out."""
    found = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if None in row.values() or not (row.get("step") or "").isdigit():
                continue
            found += [
                (name, int(row["step"]), float(value))
                for name, value in row.items()
                if value and name not in ("step", "epoch")
            ]
    return found


def draw_curves(out: Path) -> Path | None:
    """Write OUT/curves.png: losses, validation metrics, learning rate over steps.

    Returns its path, or None when nothing was logged.
    """
    from matplotlib.figure import Figure

    curves = read_curves(out / METRICS)
    panels = {title: _chosen(curves, names) for title, names in PANELS.items()}
    panels = {title: found for title, found in panels.items() if found}
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.4 * columns, 3.2 * rows), layout="constrained", dpi=120)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (title, found) in zip(axes, panels.items()):
        _draw_panel(panel, title, found)
    for unused in axes[len(panels) :]:
        unused.set_visible(False)
    path = out / "curves.png"
    with atomic_file(path) as file:
        figure.savefig(file, format="png")
    return path


def _chosen(curves: Mapping[str, Curve], names: tuple[str, ...]) -> dict[str, Curve]:
    return {name: curve for name, curve in curves.items() if name.startswith(names)}


def _draw_panel(axes: Any, title: str, curves: Mapping[str, Curve]) -> None:
    from matplotlib.ticker import MaxNLocator

    for (name, curve), color in zip(curves.items(), cycle(COLORS)):
        steps = sorted(curve)
        marker = "o" if len(steps) < 30 else None
        axes.plot(
            steps,
            [curve[step] for step in steps],
            label=name.rpartition("/")[2],
            color=color,
            linewidth=1.2,
            marker=marker,
            markersize=3,
        )
    if title == "loss":
        axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=7, ncols=4, loc="best", borderaxespad=0.2)

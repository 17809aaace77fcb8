"""Draw the reliability and the risk-coverage curve of every task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

TITLES = {
    "depth": ("depth within a ratio of 1.25", "AbsRel"),
    "normal": ("normals within 11.25 degrees", "mean angle, degrees"),
    "segment": ("segmentation class", "share of wrong pixels"),
}
COLORS = ("tab:blue", "tab:orange")


def plot_scores(by_votes: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """One row for each task: reliability on the left, risk over coverage on the right.

    by_votes: number of votes -> task -> what calibration_scores.score_fit returns.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = list(next(iter(by_votes.values())))
    figure, axes = pyplot.subplots(
        len(tasks), 2, figsize=(10, 3.6 * len(tasks)), squeeze=False, layout="constrained"
    )
    for row, task in zip(axes, tasks, strict=True):
        scores = {votes: tasks_scores[task] for votes, tasks_scores in by_votes.items()}
        _draw_reliability(row[0], scores, TITLES[task][0])
        _draw_risk(row[1], scores, TITLES[task][1])
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_reliability(axes: Any, scores: Mapping[str, Any], title: str) -> None:
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for (votes, score), color in zip(scores.items(), COLORS):
        bins = score["reliability"]
        predicted, observed, share = (
            np.array(bins[name], float) for name in ("predicted", "observed", "share")
        )
        label = f"{_votes(votes)}: calibration error {score['calibration_error']:.3f}"
        axes.plot(predicted, observed, color=color, linewidth=1, label=label)
        axes.scatter(predicted, observed, 4 + 200 * share, color=color)
    axes.set(title=title, xlabel="confidence", ylabel="share that is right", ylim=(0, 1.03))
    axes.legend(loc="upper left", frameon=False)


def _draw_risk(axes: Any, scores: Mapping[str, Any], ylabel: str) -> None:
    highest = 0.0
    for (votes, score), color in zip(scores.items(), COLORS):
        for name, style in (("pixel", "-"), ("stored", "--"), ("oracle", ":")):
            label = f"{_votes(votes)}, {name}"
            risk = score["risk"][name]
            axes.plot(score["coverage"], risk, style, color=color, linewidth=1.4, label=label)
            highest = max(highest, risk[-1], max(risk[4:]))
    axes.axvline(0.8, color="0.7", linewidth=1)
    axes.set(
        title="risk of the most certain pixels",
        xlabel="coverage",
        ylabel=ylabel,
        xlim=(0, 1),
        ylim=(0, 1.05 * highest),
    )
    axes.legend(loc="upper left", frameon=False, fontsize="small")


def _votes(votes: str) -> str:
    return "1 vote" if votes == "1" else f"{votes} votes"

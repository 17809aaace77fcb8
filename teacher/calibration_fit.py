"""From pixels to the fits of a calibration: which ingredients, and what each is worth."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from teacher.calibration_pixels import Pixels
from teacher.confidence import Fit, scaled
from teacher.coverage import area_under_risk
from teacher.ingredients import INGREDIENTS
from teacher.logistic import fit_logistic

BEARABLE = 0.01
"""What leaving out ingredients may cost in all: this share of the least area that was found."""


def fit_tasks(pixels: Pixels, painted: Sequence[str], votes: int) -> Iterator[Fit]:
    """Fits of every task that the truth has: on evidence of all painted tasks, and of its own."""
    for task in pixels.right:
        for tasks in dict.fromkeys([tuple(painted), (task,)]):
            names = choose_ingredients(pixels, task, usable_ingredients(pixels, tasks))
            yield fit_ingredients(pixels, task, names, tasks=tasks, votes=votes)


def usable_ingredients(pixels: Pixels, tasks: Sequence[str]) -> list[str]:
    """The ingredients that these tasks give rise to."""
    return [name for name in pixels.evidence if set(INGREDIENTS[name].tasks) <= set(tasks)]


def fit_ingredients(
    pixels: Pixels, task: str, names: Sequence[str], *, tasks: Sequence[str] = (), votes: int = 1
) -> Fit:
    """Fit the named ingredients to what was right, where reading and truth say anything."""
    features, right = training_rows(pixels, task, names)
    weights, bias = fit_logistic(features, right)
    named = dict(zip(names, weights.tolist(), strict=True))
    return Fit(task=task, tasks=tuple(tasks), votes=votes, weights=named, bias=bias)


def choose_ingredients(pixels: Pixels, task: str, names: Sequence[str]) -> list[str]:
    """Leave out, one after the other, the ingredient that is missed least.

    First those whose weight says the opposite of what they mean: confidence is to fall where an
    ingredient speaks against a pixel. Then as long as the area under the risk-coverage curve, with
    the share of wrong pixels as risk, stays within BEARABLE of the least. The last one stays.
    """
    features, right = training_rows(pixels, task, names)
    columns = dict(zip(names, features.T, strict=True))
    best = _area(columns, right)
    while len(columns) > 1:
        absurd = _absurd(columns, right)
        areas = {name: _area(_without(columns, name), right) for name in absurd or columns}
        least = min(areas, key=lambda name: areas[name])
        if not absurd and areas[least] > (1 + BEARABLE) * best:
            break
        columns, best = _without(columns, least), min(best, areas[least])
    return list(columns)


def training_rows(pixels: Pixels, task: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, len(names)) and right (N,), float64."""
    counts = pixels.known[task] & np.isfinite(pixels.right[task])
    columns = [scaled(name, pixels.evidence[name][counts]) for name in names]
    return np.column_stack(columns).astype(np.float64), pixels.right[task][counts].astype(float)


def _without(columns: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {other: column for other, column in columns.items() if other != name}


def _absurd(columns: Mapping[str, np.ndarray], right: np.ndarray) -> list[str]:
    """The ingredients whose weight has the wrong sign in a regression on all of these."""
    weights, _ = fit_logistic(np.column_stack(list(columns.values())), right)
    signed = zip(columns, weights, strict=True)
    return [name for name, weight in signed if (weight > 0) != INGREDIENTS[name].good]


def _area(columns: Mapping[str, np.ndarray], right: np.ndarray) -> float:
    """Area under the risk-coverage curve, each half ordered by a regression on the other half.

    Rows come in the order of the photographs, so that hardly one is in both halves.
    """
    features, middle = np.column_stack(list(columns.values())), len(right) // 2
    first, second = slice(None, middle), slice(middle, None)
    areas = []
    for seen, fresh in ((first, second), (second, first)):
        weights, _ = fit_logistic(features[seen], right[seen])
        areas.append(area_under_risk(features[fresh] @ weights, 1 - right[fresh]))
    return float(np.mean(areas))

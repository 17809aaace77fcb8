"""How well confidence orders and predicts errors, task by task, as plain numbers for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from teacher.calibration_fit import fit_ingredients, usable_ingredients
from teacher.calibration_pixels import Pixels
from teacher.confidence import Calibration, Fit
from teacher.coverage import area_under_risk, reliability, risk_at, risk_curve

KEPT = 0.8
"""Coverage at which the gain is reported."""
COVERAGE = np.linspace(0.01, 1, 100)
SPARSE = 4
"""Single ingredients are measured on every so-many-th block: each takes a sort of all pixels."""
LOSS_NAMES = {"depth": "absrel", "normal": "angle_deg", "segment": "error"}


def score_tasks(
    calibration: Calibration, fitted: Pixels, tested: Pixels, painted: Sequence[str], votes: int
) -> dict[str, Any]:
    """Task -> scores on the tested pixels, for every task that has a fit."""
    fits = {task: calibration.fit_for(task, painted, votes) for task in tested.right}
    return {task: score_fit(fit, fitted, tested) for task, fit in fits.items() if fit is not None}


def score_fit(fit: Fit, fitted: Pixels, tested: Pixels) -> dict[str, Any]:
    """Scores of one fit.

    "pixel": confidence of every pixel; "stored": as training finds it, 8 bits for 4 x 4 pixels;
    "oracle": pixels ordered by their true loss, which no confidence can beat.
    """
    right, loss = tested.right[fit.task], tested.loss[fit.task]
    sure = pixel_confidence(fit, tested)
    certainties = {"pixel": sure, "stored": as_stored(sure)}
    of_loss = _curves({**certainties, "oracle": -loss}, loss)
    of_wrong = _curves({**certainties, "oracle": right}, 1 - right)
    judged = np.isfinite(right)
    bins = reliability(sure[judged], right[judged])
    return {
        "loss_name": LOSS_NAMES[fit.task],
        "loss": float(np.nanmean(loss)),
        "right": float(np.nanmean(right)),
        f"loss_at_{KEPT}": {name: float(risk_at(curve, KEPT)) for name, curve in of_loss.items()},
        "aurc_loss": {name: float(curve.mean()) for name, curve in of_loss.items()},
        "aurc_wrong": {name: float(curve.mean()) for name, curve in of_wrong.items()},
        "aurc_wrong_ingredients": ingredient_areas(fit, fitted, tested.every(SPARSE)),
        "calibration_error": bins.error,
        "reliability": {name: _plain(values) for name, values in bins._asdict().items()},
        "coverage": _plain(COVERAGE),
        "risk": {name: _plain(risk_at(curve, COVERAGE)) for name, curve in of_loss.items()},
    }


def summary(scores: Mapping[str, Any]) -> dict[str, float]:
    """The few numbers of score_fit that are kept with the fit."""
    loss = scores["loss_name"]
    return {
        loss: round(scores["loss"], 5),
        f"{loss}_at_{KEPT}": round(scores[f"loss_at_{KEPT}"]["pixel"], 5),
        f"{loss}_at_{KEPT}_stored": round(scores[f"loss_at_{KEPT}"]["stored"], 5),
        "aurc_wrong": round(scores["aurc_wrong"]["pixel"], 5),
        "calibration_error": round(scores["calibration_error"], 5),
    }


def pixel_confidence(fit: Fit, pixels: Pixels) -> np.ndarray:
    """Probability (N, 16) as the labeller states it: 0 where the reading says nothing."""
    return pixels.known[fit.task] * fit.probability(pixels.evidence)


def as_stored(sure: np.ndarray) -> np.ndarray:
    """Confidence of blocks (N, 16) as it comes back from a label: one of 256 values a block."""
    levels = np.rint(255 * sure.mean(axis=1, keepdims=True))
    return np.broadcast_to(levels / 255, sure.shape)


def ingredient_areas(fit: Fit, fitted: Pixels, tested: Pixels) -> dict[str, dict[str, float]]:
    """Area under the risk-coverage curve, risk = share of wrong pixels, by ingredient.

    "combined": those of the fit together; "alone": each that could be used, by itself; "without":
    the fit without one of its own, fitted again.
    """

    def area(names: Sequence[str]) -> float:
        certain = pixel_confidence(fit_ingredients(fitted, fit.task, names), tested)
        right = tested.right[fit.task]
        judged = np.isfinite(right)
        return area_under_risk(certain[judged], 1 - right[judged])

    used = list(fit.weights)
    usable = usable_ingredients(tested, fit.tasks)
    return {
        "combined": {"all": area(usable), "chosen": area(used)},
        "alone": {name: area([name]) for name in usable},
        "without": {
            name: area([other for other in used if other != name]) for name in used if len(used) > 1
        },
    }


def _curves(certainties: Mapping[str, np.ndarray], loss: np.ndarray) -> dict[str, np.ndarray]:
    """The risk curve of each certainty over the pixels that have a loss."""
    counts = np.isfinite(loss)
    return {
        name: risk_curve(certain[counts], loss[counts]) for name, certain in certainties.items()
    }


def _plain(values: np.ndarray) -> list[float | None]:
    """Rounded numbers for JSON; None for NaN."""
    return [round(float(value), 5) if np.isfinite(value) else None for value in values]

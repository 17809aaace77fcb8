"""Logistic regression by Newton's method: a handful of features, some 10^5 rows, a few steps."""

import numpy as np

RIDGE = 1e-5
"""Keeps the weight of a feature that never varies at zero, and that of perfect ones finite."""
MAX_STEPS = 50
TOLERANCE = 1e-4
"""Of a weight; as Newton's steps square the error, what is left is far smaller."""


def fit_logistic(features: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (F,) and bias of P(right) = 1 / (1 + exp(-(features @ weights + bias))).

    features: (N, F) finite; right: (N,) 0 or 1. Standardised inside, so that units do not matter.
    """
    middle, width = features.mean(axis=0), features.std(axis=0)
    width = np.where(width > 0, width, 1)
    design = np.column_stack([(features - middle) / width, np.ones(len(features))])
    weights = np.zeros(design.shape[1])
    for _ in range(MAX_STEPS):
        step = _newton_step(design, right, weights)
        weights -= step
        if np.abs(step).max() < TOLERANCE:
            break
    scaled = weights[:-1] / width
    return scaled, float(weights[-1] - scaled @ middle)


def _newton_step(design: np.ndarray, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Solve for the step that the loss's second-order expansion asks for, at most 5 long."""
    probability = 1 / (1 + np.exp(-(design @ weights).clip(-30, 30)))
    slope = design.T @ (probability - right) / len(right) + RIDGE * weights
    spread = probability * (1 - probability)
    curvature = (design.T * spread) @ design / len(right) + RIDGE * np.eye(len(weights))
    step = np.linalg.solve(curvature, slope)
    return step * min(1, 5 / max(np.abs(step).max(), 1e-12))

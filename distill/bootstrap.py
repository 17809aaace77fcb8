"""Bootstrap intervals over photographs: draw them again, many times, and look at the spread.

A score is a sum over photographs, or a ratio of two, so a resample is a weighted sum. Whoever
weights every labeller alike gets paired intervals of their differences and ratios.
"""

from collections.abc import Sequence

import numpy as np

INTERVAL_PERCENTILES = (2.5, 97.5)

Resampled = dict[str, dict[str, np.ndarray]]
"""Task -> metric -> (B,) one value for each resample."""


def draw_weights(
    images: int, resamples: int, seed: int, scenes: Sequence[str] | None = None
) -> np.ndarray:
    """(resamples, images): how often each image is in a sample drawn with replacement.

    scenes: for each image, the scene that it shows. Then whole scenes are drawn: pictures of one
    room are not independent, and intervals that take them to be so are too narrow. A sample then
    has as many scenes as there are, but not always as many images.

    Raises ValueError when there is not one scene for each image.
    """
    rng = np.random.default_rng(seed)
    if scenes is None:
        return _draw(rng, images, resamples)
    if len(scenes) != images:
        raise ValueError(f"a bootstrap by scene needs {images} scenes, one an image: {len(scenes)}")
    names, scene_of = np.unique(np.asarray(scenes), return_inverse=True)
    return _draw(rng, len(names), resamples)[:, scene_of]


def _draw(rng: np.random.Generator, count: int, resamples: int) -> np.ndarray:
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples)


def resampled_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means over the images of each resample: (B, n), (n, ...) -> (B, ...).

    A value that is NaN is left out, as if its image had not been drawn; NaN where none is left.
    """
    known = ~np.isnan(values)
    sums = np.tensordot(weights, np.where(known, values, 0), axes=1)
    with np.errstate(invalid="ignore"):
        return sums / np.tensordot(weights, known.astype(np.float64), axes=1)


def intervals(resampled: Resampled) -> dict[str, dict[str, list[float] | None]]:
    """Task -> metric -> [low, high] that holds 95 % of the resamples."""
    return {
        task: {metric: interval(values) for metric, values in metrics.items()}
        for task, metrics in resampled.items()
    }


def interval(values: np.ndarray) -> list[float] | None:
    """[2.5th, 97.5th percentile]; None if no value is finite."""
    values = values[np.isfinite(values)]
    return [float(v) for v in np.percentile(values, INTERVAL_PERCENTILES)] if values.size else None

"""Disparity, which falls with distance, as affine depth, which grows with it."""

from pathlib import Path

import numpy as np

from teacher.predictors.card import read_stated

FARTHEST_RATIO = 100.0
"""What is this much farther away than the nearest point of a photograph counts as at infinity."""


def disparity_to_depth(disparity: np.ndarray, at_infinity: float) -> np.ndarray:
    """Depth up to scale, 1 / (disparity - at_infinity), in the range that labels store.

    disparity: (H, W), larger = nearer, of any scale; NaN = unknown.
    Returns (H, W) float32: 1 / FARTHEST_RATIO at the nearest point to 1, beyond that +inf; all
    unknown (NaN) where no point is nearer than infinity.
    """
    nearness = disparity.astype(np.float32) - np.float32(at_infinity)
    nearest = np.max(nearness, initial=0, where=np.isfinite(nearness))
    if nearest <= 0:
        return np.full(nearness.shape, np.nan, np.float32)
    farthest = nearest / np.float32(FARTHEST_RATIO)
    depth = farthest / np.maximum(nearness, farthest)
    depth[nearness < farthest] = np.inf
    return depth


def disparity_at_infinity(folder: Path) -> float:
    """The disparity that the network gives to what is infinitely far, as teacher.json states it.

    Disparity up to scale and shift is a / depth + b. Without b there is no depth in it: its inverse
    bends depth, and no scale and shift of depth unbends it. The released relative networks (MiDaS,
    Depth Anything) learned from targets whose b differs from picture to picture, so that a number
    is right only for photographs in which something is as good as infinitely far: 0 then.
    """
    value = read_stated(folder).get("disparity_at_infinity")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    path = folder / "teacher.json"
    raise ValueError(
        f"{folder} predicts disparity up to an unknown scale and shift, which is no depth. Use a "
        "checkpoint of the same family that predicts depth, metric (Depth-Anything-V2-Metric-...) "
        "or not (lotus-depth-g-v1-0); or, if every photograph shows sky, write "
        f'{{"disparity_at_infinity": 0}} into {path}, and depth up to scale is read from it; '
        f"found {value!r}"
    )

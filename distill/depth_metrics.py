"""The depth metrics of the literature, under a named protocol and a named alignment.

Every metric is computed per image, in float64, over the pixels that count, and then averaged over
images. Some papers pool the pixels of all images instead: those numbers, the RMSE above all, are
not comparable. Conventions where papers differ:

- delta_k: share of pixels with max(p / t, t / p) < 1.25^k, strictly below;
- SqRel: mean of (p - t)^2 / t, in metres (Eigen); KITTI's server divides by t^2;
- RMSE log: of natural logarithms; log10: mean of |log10 p - log10 t|;
- SILog: standard deviation of ln p - ln t, times 100 (KITTI's "log(m) * 100"); UniDepth divides by
  N - 1, and Eigen's loss of the same name takes no root and keeps half of the mean.

Sources: Eigen 2014; KITTI depth devkit; prs-eth/Marigold src/util/metric.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distill.alignment import fit_alignment
from distill.protocols import DepthProtocol

DELTA_RATIO = 1.25


def depth_errors(pred_m: np.ndarray, true_m: np.ndarray) -> dict[str, float]:
    """All metrics of one image: (N,) float64 metres twice, > 0 and finite, N >= 1.

    Keys: delta1, delta2, delta3 (shares), absrel, sqrel_m, rmse_m, rmse_log, log10, silog.
    """
    difference = pred_m - true_m
    relative = np.abs(difference) / true_m
    ratio = np.maximum(pred_m / true_m, true_m / pred_m)
    log_ratio = np.log(pred_m) - np.log(true_m)
    return {
        **{f"delta{k}": float(np.mean(ratio < DELTA_RATIO**k)) for k in (1, 2, 3)},
        "absrel": float(relative.mean()),
        "sqrel_m": float(np.mean(difference**2 / true_m)),
        "rmse_m": float(np.sqrt(np.mean(difference**2))),
        "rmse_log": float(np.sqrt(np.mean(log_ratio**2))),
        "log10": float(np.abs(log_ratio).mean() / np.log(10)),
        "silog": float(100 * log_ratio.std()),
    }


@dataclass(frozen=True, kw_only=True)
class DepthResult:
    """The depth metrics of one image, and how they were come by."""

    protocol: str
    alignment: str
    kind: str
    """what the prediction was: a key of alignment.KINDS"""
    scale: float
    """what the alignment fitted, in its own space; negative = the map is inverted"""
    shift: float
    pixels: int
    """how many counted"""
    scores: dict[str, float]
    """what depth_errors gives"""
    unaligned: dict[str, float] | None
    """the same without any fit, which hides errors of scale; None: the prediction is not metric"""

    @property
    def inverted(self) -> bool:
        return self.scale < 0


def score_depth(
    pred: np.ndarray,
    true_m: np.ndarray,
    protocol: DepthProtocol,
    alignment: str,
    *,
    kind: str = "metric",
    mask: np.ndarray | None = None,
) -> DepthResult | None:
    """Depth metrics of one image; None when no pixel counts.

    pred: (H, W), metres unless `kind` (a key of alignment.KINDS) says otherwise. true_m: (H, W)
    metres; NaN, inf and what lies outside the protocol's range do not count. mask: (H, W), 0 where
    pixels must not count (a data set's own mask), or None. The prediction is fitted where the truth
    counts, and then clipped to the protocol's range: values at or below 0 move to its near end,
    infinite and NaN ones to its far end, so that nobody gains by predicting nothing.

    Raises ValueError when sizes differ or the crop does not fit, and what fit_alignment raises.
    """
    mask = np.ones(true_m.shape, bool) if mask is None else mask.astype(bool)
    if not pred.shape == true_m.shape == mask.shape:
        raise ValueError(
            f"depth: prediction {pred.shape}, ground truth {true_m.shape} and mask {mask.shape} "
            "must have one size; resize decoded depth by the nearest pixel, and never a painting"
        )
    valid = protocol.valid(true_m) & mask
    if not valid.any():
        return None
    values, true = pred[valid].astype(np.float64), true_m[valid].astype(np.float64)
    fitted = fit_alignment(values, true, alignment, kind)
    return DepthResult(
        protocol=protocol.name,
        alignment=alignment,
        kind=kind,
        scale=fitted.scale,
        shift=fitted.shift,
        pixels=len(true),
        scores=depth_errors(protocol.clip(fitted.apply(values)), true),
        unaligned=depth_errors(protocol.clip(values), true) if kind == "metric" else None,
    )


@dataclass(frozen=True, kw_only=True)
class DepthMeans:
    """Depth metrics of a data set: means over images, each with the same weight."""

    protocol: str
    alignment: str
    kind: str
    images: int
    """how many were averaged"""
    empty: int
    """how many had no pixel that counts, and were left out"""
    inverted: int
    """how many the alignment had to turn around (negative scale)"""
    scores: dict[str, float]
    unaligned: dict[str, float] | None


def mean_over_images(results: Sequence[DepthResult | None]) -> DepthMeans:
    """The means of what score_depth gave for the images of one data set.

    Raises ValueError when no image counts, or when protocols, alignments or kinds are mixed.
    """
    scored = [result for result in results if result is not None]
    if not scored:
        raise ValueError(f"depth: none of {len(results)} images has a pixel that counts")
    ways = {f"{r.kind} under {r.protocol} with alignment {r.alignment}" for r in scored}
    if len(ways) > 1:
        raise ValueError(
            "depth: only results of one protocol, alignment and kind can be averaged, found "
            + ", ".join(sorted(ways))
        )
    unaligned = [result.unaligned for result in scored if result.unaligned is not None]
    return DepthMeans(
        protocol=scored[0].protocol,
        alignment=scored[0].alignment,
        kind=scored[0].kind,
        images=len(scored),
        empty=len(results) - len(scored),
        inverted=sum(result.inverted for result in scored),
        scores=_mean([result.scores for result in scored]),
        unaligned=_mean(unaligned) if unaligned else None,
    )


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([image[name] for image in scores])) for name in scores[0]}

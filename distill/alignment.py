"""Fitting a prediction to the truth before it is scored: which fit was used decides the number.

Marigold v1 on DIODE has an AbsRel of 30.8 or of 10.0, depending on fit and mask. So a result always
names its alignment. The fitted scale is free to be negative: an inverted map (far for near) can
then score well, and `Fitted.inverted` tells.

Fits are done in a space: a prediction of depth (d), disparity (1/d) or log depth (ln d) is
fitted in its own. Metric depth can be brought to any of them; an affine prediction, whose
scale and shift are unknown, cannot leave its own, and needs a fit with a shift.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from distill.metrics import FARTHEST_M, NEAREST_M, Prediction, Truth

Fit = Callable[[np.ndarray, np.ndarray], tuple[float, float]]
"""values (N,) and targets (N,), float64, N >= 1 -> scale, shift: target ~ scale * value + shift"""

RANSAC_TRIALS = 1000
RANSAC_CONFIDENCE = 0.99
RANSAC_SEED = 0


def identity(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """No fit at all."""
    return 1.0, 0.0


def median_ratio(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """The ratio of the medians, as in self-supervised depth (SfMLearner) and UniDepth's `si`."""
    return float(np.median(target) / np.median(values)), 0.0


def least_squares_scale(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """The scale of the least squared error, without a shift."""
    return float(values @ target / (values @ values)), 0.0


def relative_scale(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """The scale of the least AbsRel: a weighted median of target / value (MoGe's scale fit)."""
    ratios, weights = target / values, values / target
    order = np.argsort(ratios)
    total = np.cumsum(weights[order])
    return float(ratios[order[np.searchsorted(total, total[-1] / 2)]]), 0.0


def least_squares(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Scale and shift of the least squared error; values that are all the same get scale 0."""
    centre, middle = values.mean(), target.mean()
    centred = values - centre
    spread = centred @ centred
    # One value repeated leaves a spread of rounding errors, which is no slope.
    constant = spread <= len(values) * (np.finfo(np.float64).eps * centre) ** 2
    scale = 0.0 if constant else float(centred @ (target - middle) / spread)
    return scale, float(middle - scale * centre)


def ransac(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Least squares on the largest set of pixels that agree on a line through two of them.

    The rules of scikit-learn's RANSACRegressor, as Pixel-Perfect Depth uses it: a pixel agrees
    within the median absolute deviation of the targets, and trials stop when a better line
    is 1 % likely, after 1000 at the latest. Published numbers are not seeded; this is.
    """
    tolerance = np.median(np.abs(target - np.median(target)))
    generator = np.random.default_rng(RANSAC_SEED)
    best, most = None, 0
    trial, needed = 0, RANSAC_TRIALS
    while trial < needed:
        trial += 1
        i, j = generator.integers(len(values), size=2)
        if values[i] == values[j]:
            continue
        scale = (target[j] - target[i]) / (values[j] - values[i])
        agree = np.abs(scale * (values - values[i]) + target[i] - target) <= tolerance
        count = int(np.count_nonzero(agree))
        if count > most:
            best, most = agree, count
            needed = min(needed, _trials_needed(most / len(values)))
    if best is not None:
        values, target = values[best], target[best]
    return least_squares(values, target)


def _trials_needed(share: float) -> int:
    """Trials after which two agreeing pixels have been drawn together with RANSAC_CONFIDENCE."""
    both = share**2
    if both >= 1:
        return 0
    return math.ceil(min(math.log(1 - RANSAC_CONFIDENCE) / math.log1p(-both), RANSAC_TRIALS))


@dataclass(frozen=True)
class Space:
    """A way to write depth, and back to metres; nothing is farther than 1000 m."""

    of_metres: Callable[[np.ndarray], np.ndarray]
    to_metres: Callable[[np.ndarray], np.ndarray]


SPACES: dict[str, Space] = {
    "depth": Space(lambda depth_m: depth_m, lambda depth: depth),
    "disparity": Space(
        lambda depth_m: 1 / np.maximum(depth_m, NEAREST_M),
        lambda disparity: 1 / np.maximum(disparity, 1 / FARTHEST_M),
    ),
    "log": Space(
        lambda depth_m: np.log(np.maximum(depth_m, NEAREST_M)),
        lambda log: np.exp(np.minimum(log, np.log(FARTHEST_M))),
    ),
    "log1p": Space(
        lambda depth_m: np.log1p(np.maximum(depth_m, NEAREST_M)),
        lambda log: np.expm1(np.minimum(log, np.log1p(FARTHEST_M))),
    ),
}

KINDS: dict[str, tuple[str, ...]] = {
    "metric": tuple(SPACES),
    "affine_depth": ("depth",),
    "affine_disparity": ("disparity",),
    "affine_log": ("log", "log1p"),
}
"""What the values of a prediction are -> the spaces in which they can be fitted.

`metric` is metres (`depth_kind` "metric" of a label), `affine_depth` is depth up to scale and
shift (`depth_kind` "affine"), and so for disparity and for log depth.
"""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A fit in a space."""

    fit: Fit
    space: str = "depth"
    shifts: bool = True
    """Whether a shift is fitted, which an affine prediction needs."""
    source: str


ALIGNMENTS: dict[str, Alignment] = {
    "none": Alignment(fit=identity, shifts=False, source="metric depth as it is"),
    "median": Alignment(fit=median_ratio, shifts=False, source="SfMLearner; UniDepth `si`"),
    "scale": Alignment(
        fit=least_squares_scale, shifts=False, source="least_squares with its shift held at 0"
    ),
    "scale_relative": Alignment(
        fit=relative_scale, shifts=False, source="microsoft/MoGe: align_depth_scale, all pixels"
    ),
    "least_squares": Alignment(fit=least_squares, source="prs-eth/Marigold: least_square"),
    "least_squares_disparity": Alignment(
        fit=least_squares,
        space="disparity",
        source="prs-eth/Marigold: least_square_disparity; the only fit of Lotus-2's eval.py",
    ),
    "least_squares_log": Alignment(
        fit=least_squares,
        space="log",
        source="AMAP-ML/FE2E: log_space, without its cut at exp(5) = 148 m",
    ),
    "ransac": Alignment(fit=ransac, source="RANSACRegressor of scikit-learn, in metres"),
    "ransac_log": Alignment(
        fit=ransac,
        space="log1p",
        source="gangweix/pixel-perfect-depth: align_depth_func.py, in ln(1 + d); it replaces a "
        "negative scale by a ratio of means and clips at the image's own farthest truth, this "
        "reports the sign and clips as the protocol says",
    ),
}
"""Name, as results give it -> alignment. Two published "log" fits differ: ln d and ln(1 + d)."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """An alignment with the numbers that were fitted to one image."""

    alignment: str
    kind: str
    scale: float
    """In the alignment's space: for log depth it is an exponent."""
    shift: float

    @property
    def inverted(self) -> bool:
        """Whether the fit had to turn the map around: it says far for near."""
        return self.scale < 0

    def apply(self, pred: np.ndarray) -> np.ndarray:
        """A prediction (...) as float64 metres, any shape; it may leave the range of a protocol."""
        space = ALIGNMENTS[self.alignment].space
        with np.errstate(invalid="ignore"):  # infinity times a scale of 0 is NaN: not predicted
            fitted = self.scale * _values(pred, self.kind, space) + self.shift
        return SPACES[space].to_metres(fitted)


def fit_alignment(
    pred: np.ndarray, true_m: np.ndarray, alignment: str, kind: str = "metric"
) -> Fitted:
    """Fit a prediction to the truth.

    pred, true_m: the same shape, only pixels that count: true_m finite and > 0 metres. Predictions
    that are not finite, or not positive though depth or disparity must be, are left out of the fit;
    where nothing is left, the prediction stays as it is (scale 1, shift 0). kind: a key of KINDS.

    Raises ValueError for an unknown alignment or kind, and for a pair that makes no sense.
    """
    rule = _rule(alignment, kind)
    usable = np.isfinite(pred)
    if kind in ("metric", "affine_disparity"):
        usable &= pred > 0
    scale, shift = 1.0, 0.0
    if usable.any():
        values = _values(pred[usable], kind, rule.space)
        scale, shift = rule.fit(values, SPACES[rule.space].of_metres(_float64(true_m[usable])))
    return Fitted(alignment=alignment, kind=kind, scale=scale, shift=shift)


def align(prediction: Prediction, truth: Truth, alignment: str) -> tuple[Prediction, Fitted | None]:
    """A prediction whose depth was fitted to the truth, which makes metres of affine depth.

    alignment: a key of ALIGNMENTS; "none" leaves depth in metres as it is.
    Returns the prediction and the fit, None where nothing was fitted.
    Raises ValueError for affine depth and an alignment that does not fit its scale and shift.
    """
    affine = prediction.affine_depth is not None
    depth = prediction.affine_depth if affine else prediction.depth_m
    if depth is None or truth.depth_m is None or (alignment == "none" and not affine):
        return prediction, None
    kind = "affine_depth" if affine else "metric"
    if alignment not in alignments_for(kind):
        fitting = ", ".join(alignments_for(kind))
        raise ValueError(
            "the labeller's depth has an unknown scale and shift, so that it cannot be scored in "
            f"metres with --alignment {alignment}: give one of {fitting}, or other --tasks"
        )
    known = np.isfinite(truth.depth_m) & (truth.depth_m > 0)
    if not known.any():
        return prediction, None
    fitted = fit_alignment(depth[known], truth.depth_m[known], alignment, kind)
    return replace(prediction, depth_m=fitted.apply(depth).astype(np.float32)), fitted


def alignments_for(kind: str) -> tuple[str, ...]:
    """The alignments that make sense for a kind of prediction, a key of KINDS."""
    return tuple(
        name
        for name, rule in ALIGNMENTS.items()
        if kind == "metric" or (rule.shifts and rule.space in KINDS[kind])
    )


def _rule(alignment: str, kind: str) -> Alignment:
    if alignment not in ALIGNMENTS:
        raise ValueError(f"unknown alignment {alignment!r}; choose one of {', '.join(ALIGNMENTS)}")
    if kind not in KINDS:
        raise ValueError(f"unknown kind of depth {kind!r}; choose one of {', '.join(KINDS)}")
    if alignment not in alignments_for(kind):
        raise ValueError(
            f"{kind} has an unknown scale and shift in its own space, which {alignment!r} does not "
            f"fit; choose one of {', '.join(alignments_for(kind))}"
        )
    return ALIGNMENTS[alignment]


def _values(pred: np.ndarray, kind: str, space: str) -> np.ndarray:
    """A prediction in the space of the fit."""
    values = _float64(pred)
    return SPACES[space].of_metres(values) if kind == "metric" else values


def _float64(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float64)

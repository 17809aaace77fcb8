"""How sure a label is, pixel by pixel: the probability that it is right, where a teacher has a
calibration, and how it is stored.

A calibration lies in the teacher's folder as confidence.json. For each task it holds a few logistic
regressions, one for each kind of evidence that may be at hand: `potstill calibrate` fits them.
Without one, confidence falls linearly with the residual, margin and length of a pixel's own colour:
an order of pixels, but no probability.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from teacher.ingredients import INGREDIENTS
from teacher.sample import CONFIDENCE_STRIDE, TASKS, confidence_size
from teacher.strict_json import check_integer, check_schema, from_fields, parse_object

CONFIDENCE_SCHEMA = 1
CONFIDENCE_FILE = "confidence.json"

RIGHT = {
    "depth": "within a ratio of 1.25 of the truth; sky where there is sky",
    "normal": "within 11.25 degrees of the truth",
    "segment": "the class of the truth",
}
"""What the probability is of."""

DEPTH_RESIDUAL_LEVELS = 64
"""Distance of a colour from the depth codec's path at which uncalibrated confidence is zero."""
NORMAL_LENGTH_ERROR = 0.5
"""Deviation of a painted vector's length from 1 at which uncalibrated confidence is zero."""
SEGMENT_MARGIN_LEVELS = 64
"""Margin between the two nearest class colours from which uncalibrated confidence is full."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A logistic regression: evidence of a pixel -> probability that its label is right."""

    task: str
    tasks: tuple[str, ...]
    """Painted tasks that it may take its evidence from."""
    votes: int
    """Views that it was fitted on; above 1, their agreement is evidence too."""
    weights: Mapping[str, float]
    """Name of an ingredient -> weight of log(1 + amount / unit)."""
    bias: float

    def __post_init__(self) -> None:
        unknown = {self.task, *self.tasks} - set(TASKS)
        if unknown or set(self.weights) - set(INGREDIENTS):
            strange = sorted(unknown | (set(self.weights) - set(INGREDIENTS)))
            raise ValueError(f"fits: unknown task or ingredient {strange[0]!r}")
        check_integer("votes", self.votes, low=1)
        if not all(np.isfinite(number) for number in (self.bias, *self.weights.values())):
            raise ValueError(f"fits: the weights of {self.task} must be finite")
        object.__setattr__(self, "tasks", tuple(self.tasks))

    def probability(self, found: Mapping[str, np.ndarray]) -> np.ndarray:
        """Ingredients by name (see teacher.ingredients.evidence) -> probability, float32 0..1."""
        return self.probability_of_scaled(
            {name: scaled(name, found[name]) for name in self.weights}
        )

    def probability_of_scaled(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """The same from ingredients that are scaled already, for several fits to share."""
        logit = np.float32(self.bias)
        for name, weight in self.weights.items():
            logit = logit + np.float32(weight) * features[name]
        return 1 / (1 + np.exp(-np.clip(logit, -30, 30)))


def scaled(name: str, amount: np.ndarray) -> np.ndarray:
    """An ingredient as it enters the regression: log(1 + amount / unit)."""
    return np.log1p(amount / np.float32(INGREDIENTS[name].unit))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The fits of one teacher, for all the evidence that may be at hand."""

    fits: tuple[Fit, ...]
    photographs: int
    """Photographs that were fitted on."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """Votes -> task -> what the fit is worth on other photographs, as JSON numbers."""

    def fit_for(self, task: str, painted: Sequence[str], votes: int) -> Fit | None:
        """The fit that uses most of what is at hand; None if the task has none."""
        usable = [
            fit
            for fit in self.fits
            if fit.task == task and set(fit.tasks) <= set(painted) and (fit.votes == 1 or votes > 1)
        ]
        return max(usable, key=lambda fit: (len(fit.tasks), fit.votes), default=None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values. Inverse: calibration_from_json."""
        return {"schema": CONFIDENCE_SCHEMA, "right": RIGHT, **asdict(self)}


def read_calibration(folder: Path) -> Calibration | None:
    """The calibration in a teacher's folder, if there is one; ValueError names the file."""
    path = folder / CONFIDENCE_FILE
    if not path.is_file():
        return None
    try:
        return calibration_from_json(parse_object(path.read_bytes()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; fit it again with potstill calibrate") from error


def calibration_from_json(fields: Mapping[str, Any]) -> Calibration:
    """Inverse of Calibration.to_json.

    Raises ValueError for another schema, a missing or unknown field, task or ingredient.
    """
    check_schema(fields.get("schema"), CONFIDENCE_SCHEMA)
    known = {name: value for name, value in fields.items() if name not in ("schema", "right")}
    if not isinstance(known.get("fits"), list):
        raise ValueError(f"fits: expected a list, found {known.get('fits')!r}")
    check_integer("photographs", known.get("photographs"), low=1)
    fits = tuple(from_fields(Fit, fit) for fit in known["fits"])
    return from_fields(Calibration, {**known, "fits": fits})


def uncalibrated(task: str, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Confidence 0..1 from the task's own colours alone, for a teacher without a calibration."""
    if task == "depth":
        return np.clip(1 - found["depth_residual"] / DEPTH_RESIDUAL_LEVELS, 0, 1)
    if task == "normal":
        return np.clip(1 - found["normal_length"] / NORMAL_LENGTH_ERROR, 0, 1)
    return np.clip(found["segment_margin"] / SEGMENT_MARGIN_LEVELS, 0, 1)


def confidence_image(sure: Mapping[str, np.ndarray]) -> np.ndarray:
    """Task -> (H, W) 0..1, as it is stored: a quarter of the size, one channel for each task."""
    size = next(iter(sure.values())).shape
    image = np.zeros((*confidence_size((size[0], size[1])), len(TASKS)), np.uint8)
    for task, confidence in sure.items():
        image[..., TASKS.index(task)] = np.rint(255 * average_blocks(confidence))
    return image


def average_blocks(plane: np.ndarray, stride: int = CONFIDENCE_STRIDE) -> np.ndarray:
    """Mean over blocks of stride x stride: (H, W) -> (ceil(H / stride), ceil(W / stride)).

    A block that the border cuts is the mean of what is there.
    """
    sums = _sum_blocks(_sum_blocks(plane.astype(np.float64), stride).T, stride).T
    return sums / np.outer(*(_block_lengths(length, stride) for length in plane.shape))


def _sum_blocks(plane: np.ndarray, stride: int) -> np.ndarray:
    """Sums over blocks of rows; the last block may have fewer."""
    sums = np.array(plane[::stride], order="C")
    for offset in range(1, stride):
        rows = plane[offset::stride]
        sums[: len(rows)] += rows
    return sums


def _block_lengths(length: int, stride: int) -> np.ndarray:
    return np.diff(np.append(np.arange(0, length, stride), length))

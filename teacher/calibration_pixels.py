"""Pixels that a calibration is fitted and measured on: their evidence, and whether they are right.

Pixels come in blocks of 4 x 4, as confidence is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from teacher.ingredients import Reading, evidence, known_pixels
from teacher.sample import CONFIDENCE_STRIDE, Labels

RIGHT_RATIO = 1.25
RIGHT_DEG = 11.25
FARTHEST_M = 1000.0
"""A depth that was read as sky, or not at all, counts as this far where the truth is finite."""
NEAREST_M = 1e-3

Planes = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels:
    """Blocks of pixels, (N, 16) each."""

    evidence: Planes
    """Ingredient -> float32; see teacher.ingredients"""
    known: Planes
    """Task -> bool, whether the reading says anything"""
    right: Planes
    """Task -> float32, 1 = right, 0 = wrong, NaN = the truth is unknown"""
    loss: Planes
    """Task -> float32, error that the risk is the mean of; NaN = does not count"""

    def every(self, step: int) -> "Pixels":
        """Every so-many-th block."""
        return Pixels(
            **{
                group: {name: blocks[::step] for name, blocks in getattr(self, group).items()}
                for group in GROUPS
            }
        )


GROUPS = ("evidence", "known", "right", "loss")


def pixels_of(reading: Reading, truth: Labels, blocks: np.ndarray) -> Pixels:
    """Some blocks of one photograph; see choose_blocks. The truth has the reading's size."""
    judged = judge(reading, truth)
    planes: dict[str, Planes] = {
        "evidence": evidence(reading),
        "known": known_pixels(reading),
        "right": {task: judgement.right for task, judgement in judged.items()},
        "loss": {task: judgement.loss for task, judgement in judged.items()},
    }
    return Pixels(
        **{
            group: {name: take_blocks(plane, blocks) for name, plane in members.items()}
            for group, members in planes.items()
        }
    )


def join_pixels(parts: Sequence[Pixels]) -> Pixels:
    """The blocks of several photographs one after the other."""
    return Pixels(
        **{
            group: {
                name: np.concatenate([getattr(part, group)[name] for part in parts])
                for name in getattr(parts[0], group)
            }
            for group in GROUPS
        }
    )


class Judgement(NamedTuple):
    """A reading against the truth, pixel by pixel (H, W); NaN where the truth does not tell."""

    right: np.ndarray
    """1 or 0"""
    loss: np.ndarray


def judge(reading: Reading, truth: Labels) -> dict[str, Judgement]:
    """Judge every task that was both painted and labelled, depth if the truth is in metres.

    Raises ValueError when the labels have other classes than the teacher.
    """
    judged: dict[str, Judgement] = {}
    if reading.depth_m is not None and truth.depth_m is not None and truth.depth_kind == "metric":
        judged["depth"] = judge_depth(reading.depth_m, truth.depth_m)
    if reading.normal is not None and truth.normal is not None:
        judged["normal"] = judge_normal(reading.normal, truth.normal)
    if reading.segment is not None and truth.segment is not None:
        if truth.classes != reading.classes:
            raise ValueError(
                f"labels name the classes {truth.classes}, the teacher paints {reading.classes}: "
                "calibrate on labels of the teacher's own classes"
            )
        judged["segment"] = judge_segment(reading.segment, truth.segment, truth.ignore_id)
    return judged


def judge_depth(read_m: np.ndarray, true_m: np.ndarray) -> Judgement:
    """Right: within RIGHT_RATIO, or sky in sky. Loss: |p - t| / t where the truth is finite."""
    finite = np.isfinite(true_m) & (true_m > 0)
    true = np.where(finite, true_m, 1)
    read = np.nan_to_num(read_m, nan=FARTHEST_M, posinf=FARTHEST_M).clip(NEAREST_M, FARTHEST_M)
    close = np.maximum(read / true, true / read) < RIGHT_RATIO
    right = np.where(finite, close, np.isposinf(read_m))
    return Judgement(
        np.where(finite | np.isposinf(true_m), right, np.nan),
        np.where(finite, np.abs(read - true) / true, np.nan),
    )


def judge_normal(read: np.ndarray, true: np.ndarray) -> Judgement:
    """Right: within RIGHT_DEG. Loss: the angle in degrees; unknown counts as 90."""
    known = np.any(true, axis=-1)
    angle_deg = np.degrees(np.arccos((read * true).sum(axis=-1).clip(-1, 1)))
    return Judgement(
        np.where(known, angle_deg < RIGHT_DEG, np.nan), np.where(known, angle_deg, np.nan)
    )


def judge_segment(read: np.ndarray, true: np.ndarray, ignore_id: int) -> Judgement:
    """Right: the class. Loss: 1 for another one."""
    right = np.where(true == ignore_id, np.nan, read == true)
    return Judgement(right, 1 - right)


def choose_blocks(size: tuple[int, int], count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of at most so many whole blocks of a picture, row by row, in ascending order."""
    whole = (size[0] // CONFIDENCE_STRIDE) * (size[1] // CONFIDENCE_STRIDE)
    return np.sort(rng.choice(whole, min(count, whole), replace=False))


def take_blocks(plane: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """(H, W) -> the pixels of the numbered blocks, (N, 16)."""
    rows, columns = (length // CONFIDENCE_STRIDE for length in plane.shape)
    whole = plane[: rows * CONFIDENCE_STRIDE, : columns * CONFIDENCE_STRIDE]
    split = whole.reshape(rows, CONFIDENCE_STRIDE, columns, CONFIDENCE_STRIDE)
    return split.swapaxes(1, 2).reshape(rows * columns, -1)[blocks]

"""A batch of photographs -> labels with confidence: paint, then read the paintings.

Paintings are read at the generator's own resolution: a blend of two colours, as any resizing makes
it, is a third depth or a third class.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from teacher.depth import codec_from_json, decode_depth
from teacher.normals import decode_normals
from teacher.painters import Painter
from teacher.painters.card import TeacherCard
from teacher.palette import Palette, decode_segments
from teacher.sample import (
    CONFIDENCE_STRIDE,
    TASKS,
    Labels,
    Record,
    check_tasks,
    confidence_size,
    resize_photograph,
)

MAX_ASPECT_RATIO = 8
"""Longer panoramas are refused: the short side sets the scale, so the long one would explode."""

SKY_FROM_M = 120.0
"""Metric depth read from here on counts as at infinity: beyond it, ten levels of colour noise on
white, the colour of sky, reach every distance."""
DEPTH_RESIDUAL_LEVELS = 64
"""Distance of a colour from the depth codec's path at which confidence reaches zero."""
NORMAL_LENGTH_ERROR = 0.5
"""Deviation of a painted vector's length from 1 at which confidence reaches zero."""
SEGMENT_MARGIN_LEVELS = 64
"""Margin between the two nearest class colours from which on confidence is full."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PaintedLabels:
    """What was read from the paintings of one photograph: Labels without their record."""

    depth_m: np.ndarray | None = None
    """(H, W) float32 metres; NaN = unknown, +inf = sky"""
    normal: np.ndarray | None = None
    """(H, W, 3) float32 unit vectors; (0, 0, 0) = unknown"""
    segment: np.ndarray | None = None
    """(H, W) uint8 or uint16 class ids"""
    classes: tuple[str, ...] = ()
    confidence: np.ndarray
    """(ceil(H / 4), ceil(W / 4), 3) uint8, in the order of TASKS; 0 = not painted, 255 = certain"""

    def with_record(self, record: Record) -> Labels:
        """The labels, ready to be stored."""
        return Labels(
            depth_m=self.depth_m,
            depth_kind=None if self.depth_m is None else "metric",
            normal=self.normal,
            segment=self.segment,
            classes=self.classes,
            confidence=self.confidence,
            record=record,
        )


class TeacherLabeller:
    """Labels photographs with a painter. Painting is for one thread, reading for any number."""

    def __init__(self, painter: Painter, tasks: Sequence[str] = TASKS) -> None:
        self.painter = painter
        self.tasks = check_tasks(tasks)
        self.palette = card_palette(painter.card)
        self.depth_codec = codec_from_json(painter.card.depth_codec)

    def label(self, photographs: Sequence[np.ndarray], seeds: Sequence[int]) -> list[PaintedLabels]:
        """Label photographs of one size, at the teacher's size: see teacher_size.

        photographs: (H, W, 3) uint8 sRGB each, all of one size; seeds: one per photograph.
        Raises ValueError for sizes that differ and for a painting that is not finite.
        """
        fitted = [fit_photograph(photograph, self.painter.card) for photograph in photographs]
        paintings = self.paint(fitted, seeds)
        return [self.read(painted) for painted in paintings]

    def paint(
        self, photographs: Sequence[np.ndarray], seeds: Sequence[int]
    ) -> list[dict[str, np.ndarray]]:
        """Paint photographs that fit the teacher -> task -> (H, W, 3) float32 for each of them."""
        sizes = {photograph.shape for photograph in photographs}
        if len(sizes) > 1:
            raise ValueError(f"a batch holds photographs of one size, found {sorted(sizes)}")
        painted = self.painter.paint(np.stack(photographs), self.tasks, seeds)
        return [
            {task: painted[task][row] for task in self.tasks} for row in range(len(photographs))
        ]

    def read(self, paintings: Mapping[str, np.ndarray]) -> PaintedLabels:
        """Decode the paintings of one photograph, each (H, W, 3) float32 in 0..1.

        Raises ValueError naming the task whose painting is not finite.
        """
        planes: dict[str, np.ndarray] = {}
        sure: dict[str, np.ndarray] = {}
        for task in self.tasks:
            if not np.isfinite(paintings[task]).all():
                dtype = "the arithmetic overflowed; try --dtype bfloat16 or float32"
                raise ValueError(f"the painting of {task} is not finite: {dtype}")
            planes[task], sure[task] = self._readers[task](paintings[task])
        return PaintedLabels(
            depth_m=planes.get("depth"),
            normal=planes.get("normal"),
            segment=planes.get("segment"),
            classes=self.palette.names if "segment" in planes else (),
            confidence=confidence_image(sure),
        )

    @property
    def _readers(self) -> Mapping[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]:
        """Task -> painting to plane and confidence (H, W) 0..1."""
        return {"depth": self._read_depth, "normal": _read_normals, "segment": self._read_segments}

    def _read_depth(self, painting: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        decoded = decode_depth(painting, self.depth_codec)
        known = decoded.depth_m > 0
        depth_m = np.where(known, decoded.depth_m, np.float32(np.nan))
        depth_m[depth_m >= SKY_FROM_M] = np.inf
        return depth_m, known * depth_confidence(decoded.residual)

    def _read_segments(self, painting: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        decoded = decode_segments(painting, self.palette)
        return decoded.ids, segment_confidence(decoded.margin)


def _read_normals(painting: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    decoded = decode_normals(painting)
    return decoded.normal, normal_confidence(decoded.length)


def depth_confidence(residual: np.ndarray) -> np.ndarray:
    """Distance from the codec's path in levels -> 1 (on the path) falling linearly to 0."""
    return np.clip(1 - residual / DEPTH_RESIDUAL_LEVELS, 0, 1)


def normal_confidence(length: np.ndarray) -> np.ndarray:
    """Length before normalising -> 1 at unit length, falling linearly to 0 on both sides."""
    return np.clip(1 - np.abs(length - 1) / NORMAL_LENGTH_ERROR, 0, 1)


def segment_confidence(margin: np.ndarray) -> np.ndarray:
    """Margin between the two nearest class colours in levels -> 0 (a tie) rising linearly to 1."""
    return np.clip(margin / SEGMENT_MARGIN_LEVELS, 0, 1)


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
    rows = np.add.reduceat(plane, np.arange(0, plane.shape[0], stride), axis=0, dtype=np.float64)
    sums = np.add.reduceat(rows, np.arange(0, plane.shape[1], stride), axis=1)
    return sums / np.outer(*(_block_lengths(length, stride) for length in plane.shape))


def _block_lengths(length: int, stride: int) -> np.ndarray:
    return np.diff(np.append(np.arange(0, length, stride), length))


def card_palette(card: TeacherCard) -> Palette:
    """The colours that the teacher's segmentation instruction names."""
    return Palette(card.classes, np.array(card.palette, np.uint8))


def teacher_size(height_px: int, width_px: int, card: TeacherCard) -> tuple[int, int]:
    """Height and width in which a photograph is painted, and its labels are stored.

    The short side becomes card.resolution_px; the long one keeps the aspect ratio as nearly as
    multiples of card.multiple_px allow.
    Raises ValueError for an aspect ratio above MAX_ASPECT_RATIO.
    """
    short, long = sorted((height_px, width_px))
    if long > MAX_ASPECT_RATIO * short:
        raise ValueError(
            f"{width_px} x {height_px} px is more than {MAX_ASPECT_RATIO} times as long as wide"
        )
    multiples = round(long * card.resolution_px / (short * card.multiple_px))
    long_px = max(card.resolution_px, multiples * card.multiple_px)
    return (card.resolution_px, long_px) if height_px <= width_px else (long_px, card.resolution_px)


def fit_photograph(photograph: np.ndarray, card: TeacherCard) -> np.ndarray:
    """The photograph resized to the size in which the teacher paints it."""
    height_px, width_px = photograph.shape[:2]
    return resize_photograph(photograph, *teacher_size(height_px, width_px, card))

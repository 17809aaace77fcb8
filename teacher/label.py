"""A batch of photographs -> labels with confidence: paint, read the paintings, merge the votes.

Paintings are read at the generator's own resolution: a blend of two colours, as any resizing makes
it, is a third depth or a third class. Blends that the generator itself made at edges are resolved,
and a drift of its palette is taken back where it is evident.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from teacher.confidence import Fit, confidence_image, scaled, uncalibrated
from teacher.depth import codec_from_json, decode_depth
from teacher.depth_edges import sharpen_edges
from teacher.drift import correct_drift
from teacher.ingredients import Reading, evidence, known_pixels
from teacher.labeller import LabelPlanes, require_tasks
from teacher.normal_edges import sharpen_normals
from teacher.normals import decode_normals
from teacher.painters import Painter
from teacher.painters.card import TeacherCard
from teacher.palette import DecodedSegments, Palette, decode_segments
from teacher.predictors.card import PredictorCard
from teacher.sample import TASKS, check_tasks, resize_photograph
from teacher.segment_edges import sharpen_segments
from teacher.views import paint_view, plan_views
from teacher.votes import vote_depth, vote_normals, vote_segments

MAX_ASPECT_RATIO = 8
"""Longer panoramas are refused: the short side sets the scale, so the long one would explode."""

SKY_FROM_M = 120.0
"""Metric depth read from here on counts as at infinity: beyond it, ten levels of colour noise on
white, the colour of sky, reach every distance."""


PHOTOGRAPH = "photograph"

Paintings = Mapping[str, Sequence[np.ndarray]]
"""Task -> the paintings of one photograph, (H, W, 3) float32 in 0..1, one for each of its views;
"photograph" -> itself alone, (H, W, 3) uint8: edges are read along its own."""


class TeacherLabeller:
    """Labels photographs with a painter. Painting is for one thread, reading for any number."""

    def __init__(self, painter: Painter, tasks: Sequence[str] = TASKS, votes: int = 1) -> None:
        """Raises ValueError for a task without an instruction, and for more votes than the teacher
        has different views."""
        card = painter.card
        self.painter = painter
        self.tasks = check_tasks(tasks)
        require_tasks(card, self.tasks)
        self.votes = votes
        self.views = plan_views(card, self.tasks, votes)
        legends = range(len(card.legends) if card.classes else 0)
        self.palettes = tuple(card_palette(card, legend) for legend in legends)
        self.depth_codec = codec_from_json(card.depth_codec)

    def label(self, photographs: Sequence[np.ndarray], seeds: Sequence[int]) -> list[LabelPlanes]:
        """Label photographs of one size, at the teacher's size: see teacher_size.

        photographs: (H, W, 3) uint8 sRGB each, all of one size; seeds: one per photograph.
        Raises ValueError for sizes that differ and for a painting that is not finite.
        """
        fitted = [self.fit(photograph) for photograph in photographs]
        return [self.read(paintings) for paintings in self.paint(fitted, seeds)]

    def fit(self, photograph: np.ndarray) -> np.ndarray:
        """See fit_photograph."""
        return fit_photograph(photograph, self.painter.card)

    def paint(self, photographs: Sequence[np.ndarray], seeds: Sequence[int]) -> list[Paintings]:
        """Paint every view of photographs that fit the teacher, one view after the other."""
        sizes = {photograph.shape for photograph in photographs}
        if len(sizes) > 1:
            raise ValueError(f"a batch holds photographs of one size, found {sorted(sizes)}")
        batch = np.stack(photographs)
        painted: dict[str, list[np.ndarray]] = {task: [] for task in self.tasks}
        for view in self.views:
            for task, paintings in paint_view(self.painter, batch, seeds, view):
                painted[task].append(paintings)
        return [
            {
                PHOTOGRAPH: [photo],
                **{task: [view[row] for view in painted[task]] for task in painted},
            }
            for row, photo in enumerate(photographs)
        ]

    def read(self, painted: Paintings) -> LabelPlanes:
        """Decode the paintings of one photograph, merge them, and say how sure the result is.

        Raises ValueError naming the task whose painting is not finite.
        """
        reading = self.decode(painted)
        return LabelPlanes(
            depth_m=reading.depth_m,
            normal=reading.normal,
            segment=reading.segment,
            classes=reading.classes,
            confidence=confidence_image(self.confidence(reading)),
        )

    def provenance(self) -> dict[str, Any]:
        """How the labels come about, as fields of a Record."""
        card = self.painter.card
        return {
            "teacher": card.identity(),
            "prompts": {task: card.instructions[task] for task in self.tasks},
            "steps": card.steps,
            "votes": self.votes,
            "depth_codec": card.depth_codec if "depth" in self.tasks else None,
            "palette": self._used_palettes() if "segment" in self.tasks else None,
        }

    def _used_palettes(self) -> dict[str, Any]:
        """The classes, their colours, and under "legends" the colours of further instructions.

        The text of an instruction stands in teacher.json, which the record's config_sha256 covers.
        """
        legends = {view.instruction("segment"): self.palettes[view.legend] for view in self.views}
        colors = {name: palette.colors.tolist() for name, palette in legends.items()}
        first = {"classes": list(self.palettes[0].names), "colors": colors.pop("segment")}
        return {**first, "legends": colors} if colors else first

    def decode(self, paintings: Paintings) -> Reading:
        """Decode the paintings of one photograph and merge their votes; see read."""
        for task in self.tasks:
            if not all(np.isfinite(painting).all() for painting in paintings[task]):
                dtype = "the arithmetic overflowed; try --dtype bfloat16 or float32"
                raise ValueError(f"the painting of {task} is not finite: {dtype}")
        planes: dict[str, Any] = {}
        if "depth" in self.tasks:
            planes |= self._read_depth(paintings["depth"])
        if "normal" in self.tasks:
            planes |= self._read_normals(paintings["normal"], paintings[PHOTOGRAPH][0])
        if "segment" in self.tasks:
            planes |= self._read_segments(paintings["segment"])
        return Reading(**planes)

    def _read_depth(self, paintings: Sequence[np.ndarray]) -> dict[str, Any]:
        codec = self.depth_codec
        decoded = [sharpen_edges(decode_depth(p, codec), p, codec) for p in paintings]
        vote = vote_depth(np.stack([_known_depth(view.depth_m) for view in decoded]))
        return {
            "depth_m": vote.depth_m,
            "depth_residual": np.mean([view.residual for view in decoded], axis=0),
            "depth_votes": vote.spread if self.votes > 1 else None,
        }

    def _read_normals(
        self, paintings: Sequence[np.ndarray], photograph: np.ndarray
    ) -> dict[str, Any]:
        decoded = [decode_normals(painting) for painting in paintings]
        vote = vote_normals(np.stack([view.normal for view in decoded]))
        return {
            "normal": sharpen_normals(vote.normal, photograph),
            "normal_length": np.mean([np.abs(view.length - 1) for view in decoded], axis=0),
            "normal_votes": vote.spread_deg if self.votes > 1 else None,
        }

    def _read_segments(self, paintings: Sequence[np.ndarray]) -> dict[str, Any]:
        palettes = [self.palettes[view.legend] for view in self.views if "segment" in view.tasks]
        decoded = [
            _classes_of(painting, palette)
            for painting, palette in zip(paintings, palettes, strict=True)
        ]
        vote = vote_segments(
            np.stack([view.ids for view in decoded]), np.stack([view.margin for view in decoded])
        )
        return {
            "segment": vote.ids,
            "segment_margin": vote.margin,
            "segment_votes": vote.against if self.votes > 1 else None,
            "classes": self.palettes[0].names,
        }

    def confidence(self, reading: Reading) -> dict[str, np.ndarray]:
        """Task -> (H, W) 0..1: how sure each pixel of a reading is; 0 where it is unknown."""
        found, known = evidence(reading), known_pixels(reading)
        fits = {task: self._fit(task) for task in self.tasks}
        used = {name for fit in fits.values() if fit for name in fit.weights}
        features = {name: scaled(name, found[name]) for name in used}
        sure = {
            task: fit.probability_of_scaled(features) if fit else uncalibrated(task, found)
            for task, fit in fits.items()
        }
        return {task: known[task] * sure[task] for task in self.tasks}

    def _fit(self, task: str) -> Fit | None:
        calibration = self.painter.card.calibration
        return calibration and calibration.fit_for(task, self.tasks, self.votes)


def _classes_of(painting: np.ndarray, palette: Palette) -> DecodedSegments:
    """Classes of one painting, without a drift of its colours and without blends at edges."""
    levels = correct_drift(painting, palette).rgb
    return sharpen_segments(decode_segments(levels, palette), levels, palette)


def _known_depth(decoded_m: np.ndarray) -> np.ndarray:
    """Depth as labels hold it: 0 becomes NaN, the farthest becomes sky."""
    depth_m = np.where(decoded_m > 0, decoded_m, np.float32(np.nan))
    depth_m[depth_m >= SKY_FROM_M] = np.inf
    return depth_m


def card_palette(card: TeacherCard, legend: int = 0) -> Palette:
    """The colours that the teacher's segmentation instruction names, in one of its legends."""
    return Palette(card.classes, np.array(card.legends[legend], np.uint8))


def teacher_size(
    height_px: int, width_px: int, card: TeacherCard | PredictorCard
) -> tuple[int, int]:
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

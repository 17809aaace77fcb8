"""One labelled photograph as pictures and words: what a card of the gallery shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from teacher import pictures
from teacher.certainty import task_confidence
from teacher.sample import TASKS, Labels, resize_nearest, resize_photograph

TASK_TITLES = {"depth": "Depth", "normal": "Normals", "segment": "Segments"}
QUALITY = {"photograph": 82, "depth": 90, "normal": 90}
"""Of the compression; flat colours and confidence are kept exactly."""
DEPTH_PERCENTILES = (1, 99)
"""Depth colours span these; what lies beyond takes the first or the last one."""
LEAST_RATIO = 1.5
"""Between the two ends of the depth scale, so that a flat wall stays calm."""
SHOWN_CLASSES = 8
LEAST_SHARE = 0.001
"""Of the picture, for a class that the legend names."""
CONFIDENCE_STOPS = ((140, 28, 34), (214, 96, 58), (240, 178, 104), (232, 219, 190), (245, 241, 232))
"""From no confidence, which should be seen, to full confidence, which need not."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture file of a card."""

    name: str
    title: str
    href: str
    """Relative to the gallery's folder."""
    width_px: int
    height_px: int


@dataclass(frozen=True, kw_only=True)
class TaskView:
    """What a card shows of one task."""

    name: str
    title: str
    label: Picture
    confidence: Picture | None
    mean_confidence: float | None
    ticks: tuple[str, ...] = ()
    """Beneath the depth scale, from near to far."""
    classes: tuple[tuple[str, str, str], ...] = ()
    """Name, CSS colour and share of the classes in the picture, the largest first."""
    more_classes: int = 0


@dataclass(frozen=True, kw_only=True)
class Card:
    """One labelled photograph."""

    shard: str
    key: str
    confidence: float | None
    photograph: Picture
    tasks: tuple[TaskView, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def name(self) -> tuple[str, str]:
        """Shard and key, which no other card has."""
        return self.shard, self.key


class Drawer:
    """Writes pictures below a folder under names that hold nothing of a key."""

    def __init__(self, out: Path, folder: str, size_px: int) -> None:
        """size_px: the longest side of a picture."""
        self.out, self.folder, self.size_px = out, folder, size_px
        self.count = 0
        (out / folder).mkdir(parents=True, exist_ok=True)

    def card(self, shard: str, key: str, photo: np.ndarray, labels: Labels) -> Card:
        """Draw everything that is known of a photograph (H, W, 3) uint8."""
        self.count += 1
        sure = None if labels.confidence is None else task_confidence(labels)
        # As sharp as it is, in the shape of its labels.
        shape = tuple(side * max(photo.shape) / max(labels.size) for side in labels.size)
        photograph = resize_photograph(photo, *self._size(shape))
        return Card(
            shard=shard,
            key=key,
            confidence=None if sure is None else float(np.mean(list(sure.values()))),
            photograph=self._save("photograph", "Photograph", photograph),
            tasks=tuple(self._task(task, labels, sure) for task in labels.tasks),
            facts=tuple(facts(labels)),
        )

    def thumbnail(self, photo: np.ndarray) -> Picture:
        """Draw a photograph (H, W, 3) uint8 that has no labels."""
        self.count += 1
        photo = resize_photograph(photo, *self._size(photo.shape[:2]))
        return self._save("photograph", "Photograph", photo)

    def _size(self, size: Sequence[float]) -> tuple[int, int]:
        """Height and width at which a plane is shown; nothing is enlarged."""
        scale = min(1.0, self.size_px / max(size))
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    def _task(self, task: str, labels: Labels, sure: dict[str, float] | None) -> TaskView:
        size = self._size(labels.size)
        drawn, words = _draw(task, labels)
        return TaskView(
            name=task,
            title=TASK_TITLES[task],
            label=self._save(task, TASK_TITLES[task], resize_nearest(drawn, *size)),
            confidence=self._confidence(task, labels),
            mean_confidence=None if sure is None else sure[task],
            **words,
        )

    def _confidence(self, task: str, labels: Labels) -> Picture | None:
        if labels.confidence is None:
            return None
        picture = confidence_colors(labels.confidence[..., TASKS.index(task)] / 255)
        title = f"Confidence of {TASK_TITLES[task].lower()}"
        return self._save(f"{task}-confidence", title, picture)

    def _save(self, name: str, title: str, picture: np.ndarray) -> Picture:
        href = f"{self.folder}/{self.count:04d}-{name}.webp"
        options = {"quality": QUALITY[name]} if name in QUALITY else {"lossless": True}
        Image.fromarray(picture).save(self.out / href, "WEBP", method=2, **options)
        height, width = picture.shape[:2]
        return Picture(name=name, title=title, href=href, width_px=width, height_px=height)


def _draw(task: str, labels: Labels) -> tuple[np.ndarray, dict]:
    """The picture (H, W, 3) uint8 of a task, and what stands beneath it."""
    if task == "depth" and labels.depth_m is not None:
        if labels.depth_kind == "affine":
            return pictures.relative_depth_picture(labels.depth_m), {"ticks": ("near", "far")}
        near_m, far_m = depth_range(labels.depth_m)
        ticks = tuple(_in_metres(distance_m) for distance_m in np.geomspace(near_m, far_m, 3))
        return pictures.depth_picture(labels.depth_m, near_m, far_m), {"ticks": ticks}
    if task == "normal" and labels.normal is not None:
        return pictures.normal_picture(labels.normal), {}
    assert labels.segment is not None, task
    named, more = class_legend(labels)
    words = {"classes": named, "more_classes": more}
    return pictures.segment_picture(labels.segment, len(labels.classes)), words


def _in_metres(distance_m: float) -> str:
    """Two digits, never with an exponent."""
    return f"{float(f'{distance_m:.2g}'):g} m"


def depth_range(depth_m: np.ndarray) -> tuple[float, float]:
    """Metres at the two ends of the depth colours of one label."""
    known = depth_m[np.isfinite(depth_m)]
    if not known.size:
        return 1.0, 10.0
    near_m, far_m = (float(metres) for metres in np.percentile(known, DEPTH_PERCENTILES))
    return near_m, max(far_m, near_m * LEAST_RATIO)


def class_legend(labels: Labels) -> tuple[tuple[tuple[str, str, str], ...], int]:
    """Name, colour and share of the largest classes in a picture, and how many more it has."""
    assert labels.segment is not None
    counts = np.bincount(labels.segment.ravel(), minlength=len(labels.classes))
    counts = counts[: len(labels.classes)]
    present = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    colors = pictures.segment_colors(len(labels.classes))
    named = tuple(
        (
            labels.classes[i],
            pictures.css_color(colors[i]),
            f"{counts[i] / labels.segment.size:.1%}",
        )
        for i in present[:SHOWN_CLASSES]
        if counts[i] >= LEAST_SHARE * labels.segment.size
    )
    return named, len(present) - len(named)


def confidence_colors(share: np.ndarray) -> np.ndarray:
    """(...) 0..1 -> (..., 3) uint8: red where nothing is sure, pale where all is."""
    stops = np.array(CONFIDENCE_STOPS, np.float64)
    at = np.clip(share, 0, 1) * (len(stops) - 1)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def facts(labels: Labels) -> list[tuple[str, str]]:
    """Where a label came from, as names and values."""
    record = labels.record
    teacher = {k: v for k, v in record.teacher.items() if v is not None}
    return [
        ("photograph", f"{record.photo_width_px} × {record.photo_height_px} px"),
        ("labels", f"{record.width_px} × {record.height_px} px, {record.resize}"),
        ("sha256 of the photograph", record.photo_sha256),
        *((name.replace("_", " "), str(value)) for name, value in teacher.items()),
        ("steps, votes", f"{record.steps}, {record.votes}"),
        ("arithmetic, seed", f"{record.dtype}, {record.seed}"),
        *((f"prompt of {task}", text) for task, text in record.prompts.items()),
        ("versions", ", ".join(f"{name} {text}" for name, text in record.versions.items())),
    ]

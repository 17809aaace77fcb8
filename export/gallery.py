"""Rows of pictures: photograph, teacher, student, difference, ground truth."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import cv2
import numpy as np

from export import differences
from teacher import pictures
from teacher.sample import Labels

PHOTOGRAPH_QUALITY = 82
QUALITY = {"depth": 88, "normal": 88, "segment": None}
"""Of the compression, where a picture varies smoothly; flat colours are kept exactly."""
SHOWN_PERCENTILES = (2, 98)
"""Of a picture's depths; what lies beyond takes the last colour."""
SHOWN_PX = 512
"""Longer side of a picture in the page; more would only make it slow to load."""
LEAST_RATIO = 1.5
"""Between the far and the near end of the depth colours, so that a flat wall stays calm."""


class Planes(Protocol):
    """What labels and predictions have in common."""

    @property
    def depth_m(self) -> np.ndarray | None: ...
    @property
    def normal(self) -> np.ndarray | None: ...
    @property
    def segment(self) -> np.ndarray | None: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Specimen:
    """One photograph with everything that is said of it, for one strip of pictures a task."""

    key: str
    photograph: np.ndarray
    """(H, W, 3) uint8, the pixels that both labellers saw."""
    teacher: Planes
    student: Planes
    truth: Labels | None
    note: str = ""
    """Source and licence, for photographs that are not the project's own."""
    scores: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Task -> what to print below teacher and student."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One cell of a strip."""

    label: str
    uri: str
    width_px: int
    height_px: int
    score: str = ""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One row of a gallery."""

    title: str
    pictures: Sequence[Picture]


def depth_range(specimen: Specimen) -> tuple[float, float]:
    """Metres at the two ends of the depth colours of one photograph.

    They hold nearly all that truth, teacher and student say where the depth is known: sky that one
    of them takes for something far away shall not stretch the scale.
    """
    planes = (specimen.truth, specimen.teacher, specimen.student)
    said_m = [p.depth_m for p in planes if p is not None and p.depth_m is not None]
    if not said_m:
        return 1.0, 10.0
    known = _is_depth(said_m[0])
    depths_m = np.concatenate([plane[known & _is_depth(plane)] for plane in said_m])
    near_m, far_m = np.percentile(depths_m, SHOWN_PERCENTILES) if depths_m.size else (1.0, 10.0)
    return float(near_m), float(max(far_m, near_m * LEAST_RATIO))


def _is_depth(depth_m: np.ndarray) -> np.ndarray:
    return np.isfinite(depth_m) & (depth_m > 0)


def make_strip(specimen: Specimen, task: str, classes: Sequence[str]) -> Strip | None:
    """The pictures of one photograph and task; None if teacher or student do not do the task."""
    range_m = depth_range(specimen)
    paint = partial(_paint, task=task, range_m=range_m, count=len(classes))
    taught, learned = paint(specimen.teacher), paint(specimen.student)
    differs = _differ(specimen.teacher, specimen.student, task, range_m[1])
    if taught is None or learned is None or differs is None:
        return None
    scores = specimen.scores.get(task, ("", ""))
    quality = QUALITY[task]
    cells = [
        _picture("photograph", specimen.photograph, PHOTOGRAPH_QUALITY),
        _picture("teacher", taught, quality, scores[0]),
        _picture("student", learned, quality, scores[1]),
        _picture("difference", differs, quality),
    ]
    truth = paint(specimen.truth) if specimen.truth else None
    if truth is not None:
        cells.append(_picture("ground truth", truth, quality))
    return Strip(title=_title(specimen, task), pictures=cells)


def make_strips(specimens: Iterable[Specimen], task: str, classes: Sequence[str]) -> list[Strip]:
    """A strip for each photograph that has the task."""
    strips = (make_strip(specimen, task, classes) for specimen in specimens)
    return [strip for strip in strips if strip is not None]


def _title(specimen: Specimen, task: str) -> str:
    parts = [specimen.key, specimen.note]
    if task == "depth":
        near_m, far_m = depth_range(specimen)
        parts.append(f"{near_m:.2g} to {far_m:.2g} m")
    return " · ".join(filter(None, parts))


def _paint(
    planes: Planes | None, *, task: str, range_m: tuple[float, float], count: int
) -> np.ndarray | None:
    if planes is None:
        return None
    if task == "depth" and planes.depth_m is not None:
        return pictures.depth_picture(planes.depth_m, *range_m)
    if task == "normal" and planes.normal is not None:
        return pictures.normal_picture(planes.normal)
    if task == "segment" and planes.segment is not None:
        return pictures.segment_picture(planes.segment, count)
    return None


def _differ(teacher: Planes, student: Planes, task: str, far_m: float) -> np.ndarray | None:
    if task == "depth" and teacher.depth_m is not None and student.depth_m is not None:
        return differences.depth_difference(teacher.depth_m, student.depth_m, far_m)
    if task == "normal" and teacher.normal is not None and student.normal is not None:
        return differences.normal_difference(teacher.normal, student.normal)
    if task == "segment" and teacher.segment is not None and student.segment is not None:
        return differences.segment_difference(teacher.segment, student.segment)
    return None


def _picture(label: str, picture: np.ndarray, quality: int | None, score: str = "") -> Picture:
    scale = min(1.0, SHOWN_PX / max(picture.shape))
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = picture.shape[:2]
    uri = pictures.data_uri(picture, quality=quality)
    return Picture(label=label, uri=uri, width_px=width, height_px=height, score=score)


def legends(classes: Sequence[str]) -> dict[str, object]:
    """What the page's legends show."""
    steps = np.linspace(0, 1, 9)
    colors = pictures.segment_colors(len(classes))
    return {
        "depth_ramp": pictures.css_gradient(pictures.depth_colors(steps)),
        "sky": pictures.css_color(pictures.SKY_COLOR),
        "unknown": pictures.css_color(pictures.UNKNOWN_COLOR),
        "difference_ramp": pictures.css_gradient(differences.difference_colors(steps)),
        "differs": pictures.css_color(differences.difference_colors(np.ones(1))[0]),
        "ratio": f"{differences.RATIO_AT_FULL:g}",
        "degrees": f"{differences.DEGREES_AT_FULL:g}",
        "sphere": pictures.data_uri(pictures.normal_sphere(80)),
        "classes": [(n, pictures.css_color(c)) for n, c in zip(classes, colors)],
    }

"""Real photographs with whatever ground truth they carry, cut to squares for a comparison.

The folder is described in distill.datasets.folder. Segmentation in classes of its own is not
scored. Every photograph is cut to its central square and resized: a crop changes neither depth nor
normals, a stretch would.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distill.datasets.folder import read_entry, read_manifest
from distill.datasets.source import Item
from distill.datasets.truth import Truth, read_photograph, read_truth
from teacher.sample import Labels, Record, resize_nearest, resize_photograph

__all__ = ["RealPhotograph", "crop_square", "read_manifest", "read_real", "sample_square"]

SCORED = ("depth", "normal")


@dataclass(frozen=True, kw_only=True, eq=False)
class RealPhotograph:
    """One photograph of a manifest, cropped and resized."""

    key: str
    source: str
    scene: str
    licence: str
    photograph: np.ndarray
    """(S, S, 3) uint8"""
    truth: Labels | None
    """Depth and normals where the manifest has them; None without either."""
    record: Record


def read_real(
    folder: Path, entries: Sequence[Mapping[str, Any]], size_px: int
) -> Iterator[RealPhotograph]:
    """Read the photographs of a manifest's entries one by one.

    Raises FileNotFoundError or ValueError naming the file that is missing or cannot be read, and
    ValueError when ground truth has another size, unit or axes than it should have.
    """
    for entry in entries:
        item = read_entry(folder, entry, SCORED)
        data, photo = read_photograph(item)
        record = Record(
            photo_sha256=hashlib.sha256(data).hexdigest(),
            width_px=size_px,
            height_px=size_px,
            photo_width_px=photo.shape[1],
            photo_height_px=photo.shape[0],
            teacher={"path_or_hub_id": entry.get("gt", "ground truth")},
        )
        square = np.ascontiguousarray(crop_square(photo))
        yield RealPhotograph(
            key=item.name,
            source=item.source,
            scene=item.scene,
            licence=item.licence,
            photograph=resize_photograph(square, size_px, size_px),
            truth=_read_square(item, (photo.shape[0], photo.shape[1]), record),
            record=record,
        )


def _read_square(item: Item, size: tuple[int, int], record: Record) -> Labels | None:
    tasks = [task for task in SCORED if task in item.truth]
    if not tasks:
        return None
    planes = read_truth(item, size, tasks)
    cut = (None if plane is None else sample_square(plane, record.width_px) for plane in planes)
    return Truth(*cut).labels(record, ())


def crop_square(picture: np.ndarray) -> np.ndarray:
    """The central square of (H, W, ...)."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def sample_square(plane: np.ndarray, size_px: int) -> np.ndarray:
    """The central square of a label at another size, by its nearest pixels: nothing is blended."""
    return np.ascontiguousarray(resize_nearest(crop_square(plane), size_px, size_px))

"""What a data set is before it is imported: photographs, and how to read what is known of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from teacher.members import plain_key
from teacher.normals import Convention

INDOOR, OUTDOOR = "indoor", "outdoor"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

Anything = TypeVar("Anything")
Reader = Callable[[], np.ndarray]
Intrinsics = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One photograph of a data set; its files are known to exist, and none has been read."""

    name: str
    """Its name in the data set, of which the key is made."""
    photo: Path
    truth: Mapping[str, Reader] = field(default_factory=dict)
    """Task -> reader. depth: (H, W) float32 metres, NaN = unknown. normal: (H, W, 3) float32 in the
    data set's `axes`, zero = unknown. segment: (H, W) uint8 ids of `classes`, 255 = ignore."""
    scene: str
    """Pictures of one place or drive have one scene: a fair split keeps them together."""
    part: str = ""
    """The part of the split to which it belongs, where parts are counted apart."""
    source: str = ""
    """The collection that it comes from, where a folder holds several."""
    domain: str = "unknown"
    licence: str = ""
    """Its own licence, where a folder holds several."""
    axes: Convention = "camera"
    """Of the normals that `truth` reads."""
    classes: tuple[str, ...] = ()
    intrinsics: Intrinsics | None = None
    """fx, fy, cx, cy in pixels, the centre of the first pixel at (0.5, 0.5)."""

    @property
    def key(self) -> str:
        """The key in the shards: the name with `_` in place of what a key must not contain."""
        return plain_key(self.name)


@dataclass(frozen=True, kw_only=True, eq=False)
class Format:
    """A layout that can be imported, and what is published about the set that has it."""

    licence: str
    homepage: str
    """Where to get it."""
    splits: Mapping[str, Mapping[str, int]]
    """Split -> part -> official number of photographs; the first split is the default. Empty for
    a folder of one's own, whose split may have any name."""
    find: Callable[[Path, str], list[Item]]
    """Folder and split -> its photographs. Raises FileNotFoundError naming what was expected."""


def inside(root: Path, path: Path) -> Path:
    """The path, if the file exists and lies below the folder, also after links are followed.

    Raises ValueError when it leaves the folder, FileNotFoundError when there is no such file.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{path}: lies outside of the folder {root}; copy the file into it")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, though the data set has one there")
    return path


def list_files(root: Path, folder: Path, pattern: str) -> list[Path]:
    """The files below a folder that match, ordered by path, each checked by `inside`."""
    return [inside(root, path) for path in sorted(folder.glob(pattern))]


def matrix_intrinsics(matrix: np.ndarray) -> Intrinsics:
    """fx, fy, cx, cy of a 3 x 3 matrix in which the first pixel has its centre at (0, 0)."""
    fx, fy, cx, cy = (float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return fx, fy, cx + 0.5, cy + 0.5


def spread(items: Sequence[Anything], limit: int | None) -> list[Anything]:
    """So many of the items, evenly spread; all of them without a limit."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]


def expect_folder(candidates: Iterable[Path], layout: str) -> Path:
    """The first of the folders that exists. Raises FileNotFoundError describing the layout."""
    tried = list(candidates)
    for folder in tried:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{tried[0]}: no such folder; expected {layout}")

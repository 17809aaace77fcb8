"""Tiny data sets in official layouts, for the tests of importing."""

from pathlib import Path

import cv2
import numpy as np

from distill.datasets import ImportConfig
from teacher.sample import Labels
from teacher.shards import read_pairs

SIZE = (24, 32)
"""Height and width of the pictures."""


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """Gray (H, W) of 8 or 16 bits, or RGB (H, W, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    assert cv2.imwrite(str(path), stored)
    return path


def write_photo(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """A picture of noise, PNG or JPEG as the path's suffix says."""
    rng = np.random.default_rng(seed)
    return write_png(path, rng.integers(0, 256, (*size, 3), dtype=np.uint8))


def write_array(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def ramp(step: int, first: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W) uint16 that grows by `step` from column to column."""
    row = first + step * np.arange(size[1])
    return np.broadcast_to(row.astype(np.uint16), size).copy()


def write_camvid(root: Path, names: list[str], split: str = "val") -> Path:
    """CamVid as rgb/ and seg/, all of one class save a column of void."""
    for number, name in enumerate(names):
        write_photo(root / split / "rgb" / f"{name}.jpg", number)
        classes = np.full(SIZE, number % 11, np.uint8)
        classes[:, 0] = 255
        write_png(root / split / "seg" / f"{name}.png", classes)
    return root


def config(format: str, folder: Path, **fields) -> ImportConfig:
    """An import of a part of a set, beside its folder."""
    out = folder.parent / f"{folder.name}-imported"
    return ImportConfig(
        **{"format": format, "folder": folder, "out": out, "allow_partial": True} | fields
    )


def imported(out: Path) -> dict[str, tuple[bytes, Labels]]:
    """Key -> photograph and labels of an imported set."""
    return {
        key: (photo, labels)
        for shard in sorted((out / "labels").glob("*.tar"))
        for key, photo, labels in read_pairs(out / "images" / shard.name, shard)
    }

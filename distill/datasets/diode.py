"""DIODE: rooms and streets measured by one laser scanner; 325 + 446 pictures for validation.

    val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010.png
    val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010_depth.npy       metres
    val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010_depth_mask.npy  1 = valid
    val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010_normal.npy      where unpacked

and `val/outdoor` alike (val.tar.gz, val_normals.tar.gz). Depth is (H, W, 1) float32; where the mask
is 0 it means nothing. Nothing published says in which axes the normals are: they are taken for
OpenCV's and compared with the depth, which tells when they are others (then give --axes).
"""

from functools import partial
from pathlib import Path

import numpy as np

from distill.datasets.planes import read_array
from distill.datasets.source import (
    INDOOR,
    OUTDOOR,
    Format,
    Item,
    Reader,
    expect_folder,
    inside,
    list_files,
)

PLACES = {"indoors": INDOOR, "outdoor": OUTDOOR}
INTRINSICS = (886.81, 927.06, 512.0, 384.0)
"""Of the 1024 x 768 pictures; intrinsics.txt of the devkit."""
MIN_LENGTH = 1e-3
"""A normal shorter than this points nowhere."""


def find(folder: Path, split: str) -> list[Item]:
    """The pictures of a split, indoors before outdoor."""
    layout = f"{split}/indoors and {split}/outdoor with scene_*/scan_*/*.png"
    root = expect_folder((folder / split,), layout)
    places = [root / place for place in PLACES if (root / place).is_dir()]
    expect_folder(places or [root / "indoors"], layout)
    return [
        _item(folder, photo)
        for place in places
        for photo in list_files(folder, place, "scene_*/scan_*/*.png")
    ]


def _item(folder: Path, photo: Path) -> Item:
    depth, mask, normal = (
        photo.with_name(f"{photo.stem}_{kind}.npy") for kind in ("depth", "depth_mask", "normal")
    )
    truth: dict[str, Reader] = {
        "depth": partial(read_depth, inside(folder, depth), inside(folder, mask))
    }
    if normal.exists():
        truth["normal"] = partial(read_normal, inside(folder, normal))
    place = photo.parents[2].name
    return Item(
        name=photo.stem,
        photo=photo,
        truth=truth,
        scene=photo.parents[1].name,
        part=place,
        domain=PLACES[place],
        axes="opencv",
        intrinsics=INTRINSICS,
    )


def read_depth(path: Path, mask_path: Path) -> np.ndarray:
    """Depth in metres where the mask is 1: (H, W) float32, NaN = none."""
    depth, mask = _plane(path), _plane(mask_path)
    if depth.shape != mask.shape:
        raise ValueError(f"{mask_path}: expected the depth's {depth.shape}, found {mask.shape}")
    return np.where((mask > 0) & (depth > 0), depth, np.nan).astype(np.float32)


def _plane(path: Path) -> np.ndarray:
    """(H, W) or (H, W, 1) numbers of a file as (H, W)."""
    array = read_array(path)
    plane = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if plane.ndim != 2 or plane.dtype.kind not in "fiub":
        raise ValueError(f"{path}: expected (H, W, 1) numbers, found {array.shape} {array.dtype}")
    return plane


def read_normal(path: Path) -> np.ndarray:
    """Unit normals (H, W, 3) float32 in the axes of the file; zero = none."""
    normal = read_array(path)
    if normal.ndim != 3 or normal.shape[2] != 3 or normal.dtype.kind != "f":
        raise ValueError(f"{path}: expected (H, W, 3) floats, found {normal.shape} {normal.dtype}")
    finite = np.isfinite(normal).all(axis=-1, keepdims=True)
    vector = np.where(finite, normal, 0).astype(np.float32)
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.divide(vector, length, out=np.zeros_like(vector), where=length > MIN_LENGTH)


FORMAT = Format(
    licence="MIT",
    homepage="https://diode-dataset.org",
    splits={"val": {"indoors": 325, "outdoor": 446}},
    find=find,
)

"""NYU Depth v2: rooms seen by a Kinect; its labelled pictures, 795 for training and 654 to test.

The official nyu_depth_v2_labeled.mat has to be unpacked first; three unpacked layouts are read:

    official_splits/test/bathroom/rgb_00045.jpg, sync_depth_00045.png    BTS: black borders, depth
    test/kitchen_0004/rgb_0001.png, depth_0001.png, filled_0001.png      Marigold: depth
    test/000000_img.png, 000000_normal.png, 000000_intrins.npy           DSINE: normals

and likewise `train`. Depth is the Kinect's own, not the filled one: 16-bit PNG in millimetres, 0 =
none; normals (of GeoNet) are 8-bit PNG in DSINE's axes. Papers cut evaluation to Eigen's crop and
to 10 m; nothing is cut here.
The set states no licence: research use. Get it from cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html.
"""

from functools import partial
from pathlib import Path

from distill.datasets.planes import read_array, read_depth_png, read_normal_png
from distill.datasets.source import (
    INDOOR,
    Format,
    Intrinsics,
    Item,
    expect_folder,
    inside,
    list_files,
    matrix_intrinsics,
)

PER_METRE = 1000.0
INTRINSICS = (518.8579, 519.4696, 325.0824, 253.2362)
"""Of the colour camera, from the toolbox, which counts pixels from 1: half a pixel less here."""
LAYOUT = "official_splits/SPLIT/SCENE/rgb_*.jpg, SPLIT/SCENE/rgb_*.png or SPLIT/*_img.png"


def find(folder: Path, split: str) -> list[Item]:
    """The pictures of a split, with depth or with normals as the layout has them."""
    root = expect_folder((folder / "official_splits" / split, folder / split), LAYOUT)
    if with_depth := list_files(folder, root, "*/rgb_*"):
        return [_with_depth(folder, photo) for photo in with_depth]
    if with_normals := list_files(folder, root, "*_img.png"):
        return [_with_normals(folder, photo) for photo in with_normals]
    raise FileNotFoundError(f"{root}: holds no photographs; expected {LAYOUT}")


def _with_depth(folder: Path, photo: Path) -> Item:
    number = photo.stem.removeprefix("rgb_")
    raw = photo.with_name(f"depth_{number}.png")
    depth = raw if raw.exists() else photo.with_name(f"sync_depth_{number}.png")
    return Item(
        name=f"{photo.parent.name}_{number}",
        photo=photo,
        truth={"depth": partial(read_depth_png, inside(folder, depth), PER_METRE)},
        scene=photo.parent.name,
        domain=INDOOR,
        intrinsics=INTRINSICS,
    )


def _with_normals(folder: Path, photo: Path) -> Item:
    name = photo.stem.removesuffix("_img")
    path = inside(folder, photo.with_name(f"{name}_normal.png"))
    return Item(
        name=name,
        photo=photo,
        truth={"normal": partial(read_normal_png, path)},
        scene=name,
        domain=INDOOR,
        axes="dsine",
        intrinsics=_read_intrinsics(inside(folder, photo.with_name(f"{name}_intrins.npy"))),
    )


def _read_intrinsics(path: Path) -> Intrinsics:
    """From an array file."""
    matrix = read_array(path)
    if matrix.shape != (3, 3):
        raise ValueError(f"{path}: expected a 3 x 3 matrix, found shape {matrix.shape}")
    return matrix_intrinsics(matrix)


FORMAT = Format(
    licence="none stated: research use",
    homepage="https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
    splits={"test": {"": 654}, "train": {"": 795}},
    find=find,
)

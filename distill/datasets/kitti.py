"""KITTI depth: driving, with depth of several LiDAR sweeps, checked against stereo.

    val_selection_cropped/image/DRIVE_image_FRAME_image_02.png               split "val", 1000
    val_selection_cropped/groundtruth_depth/DRIVE_groundtruth_depth_FRAME_image_02.png
    val_selection_cropped/intrinsics/DRIVE_image_FRAME_image_02.txt          fx 0 cx 0 fy cy 0 0 1

is the official selection of the benchmark (data_depth_selection.zip), 1216 x 352 pixels, also below
`depth_selection/` or `data_depth_selection/`. The split "eigen" follows a list as BTS has it:

    eigen_test_files_with_gt.txt    697 lines: photograph, depth or "None" (45), focal length
    raw/2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png
    gt/2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png

where photographs may also lie in the folder itself, depth there or in data_depth_annotated/train or
/val. Depth is 16-bit PNG in 1/256 m, 0 = none. Papers cut Eigen's split to the benchmark's crop,
then to Eigen's or Garg's, and to 80 m; nothing is cut here.
"""

from functools import partial
from pathlib import Path

import numpy as np

from distill.datasets.planes import read_depth_png
from distill.datasets.source import (
    OUTDOOR,
    Format,
    Intrinsics,
    Item,
    expect_folder,
    inside,
    list_files,
    matrix_intrinsics,
)

PER_METRE = 256.0
SELECTION = "val_selection_cropped"
EIGEN_LIST = "eigen_test_files_with_gt.txt"
DEPTH_FOLDERS = ("gt", "data_depth_annotated/train", "data_depth_annotated/val", ".")


def find(folder: Path, split: str) -> list[Item]:
    """The frames of the official selection, or of Eigen's list those that have depth."""
    return _find_eigen(folder) if split == "eigen" else _find_selection(folder)


def _find_selection(folder: Path) -> list[Item]:
    parents = (folder, folder / "depth_selection", folder / "data_depth_selection")
    layout = f"{SELECTION}/image, groundtruth_depth and intrinsics"
    root = expect_folder((parent / SELECTION for parent in parents), layout)
    expect_folder((root / "image",), layout)
    return [_selected(folder, photo) for photo in list_files(folder, root / "image", "*.png")]


def _selected(folder: Path, photo: Path) -> Item:
    root = photo.parents[1]
    depth = root / "groundtruth_depth" / photo.name.replace("_image_", "_groundtruth_depth_", 1)
    camera = root / "intrinsics" / f"{photo.stem}.txt"
    return Item(
        name=photo.stem,
        photo=photo,
        truth={"depth": partial(read_depth_png, inside(folder, depth), PER_METRE)},
        scene=photo.stem.partition("_image_")[0],
        domain=OUTDOOR,
        intrinsics=_read_intrinsics(inside(folder, camera)),
    )


def _read_intrinsics(path: Path) -> Intrinsics:
    """From a text file: the matrix, row by row."""
    try:
        matrix = np.array(path.read_text(encoding="utf-8").split(), np.float64).reshape(3, 3)
    except ValueError as error:
        raise ValueError(f"{path}: expected the 9 numbers of a 3 x 3 matrix ({error})") from error
    return matrix_intrinsics(matrix)


def _find_eigen(folder: Path) -> list[Item]:
    path = folder / EIGEN_LIST
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected Eigen's list of test files there")
    items = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if len(words) != 3:
            raise ValueError(f"{path}, line {number}: expected photograph, depth and focal length")
        if words[1] != "None":
            items.append(_listed(folder, words[0], words[1]))
    return items


def _listed(folder: Path, photo: str, depth: str) -> Item:
    photo_file = _first_file(folder, ("raw", "."), photo)
    depth_file = _first_file(folder, DEPTH_FOLDERS, depth)
    drive = Path(depth).parts[0]
    return Item(
        name=f"{drive}_{photo_file.stem}",
        photo=photo_file,
        truth={"depth": partial(read_depth_png, depth_file, PER_METRE)},
        scene=drive,
        domain=OUTDOOR,
    )


def _first_file(folder: Path, parents: tuple[str, ...], name: str) -> Path:
    tried = [folder / parent / name for parent in parents]
    return inside(folder, next((path for path in tried if path.is_file()), tried[0]))


FORMAT = Format(
    licence="CC BY-NC-SA 3.0",
    homepage="https://www.cvlibs.net/datasets/kitti/eval_depth_all.php",
    splits={"val": {"": 1000}, "eigen": {"": 652}},
    find=find,
)

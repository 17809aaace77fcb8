"""Cityscapes: streets of 50 cities with the 19 classes of its benchmark.

    leftImg8bit/val/frankfurt/frankfurt_000000_000294_leftImg8bit.png
    gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelIds.png

and likewise `train` (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip). Label ids are the
official ones, 0 to 33, of which 19 are scored and the others are void. Official: 500 photographs
for validation, 2975 for training; the labels of the test part are not public.
"""

from functools import partial
from pathlib import Path

from distill.datasets.planes import id_table, read_segment_png
from distill.datasets.source import OUTDOOR, Format, Item, expect_folder, inside, list_files

CLASS_OF_ID = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""Label id -> class, in the order of the train ids 0 to 18: cityscapesscripts/helpers/labels.py."""
CLASSES = tuple(CLASS_OF_ID.values())
VOID = tuple(number for number in range(34) if number not in CLASS_OF_ID)
TABLE = id_table({number: at for at, number in enumerate(CLASS_OF_ID)}, ignored=VOID)
SUFFIX = "_leftImg8bit"


def find(folder: Path, split: str) -> list[Item]:
    """The photographs of a split, city by city."""
    photos, labels = folder / "leftImg8bit" / split, folder / "gtFine" / split
    for path in (photos, labels):
        expect_folder(
            (path,), f"leftImg8bit/{split} and gtFine/{split} with a folder for each city"
        )
    return [
        _item(folder, labels, photo) for photo in list_files(folder, photos, f"*/*{SUFFIX}.png")
    ]


def _item(folder: Path, labels: Path, photo: Path) -> Item:
    city, name = photo.parent.name, photo.stem.removesuffix(SUFFIX)
    path = inside(folder, labels / city / f"{name}_gtFine_labelIds.png")
    return Item(
        name=name,
        photo=photo,
        truth={"segment": partial(read_segment_png, path, TABLE)},
        classes=CLASSES,
        scene=city,
        part=city,
        domain=OUTDOOR,
    )


FORMAT = Format(
    licence="Cityscapes licence: non-commercial research, no redistribution",
    homepage="https://www.cityscapes-dataset.com",
    splits={
        "val": {"frankfurt": 267, "lindau": 59, "munster": 174},
        "train": {
            "aachen": 174,
            "bochum": 96,
            "bremen": 316,
            "cologne": 154,
            "darmstadt": 85,
            "dusseldorf": 221,
            "erfurt": 109,
            "hamburg": 248,
            "hanover": 196,
            "jena": 119,
            "krefeld": 99,
            "monchengladbach": 94,
            "strasbourg": 365,
            "stuttgart": 196,
            "tubingen": 144,
            "ulm": 95,
            "weimar": 142,
            "zurich": 122,
        },
    },
    find=find,
)

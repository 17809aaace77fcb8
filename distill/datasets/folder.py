"""Photographs with whatever ground truth they carry, listed in a manifest.json.

    FOLDER/manifest.json
    FOLDER/**/*.jpg, *.png     photographs, depth, normals and classes, wherever the manifest says

A manifest is a list of objects: `id`, `rgb` (path below the folder), and where known `source`,
`scene`, `domain`, `licence`, `K` (fx, fy, cx, cy in pixels, the centre of the first at (0, 0)),
`depth` (16-bit PNG, metres = value / `depth_scale`, 0 = none), `normal` (8-bit PNG, n = px / 127.5
- 1 in OpenCV's axes, black = none) and `seg` (8-bit PNG of ids, `ignore` = none) with `labels`:
"camvid11", or a NAME whose classes stand in FOLDER/NAME/classes.txt as lines `id: name`.
Whoever made the folder knows where it is from; licences are the entries' own.
"""

import json
from collections.abc import Collection, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from distill.datasets import camvid
from distill.datasets.planes import (
    id_table,
    read_depth_png,
    read_normal_png,
    read_segment_png,
)
from distill.datasets.source import Format, Intrinsics, Item, Reader, inside, spread
from teacher.sample import IGNORE_ID, TASKS

MANIFEST = "manifest.json"
REQUIRED = ("id", "rgb")
TEXTS = ("id", "rgb", "depth", "normal", "seg", "source", "scene", "domain", "licence")


def find(folder: Path, split: str) -> list[Item]:
    """The photographs of a manifest. Raises FileNotFoundError or ValueError naming the file, and
    the entry and field at fault."""
    return [read_entry(folder, entry) for entry in read_manifest(folder)]


def read_manifest(folder: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """The entries of folder/manifest.json; with a limit, so many of them, evenly spread."""
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a folder with a {MANIFEST}")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: expected a list of photographs, found {type(entries).__name__}")
    for number, entry in enumerate(entries):
        _check_entry(entry, f"{path}: entry {number}")
    return spread(entries, limit)


def _check_entry(entry: Any, where: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected an object, found {type(entry).__name__}")
    present = [key for key in TEXTS if key in entry or key in REQUIRED]
    if wrong := [key for key in present if not isinstance(entry.get(key), str)]:
        raise ValueError(f"{where}: expected text in {', '.join(wrong)}")
    if "depth" in entry and not (
        isinstance(entry.get("depth_scale"), int | float) and entry["depth_scale"] > 0
    ):
        raise ValueError(
            f"{where}: depth needs a depth_scale > 0, found {entry.get('depth_scale')}"
        )
    if entry.get("ignore", IGNORE_ID) not in range(IGNORE_ID + 1):
        raise ValueError(f"{where}: ignore: expected an id up to 255, found {entry['ignore']!r}")
    if "K" in entry and not (isinstance(entry["K"], list) and len(entry["K"]) == 4):
        raise ValueError(f"{where}: K: expected fx, fy, cx, cy, found {entry['K']}")


def read_entry(folder: Path, entry: Mapping[str, Any], tasks: Collection[str] = TASKS) -> Item:
    """One entry as an item, with its ground truth for these tasks; its files exist and lie in the
    folder. Raises FileNotFoundError or ValueError when they do not, or a class list is unknown."""
    source = entry.get("source", folder.resolve().name)
    truth: dict[str, Reader] = {}
    classes: tuple[str, ...] = ()
    if "depth" in entry and "depth" in tasks:
        path = inside(folder, folder / entry["depth"])
        truth["depth"] = partial(read_depth_png, path, entry["depth_scale"])
    if "normal" in entry and "normal" in tasks:
        truth["normal"] = partial(read_normal_png, inside(folder, folder / entry["normal"]))
    if "seg" in entry and "segment" in tasks:
        if not isinstance(entry.get("labels"), str):
            where = f"{folder / MANIFEST}: {entry['id']}"
            raise ValueError(f"{where}: seg needs the name of its class list in labels")
        classes, table = read_classes(folder, entry["labels"], entry.get("ignore", IGNORE_ID))
        path = inside(folder, folder / entry["seg"])
        truth["segment"] = partial(read_segment_png, path, table)
    return Item(
        name=entry["id"],
        photo=inside(folder, folder / entry["rgb"]),
        truth=truth,
        classes=classes,
        scene=entry.get("scene", source),
        source=source,
        domain=entry.get("domain", "unknown"),
        licence=entry.get("licence", "unknown"),
        axes="opencv",
        intrinsics=_intrinsics(entry),
    )


def _intrinsics(entry: Mapping[str, Any]) -> Intrinsics | None:
    """K counts from the centre of the first pixel, ours from its corner."""
    if "K" not in entry:
        return None
    fx, fy, cx, cy = entry["K"]
    return fx, fy, cx + 0.5, cy + 0.5


@cache
def read_classes(folder: Path, labels: str, ignore: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of a class list, and the table that takes its ids to theirs.

    Raises FileNotFoundError or ValueError when the list is not known or its file says nothing.
    """
    if labels == "camvid11":
        names = dict(enumerate(camvid.CLASSES))
    else:
        path = inside(folder, folder / labels / "classes.txt")
        names = _parse_classes(path)
        names.pop(ignore, None)
    table = id_table({number: at for at, number in enumerate(names)}, ignored=(ignore,))
    return tuple(names.values()), table


def _parse_classes(path: Path) -> dict[int, str]:
    """The lines `id: name` of a file, in the order of the ids."""
    pairs = [line.strip().partition(":") for line in path.read_text(encoding="utf-8").splitlines()]
    names = {int(number): name.strip() for number, _, name in pairs if number.isdecimal()}
    if not names or max(names) > IGNORE_ID:
        raise ValueError(f"{path}: expected lines `id: name` with ids up to {IGNORE_ID}")
    return dict(sorted(names.items()))


FORMAT = Format(
    licence="see the licence of each photograph",
    homepage="a folder with a manifest.json",
    splits={},
    find=find,
)

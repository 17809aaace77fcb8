"""Data sets in their official layouts as image shards and ground-truth label shards.

    OUT/images/000000.tar    photographs, byte for byte
    OUT/labels/000000.tar    ground truth in the contract of teacher.sample, at its own resolution
    OUT/dataset.json         what it is (distill.datasets.card), written last

Everything that reads labelled shards reads such a folder.
"""

import hashlib
import json
from collections.abc import Sequence

from distill.datasets import camvid, cityscapes, diode, folder, kitti, nyuv2
from distill.datasets.card import CARD_NAME, DatasetCard, read_dataset, write_dataset
from distill.datasets.selection import (
    ImportConfig,
    check_complete,
    choose_classes,
    choose_tasks,
    is_labelled,
    select_items,
)
from distill.datasets.shards import ShardPlan, write_shards
from distill.datasets.source import Format, Item
from teacher.provenance import write_run
from teacher.strict_json import parse_object

__all__ = [
    "FORMATS",
    "DatasetCard",
    "ImportConfig",
    "import_dataset",
    "read_dataset",
    "write_dataset",
]

FORMATS: dict[str, Format] = {
    "folder": folder.FORMAT,
    "camvid": camvid.FORMAT,
    "nyuv2": nyuv2.FORMAT,
    "kitti": kitti.FORMAT,
    "diode": diode.FORMAT,
    "cityscapes": cityscapes.FORMAT,
}
"""What `potstill import FORMAT` takes; each is described at the head of its file."""


def import_dataset(config: ImportConfig) -> DatasetCard:
    """Import a data set; a finished import is left alone, and a killed one goes on.

    Raises FileNotFoundError or ValueError in one line: a wrong folder or option, a missing file, an
    incomplete split, ground truth in other units, sizes or axes, or another set in `out`.
    """
    format = find_format(config)
    split = config.split or next(iter(format.splits), "all")
    official = format.splits.get(split, {})
    found = format.find(config.folder, split)
    check_complete(found, official, config)
    items = select_items(found, config)
    tasks = choose_tasks(items, config)
    plan = ShardPlan(
        name=config.name or config.format,
        tasks=tasks,
        classes=choose_classes(items, tasks),
        licence=format.licence,
        axes=config.axes,
        job_id=_job_id(items, tasks, split, config),
        per_shard=config.per_shard,
    )
    if _claim(config, plan.job_id) and (config.out / CARD_NAME).exists():
        return read_dataset(config.out)
    write_shards(config.out, items, plan)
    card = DatasetCard(
        name=plan.name,
        split=split,
        tasks=tasks,
        classes=plan.classes,
        count=len(items),
        labelled=sum(is_labelled(item, tasks) for item in items),
        official_count=sum(official.values()) or None,
        licence="; ".join(dict.fromkeys(item.licence or format.licence for item in items)),
        source=format.homepage,
        scenes={item.key: item.scene for item in items},
        domains={item.key: item.domain for item in items},
    )
    write_dataset(config.out, card)
    return card


def find_format(config: ImportConfig) -> Format:
    """The format that is asked for. Raises ValueError when it or its split is not known,
    FileNotFoundError when there is no folder."""
    if config.format not in FORMATS:
        raise ValueError(f"format: expected one of {tuple(FORMATS)}, found {config.format!r}")
    format = FORMATS[config.format]
    if config.split and format.splits and config.split not in format.splits:
        splits = tuple(format.splits)
        raise ValueError(f"split: {config.format} has {splits}, found {config.split!r}")
    if not config.folder.is_dir():
        raise FileNotFoundError(f"{config.folder}: no such folder; expected {config.format} there")
    return format


def _job_id(items: Sequence[Item], tasks: Sequence[str], split: str, config: ImportConfig) -> str:
    """The same for the same photographs, tasks and options; another when a photograph changes."""
    facts = {
        "set": [config.format, config.name, split, config.axes, config.per_shard, *tasks],
        "photographs": [[item.key, item.photo.stat().st_size, *item.truth] for item in items],
    }
    return f"import-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def _claim(config: ImportConfig, job_id: str) -> bool:
    """Note in OUT/run.json what is being imported; True if that was noted before.

    Raises ValueError when the folder holds another import, or something else.
    """
    run = config.out / "run.json"
    if run.is_file():
        if parse_object(run.read_bytes()).get("job_id") == job_id:
            return True
        if any(config.out.rglob("*.tar")):
            raise ValueError(
                f"{config.out}: holds another data set, or other photographs or tasks of this one; "
                "give --out another folder"
            )
    elif config.out.is_dir() and any(config.out.iterdir()):
        raise ValueError(f"{config.out}: not empty, and no import; give --out an empty folder")
    write_run(config.out, config, job_id=job_id)
    return False

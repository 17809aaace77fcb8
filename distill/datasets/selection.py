"""Which photographs of which data set are imported, and for which tasks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from distill.datasets.source import Item, spread
from teacher.normals import Convention
from teacher.sample import TASKS, check_key, check_tasks


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Turn a data set in its official layout into image shards and ground-truth label shards.

    Format and folder may go first, without their flags.
    """

    format: str
    """Layout of the folder: folder, camvid, nyuv2, kitti, diode or cityscapes."""
    folder: Path
    """The data set as it was unpacked."""
    out: Path
    """Folder for images/, labels/ and dataset.json."""
    split: str | None = None
    """Part of the data set, by default the one that papers evaluate on."""
    tasks: tuple[str, ...] = ()
    """Tasks to import, by default all that the chosen photographs have ground truth for."""
    scenes: tuple[str, ...] = ()
    """Only photographs of these scenes."""
    without_scenes: tuple[str, ...] = ()
    """No photographs of these scenes."""
    sources: tuple[str, ...] = ()
    """Only photographs of these sources, where a folder holds several."""
    only: Literal["labelled", "unlabelled", "all"] = "labelled"
    """Photographs with ground truth for the tasks, those with none at all, or all."""
    axes: Convention | None = None
    """Axes of the normals, where they are not those that the format documents: camera (+x right,
    +y up, +z towards the camera), opencv (y down, z forward) or dsine (as opencv, inwards)."""
    limit: int | None = None
    """So many photographs only, evenly spread."""
    allow_partial: bool = False
    """Import a folder that does not hold the whole split."""
    name: str | None = None
    """Name of the data set, by default the format's."""
    per_shard: int = 200
    """Photographs in a shard."""

    def __post_init__(self) -> None:
        if self.per_shard < 1 or (self.limit is not None and self.limit < 1):
            raise ValueError("limit and per_shard: expected at least 1")
        if self.tasks:
            check_tasks(self.tasks)


def check_complete(
    items: Sequence[Item], official: Mapping[str, int], config: ImportConfig
) -> None:
    """Raise ValueError naming the parts that lack photographs, unless a part was asked for."""
    total = sum(official.values())
    if not total or len(items) == total or config.limit or config.allow_partial:
        return
    counts = Counter(item.part for item in items)
    parts = [
        f"{part or 'photographs'} {counts[part]} of {number}"
        for part, number in official.items()
        if counts[part] != number
    ]
    raise ValueError(
        f"{config.folder}: expected the whole official split of {total} photographs, found "
        f"{len(items)} ({', '.join(parts)}); complete it, or give --allow-partial or --limit"
    )


def select_items(items: Sequence[Item], config: ImportConfig) -> list[Item]:
    """The photographs that the configuration asks for, in the order of the data set.

    Raises ValueError when it names a scene or source that is not there, when nothing is left, and
    when two photographs would share a key.
    """
    if not items:
        raise ValueError(f"{config.folder}: the folder is there, but it holds no photographs")
    scenes = dict.fromkeys(item.scene for item in items)
    sources = dict.fromkeys(item.source for item in items)
    _check_names("scenes", (*config.scenes, *config.without_scenes), scenes)
    _check_names("sources", config.sources, sources)
    chosen = [item for item in items if _is_wanted(item, config)]
    if not chosen:
        raise ValueError(
            f"{config.folder}: none of {len(items)} photographs is left by --only {config.only}, "
            "--tasks, --scenes and --sources"
        )
    chosen = spread(chosen, config.limit)
    _check_keys(chosen)
    return chosen


def _check_names(option: str, wanted: Sequence[str], known: Mapping[str, None]) -> None:
    if strangers := [name for name in wanted if name not in known]:
        raise ValueError(f"{option}: no {strangers[0]!r} here; found {', '.join(known)}")


def _is_wanted(item: Item, config: ImportConfig) -> bool:
    in_scene = not config.scenes or item.scene in config.scenes
    in_source = not config.sources or item.source in config.sources
    if not in_scene or not in_source or item.scene in config.without_scenes:
        return False
    if config.only == "labelled":
        return is_labelled(item, config.tasks or TASKS)
    return config.only == "all" or not item.truth


def is_labelled(item: Item, tasks: Sequence[str]) -> bool:
    """Whether there is ground truth for one of the tasks."""
    return any(task in item.truth for task in tasks)


def _check_keys(items: Sequence[Item]) -> None:
    names: dict[str, str] = {}
    for item in items:
        check_key(item.key)
        if item.key in names:
            raise ValueError(
                f"{item.name!r} and {names[item.key]!r} share the key {item.key!r}; rename one"
            )
        names[item.key] = item.name


def choose_tasks(items: Sequence[Item], config: ImportConfig) -> tuple[str, ...]:
    """The tasks of the label set, in the order of TASKS.

    Raises ValueError when one is wanted that no photograph has ground truth for.
    """
    known = {task for item in items for task in item.truth}
    absent = [task for task in config.tasks if task not in known]
    if absent and config.only != "unlabelled":
        raise ValueError(
            f"tasks: no {absent[0]} among the chosen photographs, only {sorted(known)}"
        )
    return tuple(task for task in TASKS if task in known and task in (config.tasks or TASKS))


def choose_classes(items: Sequence[Item], tasks: Sequence[str]) -> tuple[str, ...]:
    """The class list of the label set. Raises ValueError when the photographs have several."""
    if "segment" not in tasks:
        return ()
    lists: dict[tuple[str, ...], str] = {}
    for item in items:
        if "segment" in item.truth:
            lists.setdefault(item.classes, item.source or item.name)
    if len(lists) > 1:
        found = ", ".join(f"{source} with {len(names)}" for names, source in lists.items())
        raise ValueError(
            f"classes: several lists cannot stand in one label set ({found}); choose by --sources"
        )
    return next(iter(lists))

"""Label sets on disk: image and label shards side by side, and what all their labels share."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from teacher.sample import Labels
from teacher.shards import image_shards, read_pairs


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """Photographs and labels of them. Several sets are trained on together: each label is met as
    its teacher gave it, also when two sets label the same photographs; nothing is averaged."""

    images: Path
    """Image shards, or the folder that holds them."""
    labels: Path
    """Folder of the label shards that `potstill label` wrote."""
    relabelled: Path | None = None
    """Newer labels of some of these photographs, by `potstill label --parent`: they count."""
    weight: int = 1
    """How often each sample of this set is met while one of weight 1 is met once."""

    def __post_init__(self) -> None:
        if self.weight < 1:
            raise ValueError(
                f"{self.labels}: weight: expected a whole number of at least 1, found "
                f"{self.weight}; give the other sets a larger one"
            )


class ShardPair(NamedTuple):
    """An image shard and the label shard of the same name."""

    images: Path
    labels: Path
    relabelled: Path | None = None
    """Newer labels of some of its photographs."""
    weight: int = 1
    """That of its set."""


def match_sets(sets: Sequence[LabelSet]) -> list[ShardPair]:
    """The shards of all sets, in their order. Raises FileNotFoundError and ValueError as
    match_shards does, and ValueError when two sets are the same labels."""
    folders = [given.labels.resolve() for given in sets]
    if doubled := [folder for folder in folders if folders.count(folder) > 1]:
        raise ValueError(f"{doubled[0]}: given twice; give it once, with a larger weight")
    return [
        pair._replace(weight=given.weight)
        for given in sets
        for pair in match_shards(given.images, given.labels, given.relabelled)
    ]


def match_shards(images: Path, labels: Path, relabelled: Path | None = None) -> list[ShardPair]:
    """Pair the label shards of a folder with image shards of the same name.

    Image shards that are not labelled yet are passed over. relabelled: a folder of newer labels of
    some of the photographs, which count instead (see teacher.jobs.relabel).
    Raises FileNotFoundError when there is no label shard, ValueError when a label shard has no
    image shard.
    """
    found = sorted(labels.glob("*.tar"))
    if not found:
        raise FileNotFoundError(
            f"{labels}: no label shards (*.tar); write them with `potstill label`"
        )
    photographs = {path.name: path for path in image_shards(images)}
    if strays := [path.name for path in found if path.name not in photographs]:
        raise ValueError(
            f"{labels}: label shard {strays[0]} has no image shard of that name in {images}; give "
            "the photographs that were labelled"
        )
    newer = {path.name: path for path in relabelled.glob("*.tar")} if relabelled else {}
    if strays := sorted(newer.keys() - {path.name for path in found}):
        raise ValueError(f"{relabelled}: {strays[0]} has no shard of that name in {labels}")
    return [ShardPair(photographs[path.name], path, newer.get(path.name)) for path in found]


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """What all labels have in common, of one set or of several."""

    tasks: tuple[str, ...]
    classes: tuple[str, ...]
    depth_kind: str | None
    size: tuple[int, int]
    """Height and width of the first labels; others may differ, and are fitted."""
    first: Path
    """The shard of the first label, for messages."""


def read_facts(pairs: Sequence[ShardPair], tasks: Sequence[str]) -> LabelFacts:
    """Facts of the first label, checked against the first of each other folder.

    Raises ValueError when the shards hold no label at all, and as check_facts does.
    """
    facts: LabelFacts | None = None
    checked: set[Path] = set()
    for pair in pairs:
        if pair.labels.parent in checked:
            continue
        for key, _, labels in read_pairs(pair.images, pair.labels, tasks=tasks):
            facts = facts or _facts_of(labels, tasks, pair.labels)
            check_facts(labels, facts, f"{pair.labels}: {key}")
            checked.add(pair.labels.parent)
            break
    if facts is None:
        raise ValueError(
            f"{pairs[0].labels.parent}: the label shards are empty; label photographs first"
        )
    return facts


def _facts_of(labels: Labels, tasks: Sequence[str], shard: Path) -> LabelFacts:
    return LabelFacts(
        tasks=labels.tasks,
        classes=labels.classes if "segment" in tasks else (),
        depth_kind=labels.depth_kind,
        size=labels.size,
        first=shard,
    )


def check_facts(labels: Labels, facts: LabelFacts, where: str) -> None:
    """Raise ValueError when a label does not go together with the first one."""
    if facts.classes and labels.classes != facts.classes:
        raise ValueError(
            f"{where}: expected the classes of {facts.first} in their order; "
            f"{_first_difference(facts.classes, labels.classes)}; train on label sets of the same "
            "classes, or without segment (--tasks)"
        )
    if labels.depth_kind != facts.depth_kind:
        raise ValueError(
            f"{where}: expected {facts.depth_kind} depth as in {facts.first}, found "
            f"{labels.depth_kind}; train on label sets of one kind"
        )


def _first_difference(expected: Sequence[str], found: Sequence[str]) -> str:
    pairs = enumerate(zip_longest(expected, found))
    number, (there, here) = next(item for item in pairs if item[1][0] != item[1][1])
    return f"class {number} is {here!r} here, {there!r} there"


def held_out(key: str, fraction: float) -> bool:
    """Whether a sample belongs to the validation part: decided by its key alone, for ever."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64

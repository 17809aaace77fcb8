"""Labelled shards: photographs and labels joined by key, decoded by explicit decoders.

webdataset divides shards among workers and shuffles samples. It does not decode: its own decoders
clip 16-bit PNG and unpickle members, so that tars are read and checked by `teacher.shards` alone.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from webdataset.filters import shuffle
from webdataset.pipeline import DataPipeline

from distill.samples import Packed, pack_sample
from teacher.sample import Labels
from teacher.shards import image_shards, read_pairs, read_shard

LABEL_MEMBER = "label.json"


class ShardPair(NamedTuple):
    """An image shard and the label shard of the same name."""

    images: Path
    labels: Path
    relabelled: Path | None = None
    """Newer labels of some of its photographs."""


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


def label_keys(pairs: Sequence[ShardPair]) -> list[str]:
    """Keys of all labels, in the order of LabelledShards.once; decodes nothing."""
    return [
        sample.key for pair in pairs for sample in read_shard(pair.labels, suffixes=(LABEL_MEMBER,))
    ]


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """What all labels of a set have in common."""

    tasks: tuple[str, ...]
    classes: tuple[str, ...]
    depth_kind: str | None
    size: tuple[int, int]
    """Height and width of the first labels; others may differ, and are fitted."""


def read_facts(pairs: Sequence[ShardPair], tasks: Sequence[str]) -> LabelFacts:
    """Facts of the first label. Raises ValueError when the shards hold no label at all."""
    for pair in pairs:
        for _, _, labels in read_pairs(pair.images, pair.labels, tasks=tasks):
            classes = labels.classes if "segment" in tasks else ()
            return LabelFacts(
                tasks=labels.tasks, classes=classes, depth_kind=labels.depth_kind, size=labels.size
            )
    raise ValueError(
        f"{pairs[0].labels.parent}: the label shards are empty; label photographs first"
    )


class LabelledShards:
    """Samples of a label set, as an endless or a single pass over its shards.

    size: (height, width) to which samples are fitted. Every sample is checked against `facts`:
    ValueError names the shard and the key when class names or the kind of depth differ.
    """

    def __init__(
        self, pairs: Sequence[ShardPair], facts: LabelFacts, size: tuple[int, int]
    ) -> None:
        self.pairs = list(pairs)
        self.facts = facts
        self.size = size

    @property
    def folder(self) -> Path:
        """Where the label shards lie."""
        return self.pairs[0].labels.parent

    def once(self) -> Iterator[Packed]:
        """Every sample once, in the order of shards and keys."""
        return self._read(iter(self.pairs))

    def endless(self, seed: int, buffer: int) -> DataPipeline:
        """Samples for ever: shards in random order for each worker, shuffled in a buffer."""
        return DataPipeline(ShardPairs(self.pairs, seed), self._read, shuffle(buffer, seed=seed))

    def _read(self, pairs: Iterator[ShardPair]) -> Iterator[Packed]:
        for pair in pairs:
            for key, photo, labels in read_pairs(*pair, tasks=self.facts.tasks):
                where = f"{pair.labels}: {key}"
                check_facts(labels, self.facts, where)
                yield pack_sample(key, photo, labels, self.size, where)


class ShardPairs(torch.utils.data.IterableDataset):
    """Shard pairs for ever, in an order drawn anew for each pass and each worker."""

    def __init__(self, pairs: Sequence[ShardPair], seed: int) -> None:
        self.pairs = list(pairs)
        self.seed = seed

    def __iter__(self) -> Iterator[ShardPair]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, 0 if worker is None else worker.id))
        while True:
            for index in rng.permutation(len(self.pairs)):
                yield self.pairs[index]


def check_facts(labels: Labels, facts: LabelFacts, where: str) -> None:
    """Raise ValueError when a label does not go together with the first of its set."""
    if facts.classes and labels.classes != facts.classes:
        raise ValueError(
            f"{where}: expected the classes {list(facts.classes)} as in the first shard, found "
            f"{list(labels.classes)}; train on label sets of the same classes"
        )
    if labels.depth_kind != facts.depth_kind:
        raise ValueError(
            f"{where}: expected {facts.depth_kind} depth as in the first shard, found "
            f"{labels.depth_kind}; train on label sets of one kind"
        )


def held_out(key: str, fraction: float) -> bool:
    """Whether a sample belongs to the validation part: decided by its key alone, for ever."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64

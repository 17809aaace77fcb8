"""Every sample of label sets by its number: found once by the headers, decoded when asked for."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from distill.data import LabelFacts, ShardPair, check_facts, held_out
from distill.samples import BYTES_PER_PIXEL, Packed, pack_sample
from teacher.pairs import PairPlace, find_pairs, read_pair
from teacher.progress import track
from teacher.salvage import PhotographMember
from teacher.shard_tar import SamplePlace

PLACE_FIELDS = [
    ("pair", "i4"),
    ("is_newer", "?"),
    ("photo_at", "i8"),
    ("photo_bytes", "i8"),
    ("label_at", "i8"),
    ("label_bytes", "i8"),
]


class LabelledShards(Dataset[Packed]):
    """Samples 0 to n - 1 in the order of shards and keys, each fitted to one size.

    size: (height, width) in pixels. Opening it reads the headers of all shards, nothing more.
    Raises ValueError naming shard and key: on opening as find_pairs does, on reading a sample as
    read_pair, pack_sample and check_facts do.
    """

    def __init__(
        self, pairs: Sequence[ShardPair], facts: LabelFacts, size: tuple[int, int]
    ) -> None:
        self.pairs = list(pairs)
        self.facts = facts
        self.size = size
        found = [_find(number, pair) for number, pair in enumerate(track(pairs, "read headers"))]
        # Arrays, as worker processes would copy a list of a million objects by counting references.
        self.keys = np.concatenate([keys for keys, _ in found])
        self._places = np.concatenate([places for _, places in found])

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, row: int) -> Packed:
        place = self._place(row)
        photo, labels = read_pair(place, tasks=self.facts.tasks, instances=False)
        where = f"{place.labels}: {place.sample.key}"
        check_facts(labels, self.facts, where)
        return pack_sample(place.sample.key, photo, labels, self.size, where)

    def first(self, count: int) -> "LabelledShards":
        """The first so many samples alone."""
        part = copy(self)
        part.keys, part._places = self.keys[:count], self._places[:count]
        return part

    @property
    def folder(self) -> Path:
        """Where the first label shards lie."""
        return self.pairs[0].labels.parent

    @property
    def packed_bytes(self) -> int:
        """Memory of all samples, decoded."""
        return len(self) * self.size[0] * self.size[1] * BYTES_PER_PIXEL

    def held_out(self, fraction: float) -> np.ndarray:
        """(n,) bool: which samples are for validation."""
        return np.array([held_out(key.decode(), fraction) for key in self.keys], dtype=bool)

    def groups(self, chosen: np.ndarray) -> list[np.ndarray]:
        """Rows of the chosen samples of each shard; one of weight w stands there w times.

        chosen: (n,) bool.
        """
        rows = np.flatnonzero(chosen)
        starts = np.searchsorted(self._places["pair"][rows], np.arange(1, len(self.pairs)))
        shards = np.split(rows, starts)
        return [
            shard
            for shard, pair in zip(shards, self.pairs, strict=True)
            for _ in range(pair.weight)
        ]

    def _place(self, row: int) -> PairPlace:
        key = self.keys[row].decode()
        number, is_newer, photo_at, photo_bytes, label_at, label_bytes = self._places[row].item()
        pair = self.pairs[number]
        shard = pair.relabelled if is_newer and pair.relabelled else pair.labels
        return PairPlace(
            pair.images,
            PhotographMember(key, photo_at, photo_bytes),
            shard,
            SamplePlace(key, label_at, label_bytes),
        )


def _find(number: int, pair: ShardPair) -> tuple[np.ndarray, np.ndarray]:
    """Keys (n,) bytes and places (n,) of the samples of two shards."""
    found = find_pairs(pair.images, pair.labels, pair.relabelled)
    keys = np.array([place.sample.key.encode() for place in found], dtype=np.bytes_)
    places = [
        (number, place.labels == pair.relabelled, *place.photograph[1:], *place.sample[1:])
        for place in found
    ]
    return keys, np.array(places, dtype=PLACE_FIELDS)

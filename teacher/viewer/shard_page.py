"""Everything that the page of one shard shows, with its pictures written to files."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from teacher.jobs.label_set import LabelSet
from teacher.markers import Quarantined
from teacher.members import LABEL_SUFFIXES
from teacher.salvage import sound_photographs
from teacher.sample import decode_labels, decode_photograph
from teacher.shard_tar import read_shard
from teacher.viewer.draw import Card, Drawer, Picture
from teacher.viewer.scan import ShardScan


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A photograph without labels."""

    shard: str
    error: Quarantined
    picture: Picture | None
    """None where it cannot be decoded."""


@dataclass(frozen=True, kw_only=True)
class ShardPage:
    """The page of one shard."""

    scan: ShardScan
    cards: tuple[Card, ...]
    rejected: tuple[Rejected, ...]
    """The first of the photographs without labels."""


def draw_shard(
    labels: LabelSet,
    scan: ShardScan,
    images: Path,
    drawer: Drawer,
    *,
    keys: Collection[str],
    rejected: int,
) -> ShardPage:
    """Draw the labels of these keys, and at most so many of the photographs without labels.

    Raises ValueError naming file and key for a broken label and for one of another photograph.
    """
    errors = scan.quarantined[:rejected]
    wanted = {*keys, *(error.key for error in errors)}
    photographs = {key: data for key, data in sound_photographs(images) if key in wanted}
    return ShardPage(
        scan=scan,
        cards=tuple(_cards(labels, scan.shard, keys, photographs, drawer)),
        rejected=tuple(
            Rejected(shard=scan.shard, error=error, picture=_thumbnail(drawer, photographs, error))
            for error in errors
        ),
    )


def _cards(
    labels: LabelSet,
    shard: str,
    keys: Collection[str],
    photographs: Mapping[str, bytes],
    drawer: Drawer,
) -> Iterator[Card]:
    for sample in read_shard(labels.tar(shard), suffixes=LABEL_SUFFIXES):
        if sample.key not in keys:
            continue
        where = f"{labels.tar(shard)}: {sample.key}"
        label = decode_labels(sample.members, where=where)
        data = photographs.get(sample.key, b"")
        if hashlib.sha256(data).hexdigest() != label.record.photo_sha256:
            raise ValueError(f"{where}: its photograph is missing or another one; give --images")
        yield drawer.card(shard, sample.key, decode_photograph(data), label)


def _thumbnail(
    drawer: Drawer, photographs: Mapping[str, bytes], error: Quarantined
) -> Picture | None:
    """A small picture of what was quarantined, if it can be decoded at all."""
    try:
        photo = decode_photograph(photographs.get(error.key, b""))
    except ValueError:
        return None
    return drawer.thumbnail(np.ascontiguousarray(photo))

"""Photographs and their labels: joined by key from the headers of two shards, read one by one."""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from teacher.members import LABEL_SUFFIXES, task_suffixes
from teacher.salvage import PhotographMember, list_photographs
from teacher.sample import Labels, decode_labels
from teacher.shard_tar import SamplePlace, list_samples, read_sample


class PairPlace(NamedTuple):
    """Where a photograph and its labels lie."""

    images: Path
    photograph: PhotographMember
    labels: Path
    """The label shard, or that of newer labels which has this key."""
    sample: SamplePlace


def find_pairs(
    image_shard: Path, label_shard: Path, relabelled: Path | None = None
) -> list[PairPlace]:
    """Every labelled photograph of two shards, in the order of their keys; decodes nothing.

    A photograph without labels (quarantined) is passed over, and so is a broken member of the image
    shard; label shards are read strictly. relabelled: a shard of some of the photographs, whose
    labels take the place of those in label_shard (see teacher.jobs.relabel).
    Raises ValueError naming the file and key when a label has no photograph or the order differs,
    and as read_shard does.
    """
    photographs = {
        member.key: (number, member)
        for number, member in enumerate(list_photographs(image_shard))
        if isinstance(member, PhotographMember)
    }
    newer = {place.key: place for place in _labels(relabelled)} if relabelled else {}
    pairs: list[PairPlace] = []
    last = -1
    for place in _labels(label_shard):
        if place.key not in photographs:
            raise ValueError(f"{label_shard}: {place.key}: no such photograph in {image_shard}")
        number, photograph = photographs[place.key]
        if number < last:
            raise ValueError(
                f"{label_shard}: {place.key}: in another order than the photographs of "
                f"{image_shard}"
            )
        last = number
        shard = relabelled if relabelled and place.key in newer else label_shard
        pairs.append(PairPlace(image_shard, photograph, shard, newer.pop(place.key, place)))
    if newer:
        raise ValueError(f"{relabelled}: {next(iter(newer))}: not in {label_shard}")
    return pairs


def _labels(shard: Path) -> list[SamplePlace]:
    return list_samples(shard, suffixes=LABEL_SUFFIXES)


def read_pair(
    pair: PairPlace, *, tasks: Collection[str] | None = None, instances: bool = True
) -> tuple[bytes, Labels]:
    """A photograph and its labels. tasks, instances: as in decode_labels.

    Raises ValueError naming the file and key when the photograph is not the one that was labelled,
    and as decode_labels does.
    """
    suffixes = LABEL_SUFFIXES if tasks is None else task_suffixes(tasks)
    where = f"{pair.labels}: {pair.sample.key}"
    members = read_sample(pair.labels, pair.sample, suffixes=suffixes).members
    labels = decode_labels(members, tasks=tasks, instances=instances, where=where)
    with pair.images.open("rb") as file:
        file.seek(pair.photograph.at)
        photo = file.read(pair.photograph.size_bytes)
    if hashlib.sha256(photo).hexdigest() != labels.record.photo_sha256:
        raise ValueError(f"{where}: labels of another photograph than that in {pair.images}")
    return photo, labels


def read_pairs(
    image_shard: Path,
    label_shard: Path,
    relabelled: Path | None = None,
    *,
    tasks: Collection[str] | None = None,
) -> Iterator[tuple[str, bytes, Labels]]:
    """Key, photograph and labels of all pairs. Raises ValueError as find_pairs and read_pair do."""
    for pair in find_pairs(image_shard, label_shard, relabelled):
        yield pair.sample.key, *read_pair(pair, tasks=tasks)

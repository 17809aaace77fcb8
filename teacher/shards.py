"""Shards of photographs and of labels, side by side.

    ROOT/images/000000.tar           photographs
    ROOT/labels/000000.tar           labels: the same shard name, keys in the same order
    ROOT/labels/000000.errors.jsonl  photographs without a label, and why
    ROOT/labels/000000.done.json     marker, written last
    ROOT/labels/manifest.json        the plan of the job

A label folder may also lie elsewhere: it is always named as the folder that holds the label tars.
"""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from teacher.manifest import (
    InputShard,
    Manifest,
    image_shards,
    plan_job_id,
    read_manifest,
    sample_seed,
    write_manifest,
)
from teacher.markers import (
    Marker,
    Quarantined,
    is_committed,
    read_errors,
    read_marker,
    write_errors,
    write_marker,
)
from teacher.measure import inspect_shard
from teacher.members import LABEL_SUFFIXES, task_suffixes
from teacher.packing import pack_photographs
from teacher.salvage import salvage_photographs, sound_photographs
from teacher.sample import Labels, decode_labels
from teacher.shard_tar import RawSample, ShardWriter, read_photographs, read_shard

__all__ = [
    "InputShard",
    "Manifest",
    "Marker",
    "Quarantined",
    "RawSample",
    "ShardWriter",
    "image_shards",
    "inspect_shard",
    "is_committed",
    "pack_photographs",
    "plan_job_id",
    "read_errors",
    "read_manifest",
    "read_marker",
    "read_pairs",
    "read_photographs",
    "read_shard",
    "salvage_photographs",
    "sample_seed",
    "write_errors",
    "write_manifest",
    "write_marker",
]


def read_pairs(
    image_shard: Path,
    label_shard: Path,
    relabelled: Path | None = None,
    *,
    tasks: Collection[str] | None = None,
) -> Iterator[tuple[str, bytes, Labels]]:
    """Key, photograph and labels of the samples of two shards, in the order of their keys.

    A photograph without labels (quarantined) is passed over, and so is a broken member of the image
    shard; label shards are read strictly. relabelled: a shard of some of the photographs, whose
    labels take the place of those in label_shard (see teacher.jobs.relabel). tasks: as in
    decode_labels.
    Raises ValueError naming the file and key when a label has no photograph or the order differs,
    when a photograph is not the one that was labelled, and as read_shard and decode_labels do.
    """
    suffixes = LABEL_SUFFIXES if tasks is None else task_suffixes(tasks)
    photographs = sound_photographs(image_shard)
    for shard, sample in _label_samples(label_shard, relabelled, suffixes):
        where = f"{shard}: {sample.key}"
        photo = next((photo for key, photo in photographs if key == sample.key), None)
        if photo is None:
            raise ValueError(f"{where}: no such photograph in {image_shard}, or in another order")
        labels = decode_labels(sample.members, tasks=tasks, where=where)
        if hashlib.sha256(photo).hexdigest() != labels.record.photo_sha256:
            raise ValueError(f"{where}: labels of another photograph than that in {image_shard}")
        yield sample.key, photo, labels


def _label_samples(
    label_shard: Path, relabelled: Path | None, suffixes: Collection[str]
) -> Iterator[tuple[Path, RawSample]]:
    """The samples of a label shard, from `relabelled` where it has them, and the file of each."""
    instead = iter(read_shard(relabelled, suffixes=suffixes) if relabelled else ())
    newer = next(instead, None)
    for sample in read_shard(label_shard, suffixes=suffixes):
        if relabelled and newer and newer.key == sample.key:
            yield relabelled, newer
            newer = next(instead, None)
        else:
            yield label_shard, sample
    if newer:
        raise ValueError(f"{relabelled}: {newer.key}: not in {label_shard}, or in another order")

"""Shards of photographs and of labels, side by side.

    ROOT/images/000000.tar           photographs
    ROOT/labels/000000.tar           labels: the same shard name, keys in the same order
    ROOT/labels/000000.errors.jsonl  photographs without a label, and why
    ROOT/labels/000000.done.json     marker, written last
    ROOT/labels/manifest.json        the plan of the job

A label folder may also lie elsewhere: it is always named as the folder that holds the label tars.
"""

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
from teacher.packing import pack_photographs
from teacher.pairs import read_pairs
from teacher.salvage import salvage_photographs
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

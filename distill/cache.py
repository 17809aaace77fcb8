"""Decoded samples on disk: what is decoded once costs later trainings no more than reading it.

    CACHE/KEY/images.npy ...    one array for each field of Packed, mapped into memory
    CACHE/KEY/cache.json        what they were decoded from

KEY is that of the labels, so that other labels never meet an old cache. A folder appears whole or
not at all; what a killed process left unfinished is removed by the next one that writes on that
machine. Nothing else is ever deleted: remove CACHE when the disk is full.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.data import ShardPair
from distill.labelled import LabelledShards
from distill.samples import Packed
from teacher.process_id import ProcessId, this_process
from teacher.shards import read_marker

LAYOUT = 1
"""Raised when Packed, or how a sample is fitted, changes."""
FACTS = "cache.json"
FIELDS = ("images", "confidence", "intrinsics")


def cached(shards: LabelledShards, folder: Path, decode: Iterable[Packed]) -> Packed:
    """All samples, mapped from the folder's cache of them; written first if there is none.

    decode: the samples in their order; not touched when the cache is there. Raises ValueError when
    the disk has no room for them, and as decoding does.
    """
    facts = _facts(shards)
    place = folder / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    if not place.exists():
        _remove_leftovers(folder)
        with _appearing(place) as building:
            _check_room(folder, shards.packed_bytes)
            _write(building, decode, shards.keys)
            (building / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    return _map(place, shards.facts.tasks)


def _check_room(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise ValueError(
            f"{folder}: a cache of these samples takes {needed_bytes / 1e9:.1f} GB, and "
            f"{free_bytes / 1e9:.1f} GB are free; make room, or leave out --cache"
        )


def _facts(shards: LabelledShards) -> dict[str, Any]:
    """All that the decoded samples depend on."""
    return {
        "layout": LAYOUT,
        "tasks": shards.facts.tasks,
        "size": shards.size,
        "samples": len(shards),
        "shards": [_shard_facts(pair) for pair in shards.pairs],
    }


def _shard_facts(pair: ShardPair) -> list[Any]:
    """Size and hash of the labels, by their marker, or when they were written if there is none."""
    facts: list[Any] = []
    for path in filter(None, (pair.labels, pair.relabelled)):
        marker = read_marker(path.parent, path.name)
        status = path.stat()
        stamp = marker.sha256 if marker else status.st_mtime_ns
        facts.append([path.name, status.st_size, stamp])
    return facts


def _remove_leftovers(folder: Path) -> None:
    """Delete the unfinished folders of processes that are known to be dead."""
    for unfinished in folder.glob(".*.tmp"):
        owner = ProcessId.parse(unfinished.name.split(".")[2])
        if owner is not None and owner.is_dead():
            shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _appearing(place: Path) -> Iterator[Path]:
    """A folder to write to, which takes its place when all is there; the first of two counts."""
    building = place.with_name(f".{place.name}.{this_process()}.{uuid.uuid4().hex[:12]}.tmp")
    building.mkdir(parents=True)
    try:
        yield building
        try:
            building.rename(place)
        except OSError:
            if not place.exists():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write(folder: Path, samples: Iterable[Packed], keys: np.ndarray) -> None:
    """Append sample by sample: a full disk is an error then, not a killed process."""
    np.save(folder / "keys.npy", keys, allow_pickle=False)
    with ExitStack() as stack:
        files: dict[str, Any] = {}
        for sample in samples:
            for name, plane in _planes(sample).items():
                if name not in files:
                    files[name] = stack.enter_context((folder / f"{name}.npy").open("wb"))
                    _write_header(files[name], plane, len(keys))
                files[name].write(plane.numpy().data)


def _write_header(file: Any, plane: Tensor, count: int) -> None:
    row = plane.numpy()
    header = {"descr": row.dtype.str, "fortran_order": False, "shape": (count, *row.shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _planes(sample: Packed) -> dict[str, Tensor]:
    return {name: getattr(sample, name) for name in FIELDS} | sample.labels


def _map(place: Path, tasks: Sequence[str]) -> Packed:
    def read(name: str) -> Tensor:
        # "c": the tensors may be written to, the files never are.
        return torch.from_numpy(np.load(place / f"{name}.npy", mmap_mode="c", allow_pickle=False))

    keys = np.load(place / "keys.npy", allow_pickle=False)
    return Packed(
        keys=tuple(key.decode() for key in keys),
        labels={task: read(task) for task in tasks},
        **{name: read(name) for name in FIELDS},
    )

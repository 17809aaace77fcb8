"""The photographs of a data set as image shards, and their ground truth as label shards."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from distill.datasets.selection import is_labelled
from distill.datasets.source import Item
from distill.datasets.truth import read_photograph, read_truth
from teacher.cores import usable_cores
from teacher.jobs.leftovers import remove_leftovers
from teacher.map_ahead import map_ahead
from teacher.normals import Convention
from teacher.progress import progress_bar
from teacher.provenance import package_versions
from teacher.sample import Record, encode_labels
from teacher.shards import Marker, ShardWriter, is_committed, write_marker


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """What is the same for every photograph of an import."""

    name: str
    tasks: tuple[str, ...]
    classes: tuple[str, ...]
    licence: str
    axes: Convention | None
    """Axes of the normals, where they are not those that the format documents."""
    job_id: str
    per_shard: int


class Encoded(NamedTuple):
    """A photograph and the members of its label, none where it has no ground truth."""

    key: str
    suffix: str
    photo: bytes
    members: dict[str, bytes]


def write_shards(out: Path, items: Sequence[Item], plan: ShardPlan) -> None:
    """Write OUT/images and, if anything is labelled, OUT/labels; whole shards are kept.

    Raises ValueError naming the photograph whose file or ground truth is not as it should be.
    """
    any_labels = any(is_labelled(item, plan.tasks) for item in items)
    encode = partial(encode_item, plan=plan)
    with ExitStack() as stack:
        for name in ("images", "labels") if any_labels else ("images",):
            (out / name).mkdir(exist_ok=True)
            remove_leftovers(out / name)
        pool = stack.enter_context(ThreadPoolExecutor(usable_cores()))
        bar = stack.enter_context(progress_bar())
        task = bar.add_task(f"import {plan.name}", total=len(items))
        for number, start in enumerate(range(0, len(items), plan.per_shard)):
            images = out / "images" / f"{number:06d}.tar"
            labels = out / "labels" / images.name if any_labels else None
            chosen = items[start : start + plan.per_shard]
            if not _is_whole(images, labels, plan.job_id):
                encoded = map_ahead(pool, encode, chosen, ahead=2 * usable_cores())
                write_pair(images, labels, bar.track(encoded, task_id=task), plan.job_id)
            bar.update(task, completed=start + len(chosen))


def _is_whole(images: Path, labels: Path | None, job_id: str) -> bool:
    """The marker of the labels is written last; without labels there is none to trust."""
    if labels is None or not images.exists():
        return False
    return is_committed(labels.parent, labels.name, job_id)


def write_pair(images: Path, labels: Path | None, encoded: Iterable[Encoded], job_id: str) -> None:
    """Write one image shard and, where a path is given, its label shard with its marker."""
    with ExitStack() as stack:
        photographs = stack.enter_context(ShardWriter(images))
        truths = stack.enter_context(ShardWriter(labels)) if labels else None
        for sample in encoded:
            photographs.add(sample.key, {sample.suffix: sample.photo})
            if truths and sample.members:
                truths.add(sample.key, sample.members)
    if labels and truths:
        marker = Marker(
            shard=labels.stem,
            size_bytes=truths.size_bytes,
            sha256=truths.sha256,
            ok=truths.count,
            quarantined=0,
            job_id=job_id,
            versions=package_versions(),
        )
        write_marker(labels.parent, marker)


def encode_item(item: Item, plan: ShardPlan) -> Encoded:
    """Read, check and encode one photograph and its ground truth."""
    data, photo = read_photograph(item)
    height, width = photo.shape[:2]
    members = {}
    if is_labelled(item, plan.tasks):
        record = _record(item, data, (height, width), plan)
        truth = read_truth(item, (height, width), plan.tasks, plan.axes)
        members = encode_labels(truth.labels(record, plan.classes))
    return Encoded(item.key, item.photo.suffix[1:].lower(), data, members)


def _record(item: Item, photo: bytes, size: tuple[int, int], plan: ShardPlan) -> Record:
    try:
        return Record(
            photo_sha256=hashlib.sha256(photo).hexdigest(),
            width_px=size[1],
            height_px=size[0],
            photo_width_px=size[1],
            photo_height_px=size[0],
            teacher={
                "path_or_hub_id": f"ground truth of {plan.name}",
                "licence": item.licence or plan.licence,
            },
            intrinsics=item.intrinsics,
        )
    except ValueError as error:
        raise ValueError(f"{item.photo}: {error}") from error

"""Procedural scenes as image shards, and their exact ground truth as label shards."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import torch

from teacher.progress import progress_bar
from teacher.provenance import package_versions, sha256_file, write_run
from teacher.sample import Labels, Record, encode_labels, encode_photograph
from teacher.scenes.config import ScenesConfig
from teacher.scenes.objects import CLASSES
from teacher.scenes.render import SceneBatch, render_scenes
from teacher.shards import Marker, ShardWriter, is_committed, write_marker

RENDERER_VERSION = 1
"""Raised when a seed no longer gives the same scene."""


def scene_seed(split: str, index: int) -> int:
    """Seed of scene `index` of a split: 48 bits, the same on every machine for ever."""
    digest = hashlib.sha256(f"{split}/{index}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


def write_scene_shards(config: ScenesConfig) -> Path:
    """Render the scenes and return the folder; shards that are already there are kept.

    Raises ValueError when a number is out of range.
    """
    if min(config.count, config.per_shard, config.workers) < 1:
        raise ValueError("scenes: count, per_shard and workers must be at least 1")
    write_run(config.out, config, renderer_version=RENDERER_VERSION)
    shards = range(-(-config.count // config.per_shard))
    with ExitStack() as stack:
        bar = stack.enter_context(progress_bar())
        task = bar.add_task(f"scenes ({config.split})", total=config.count)
        if config.workers == 1:
            done = (_write_shard(config, shard) for shard in shards)
        else:
            context = get_context("spawn")
            pool = ProcessPoolExecutor(config.workers, mp_context=context)
            done = stack.enter_context(pool).map(_write_shard_alone, [config] * len(shards), shards)
        for rendered in done:
            bar.advance(task, rendered)
    return config.out


def _write_shard_alone(config: ScenesConfig, shard: int) -> int:
    torch.set_num_threads(1)
    return _write_shard(config, shard)


def _write_shard(config: ScenesConfig, shard: int) -> int:
    """Render one shard unless it is there; returns its number of scenes."""
    start = shard * config.per_shard
    indices = range(start, min(config.count, start + config.per_shard))
    images = config.out / "images" / f"{shard:06d}.tar"
    labels = config.out / "labels" / f"{shard:06d}.tar"
    if images.exists() and (not config.labels or is_committed(labels.parent, labels.stem)):
        return len(indices)
    write_pair(images, labels if config.labels else None, _rendered(config, indices), config.split)
    return len(indices)


def _rendered(config: ScenesConfig, indices: range) -> Iterator[tuple[int, SceneBatch]]:
    """Scenes one by one, each as a batch of one."""
    for index in indices:
        seed = scene_seed(config.split, index)
        yield index, render_scenes([seed], config.size_px, config.difficulty)


def write_pair(
    images: Path, labels: Path | None, scenes: Iterator[tuple[int, SceneBatch]], split: str
) -> None:
    """Write one image shard and, where a path is given, its label shard with its marker."""
    for path in (images, labels):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with ExitStack() as stack:
        photographs = stack.enter_context(ShardWriter(images))
        truths = stack.enter_context(ShardWriter(labels)) if labels else None
        for index, scene in scenes:
            key = f"{split}-{index:07d}"
            photo = encode_photograph(scene.rgb[0], "jpg")
            photographs.add(key, {"jpg": photo})
            if truths:
                truths.add(key, encode_labels(scene_labels(scene, 0, photo, split, index)))
            count += 1
    if labels:
        marker = Marker(
            shard=labels.stem,
            size_bytes=labels.stat().st_size,
            sha256=sha256_file(labels),
            ok=count,
            quarantined=0,
            job_id=f"scenes-{split}",
            versions=package_versions(),
        )
        write_marker(labels.parent, marker)


def scene_labels(scene: SceneBatch, row: int, photo: bytes, split: str, index: int) -> Labels:
    """Ground truth of one rendered scene, certain everywhere."""
    height, width = scene.segment.shape[1:]
    fx, fy, cx, cy = (float(value) for value in scene.intrinsics[row])
    record = Record(
        photo_sha256=hashlib.sha256(photo).hexdigest(),
        width_px=width,
        height_px=height,
        photo_width_px=width,
        photo_height_px=height,
        teacher={
            "path_or_hub_id": "procedural scenes",
            "revision": str(RENDERER_VERSION),
            "weights_sha256": None,
            "licence": "Apache-2.0",
            "layout": "ray caster",
        },
        seed=scene_seed(split, index),
        intrinsics=(fx, fy, cx, cy),
        versions=package_versions(),
    )
    return Labels(
        depth_m=scene.depth_m[row],
        depth_kind="metric",
        normal=scene.normal[row],
        segment=scene.segment[row],
        classes=CLASSES,
        instance=scene.instance[row],
        record=record,
    )

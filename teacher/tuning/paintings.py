"""Labelled shards as pictures: each photograph beside the paintings that a teacher should make."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from teacher.depth import CUBE_WALK, DepthCodec, encode_depth
from teacher.normals import encode_normals
from teacher.palette import Palette, encode_segments
from teacher.progress import track
from teacher.sample import TASKS, Labels, decode_photograph, resize_photograph
from teacher.shards import image_shards, inspect_shard, read_pairs

PICTURES = ("photograph", *TASKS)
"""Order of the pictures of a sample."""


@dataclass(frozen=True)
class Paints:
    """The codecs that turn labels into pictures."""

    palette: Palette
    depth_codec: DepthCodec = CUBE_WALK


def paint(labels: Labels, paints: Paints) -> dict[str, np.ndarray]:
    """Task -> (H, W, 3) uint8 painting of a label that has all tasks.

    Raises ValueError when a task is missing or the classes are not those of the palette.
    """
    if labels.depth_m is None or labels.normal is None or labels.segment is None:
        raise ValueError(f"expected labels of {TASKS}, found {labels.tasks}")
    if labels.depth_kind != "metric":
        raise ValueError(f"expected metric depth, found {labels.depth_kind}")
    if labels.classes != paints.palette.names:
        raise ValueError(f"expected the classes {paints.palette.names}, found {labels.classes}")
    return {
        "depth": encode_depth(labels.depth_m, paints.depth_codec),
        "normal": encode_normals(labels.normal),
        "segment": encode_segments(labels.segment, paints.palette),
    }


def _paint_shard(images: Path, labels: Path, paints: Paints) -> np.ndarray:
    """All samples of a pair of shards: (N, 4, H, W, 3) uint8 in the order of PICTURES."""
    rows = []
    for key, data, label in read_pairs(images, labels):
        photo = resize_photograph(decode_photograph(data), *label.size)
        try:
            paintings = paint(label, paints)
        except ValueError as error:
            raise ValueError(f"{labels}: {key}: {error}") from error
        rows.append(np.stack([photo, *(paintings[task] for task in TASKS)]))
    return np.stack(rows)


def paint_shards(
    images: Path, labels: Path, paints: Paints, cache: Path, threads: int = 4
) -> np.ndarray:
    """Decode and paint a labelled set once into `cache` (.npy), and map it into memory.

    Returns (N, 4, H, W, 3) uint8. All labels must have one size. A cache that is there is used.
    """
    if not cache.exists():
        shards = image_shards(images)
        total = sum(inspect_shard(shard).count for shard in shards)
        size = next(read_pairs(shards[0], labels / shards[0].name))[2].size
        _fill(cache, shards, labels, paints, (total, len(PICTURES), *size, 3), threads)
    return np.load(cache, mmap_mode="r")


def _fill(
    cache: Path,
    shards: Sequence[Path],
    labels: Path,
    paints: Paints,
    shape: tuple[int, ...],
    threads: int,
) -> None:
    unfinished = cache.with_suffix(".tmp.npy")
    pictures = np.lib.format.open_memmap(unfinished, "w+", np.uint8, shape)
    filled = 0
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda shard: _paint_shard(shard, labels / shard.name, paints), shards)
        for part in track(parts, "paintings", total=len(shards)):
            pictures[filled : filled + len(part)] = part
            filled += len(part)
    if filled != shape[0]:
        raise ValueError(f"{labels}: expected {shape[0]} labels for {shape[0]} photographs")
    pictures.flush()
    unfinished.replace(cache)

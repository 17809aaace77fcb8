"""Labelled shards as pictures: each photograph beside the paintings that a teacher should make."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from teacher.depth import CUBE_WALK, DepthCodec, encode_depth
from teacher.members import LABEL
from teacher.normals import encode_normals
from teacher.painters.card import segment_instruction
from teacher.palette import Palette, encode_segments
from teacher.progress import track
from teacher.sample import TASKS, Labels, decode_photograph, resize_photograph
from teacher.shards import image_shards, read_pairs, read_shard
from teacher.tuning.autoencoder import LATENT_FACTOR
from teacher.tuning.crops import Crops

PICTURES = ("photograph", *TASKS)
"""Order of the pictures of a sample."""


@dataclass(frozen=True)
class Paints:
    """The codecs that turn labels into pictures."""

    palette: Palette
    depth_codec: DepthCodec = CUBE_WALK
    legends: int = 1
    """In how many ways the colours are dealt to the classes; the first is the palette's own."""

    @property
    def palettes(self) -> tuple[Palette, ...]:
        """One palette for each legend."""
        return self.palette.legends(self.legends)

    @property
    def instructions(self) -> tuple[str, ...]:
        """What a teacher of these paints is asked for: depth, normal, and each legend."""
        return ("depth", "normal", *map(segment_instruction, range(self.legends)))


class Pictures(NamedTuple):
    """A labelled set as pictures, in memory or mapped from a file."""

    pixels: np.ndarray
    """(N, 4, H, W, 3) uint8 in the order of PICTURES; black where a task is not labelled"""
    known: np.ndarray
    """(N, 3, H / 8, W / 8) bool in the order of TASKS: latents that only labelled pixels reach"""


def paint(labels: Labels, paints: Paints) -> dict[str, np.ndarray]:
    """Task -> (H, W, 3) uint8 painting, for every task that the labels have.

    Raises ValueError for affine depth and for classes that are not those of the palette.
    """
    painted = {}
    if labels.depth_m is not None:
        if labels.depth_kind != "metric":
            raise ValueError(f"expected metric depth, found {labels.depth_kind}")
        painted["depth"] = encode_depth(labels.depth_m, paints.depth_codec)
    if labels.normal is not None:
        painted["normal"] = encode_normals(labels.normal)
    if labels.segment is not None:
        if labels.classes != paints.palette.names:
            raise ValueError(f"expected the classes {paints.palette.names}, found {labels.classes}")
        painted["segment"] = encode_segments(labels.segment, paints.palette)
    return painted


def known_pixels(labels: Labels) -> dict[str, np.ndarray]:
    """Task -> (H, W) bool, where its painting is known; the normals of the sky are: grey."""
    known = {}
    if labels.depth_m is not None:
        known["depth"] = ~np.isnan(labels.depth_m)
    if labels.normal is not None:
        known["normal"] = labels.normal.any(axis=-1)
        if labels.depth_m is not None:
            known["normal"] |= np.isinf(labels.depth_m)
    if labels.segment is not None:
        known["segment"] = labels.segment != labels.ignore_id
    return known


def known_latents(known: np.ndarray, factor: int = LATENT_FACTOR) -> np.ndarray:
    """(H, W) bool -> (H / 8, W / 8): no unlabelled pixel in a latent's own block or beside it."""
    height, width = (length // factor for length in known.shape)
    blocks = known.reshape(height, factor, width, factor).all(axis=(1, 3))
    mask = np.asarray(blocks, np.uint8)
    return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)), bool)


def _paint_crop(photo: np.ndarray, label: Labels, paints: Paints) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of one crop (4, H, W, 3), and where they are known (3, H / 8, W / 8)."""
    pixels = np.zeros((len(PICTURES), *label.size, 3), np.uint8)
    known = np.zeros((len(TASKS), *(length // LATENT_FACTOR for length in label.size)), bool)
    pixels[0] = resize_photograph(photo, *label.size)
    for task, painting in paint(label, paints).items():
        pixels[PICTURES.index(task)] = painting
    for task, plane in known_pixels(label).items():
        known[TASKS.index(task)] = known_latents(plane)
    return pixels, known


def paint_shards(
    images: Path,
    labels: Path,
    paints: Paints,
    cache: Path,
    threads: int = 4,
    tasks: Sequence[str] | None = None,
    crops: Crops | None = None,
) -> Pictures:
    """Decode and paint a labelled set once into `cache` (.npy), and map it into memory.

    tasks: those to paint, by default all that are labelled. crops: of each photograph; without
    them all labels must have one size, a multiple of 8. A cache that is there is used.
    """
    masks = cache.with_suffix(".known.npy")
    if not masks.exists():
        shards = [shard for shard in image_shards(images) if (labels / shard.name).exists()]
        count = sum(_count(labels / shard.name) for shard in shards)
        total = count * (crops.count if crops else 1)
        size = next(read_pairs(shards[0], labels / shards[0].name))[2].size
        if crops:
            size = crops.height_px, crops.width_px
        if any(length % LATENT_FACTOR for length in size):
            raise ValueError(f"{labels}: {size[1]} x {size[0]} px are not multiples of 8")
        parts = partial(_paint_shard, labels=labels, paints=paints, tasks=tasks, crops=crops)
        known = _fill(cache, parts, shards, (total, len(PICTURES), *size, 3), threads)
        np.save(masks, known)
    return Pictures(np.load(cache, mmap_mode="r"), np.load(masks))


def _count(labels: Path) -> int:
    return sum(1 for _ in read_shard(labels, suffixes=(LABEL,)))


def _paint_shard(
    images: Path,
    *,
    labels: Path,
    paints: Paints,
    tasks: Sequence[str] | None,
    crops: Crops | None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """All crops of the samples of a pair of shards."""
    painted = []
    for key, data, label in read_pairs(images, labels / images.name, tasks=tasks):
        photo = decode_photograph(data)
        try:
            for crop in crops.of(key, photo, label) if crops else [(photo, label)]:
                painted.append(_paint_crop(*crop, paints))
        except ValueError as error:
            raise ValueError(f"{labels / images.name}: {key}: {error}") from error
    return painted


def _fill(
    cache: Path,
    paint_shard: Callable[[Path], list[tuple[np.ndarray, np.ndarray]]],
    shards: Sequence[Path],
    shape: tuple[int, ...],
    threads: int,
) -> np.ndarray:
    """Write the pictures of all shards to `cache`; returns where they are known."""
    unfinished = cache.with_suffix(".tmp.npy")
    pictures = np.lib.format.open_memmap(unfinished, "w+", np.uint8, shape)
    known = []
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(paint_shard, shards)
        for part in track(parts, "paintings", total=len(shards)):
            for pixels, mask in part:
                pictures[len(known)] = pixels
                known.append(mask)
    pictures.flush()
    unfinished.replace(cache)
    return np.stack(known)

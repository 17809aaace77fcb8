"""Labelled shards as latents: every photograph, and paintings of it for some of the instructions.

Shard by shard, so that a run that was stopped goes on with the next one.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from teacher.painters.editor import Editor
from teacher.progress import track
from teacher.sample import Labels, decode_photograph
from teacher.shards import image_shards, read_pairs
from teacher.tuning.crops import Crops
from teacher.tuning.editors.config import EditorTuneConfig, Size
from teacher.tuning.editors.instructions import Instruction, draw_instructions
from teacher.tuning.editors.latent_files import Bucket, write_latents
from teacher.tuning.paintings import known_latents, known_pixels


def cache_examples(
    editor: Editor, config: EditorTuneConfig, pool: Sequence[Instruction], folder: Path
) -> list[Path]:
    """Encode all labelled shards into `folder`; returns the files. Those that are there stay.

    Raises ValueError naming the shard for affine depth and for classes other than the pool's, and
    FileNotFoundError for a folder without labelled shards.
    """
    pairs = [pair for sets in zip(config.images, config.labels) for pair in labelled_shards(*sets)]
    files = [folder / f"{number:06d}.safetensors" for number in range(len(pairs))]
    missing = [pair for pair in zip(files, pairs) if not pair[0].exists()]
    for file, (images, labels) in track(missing, "latents") if missing else ():
        write_latents(file, _encode_shard(editor, config, pool, images, labels))
    return files


def _encode_shard(
    editor: Editor,
    config: EditorTuneConfig,
    pool: Sequence[Instruction],
    images: Path,
    labels: Path,
) -> dict[Size, Bucket]:
    buckets = {size: Bucket() for size in config.buckets()}
    for number, (key, data, label) in enumerate(read_pairs(images, labels)):
        _check(label, pool, f"{labels}: {key}")
        size = nearest_size(label.size, tuple(buckets))
        crops = Crops(height_px=size[0], width_px=size[1], count=config.crops, seed=config.seed)
        rng = np.random.default_rng(_seed(config.seed, key))
        for photo, truth in crops.of(key, decode_photograph(data), label):
            rows = draw_instructions(pool, truth.tasks, config.legend_draws, rng)
            pictures = [photo, *(pool[row].paint(truth) for row in rows)]
            pixels = known_pixels(truth)
            known = [_known(pixels[pool[row].task], editor.latent_factor) for row in rows]
            latents = encode_pictures(editor, np.stack(pictures))
            buckets[size].add_painted(latents, rows, known, number)
    return buckets


def encode_pictures(editor: Editor, pictures: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> normalised latents (B, C, h, w), on the editor's device."""
    batch = torch.tensor(pictures, device=editor.device).permute(0, 3, 1, 2)
    with torch.no_grad():
        return editor.encode((batch.float() / 127.5 - 1).to(editor.dtype))


def latent_shape(editor: Editor, size: Size) -> torch.Size:
    """Channels, height and width of the latents of pictures of a size."""
    return encode_pictures(editor, np.zeros((1, *size, 3), np.uint8)).shape[1:]


def nearest_size(size: Size, buckets: Sequence[Size]) -> Size:
    """The bucket whose aspect ratio is nearest, and among those the one with the nearest area."""

    def distance(bucket: Size) -> tuple[float, float]:
        (height, width), (bucket_height, bucket_width) = size, bucket
        aspect = math.log(width / height) - math.log(bucket_width / bucket_height)
        area = math.log(height * width) - math.log(bucket_height * bucket_width)
        return round(abs(aspect), 3), abs(area)

    return min(buckets, key=distance)


def labelled_shards(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    """Shards of photographs that have labels. Raises FileNotFoundError when there are none."""
    found = [(shard, labels / shard.name) for shard in image_shards(images)]
    labelled = [pair for pair in found if pair[1].exists()]
    if not labelled:
        raise FileNotFoundError(f"{labels} has no labels of the shards in {images}")
    return labelled


def _check(labels: Labels, pool: Sequence[Instruction], where: str) -> None:
    if labels.depth_kind == "affine" and any(one.task == "depth" for one in pool):
        raise ValueError(f"{where}: expected metric depth, found affine; give --mixture.depth 0")
    palette = next((one.palette for one in pool if one.palette), None)
    if labels.segment is not None and palette and labels.classes != palette.names:
        expected, found = list(palette.names), list(labels.classes)
        raise ValueError(f"{where}: expected the classes {expected}, found {found}")


def _known(pixels: np.ndarray, factor: int) -> Tensor:
    return torch.from_numpy(known_latents(pixels, factor))


def _seed(seed: int, key: str) -> int:
    digest = hashlib.sha256(f"{seed}/{key}/instructions".encode()).digest()
    return int.from_bytes(digest[:8], "big")

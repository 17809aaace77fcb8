"""Small labelled sets on disk, and a tiny backbone, for the tests of training."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from samples import TEACHER, random_normals

from teacher.sample import Labels, Record, encode_labels, encode_photograph
from teacher.shards import ShardWriter

CLASSES = ("sky", "ground", "box")
TINY_BACKBONE = "swiftformer_xs"
TINY_ARGUMENTS = {"embed_dims": (8, 8, 16, 16), "layers": (1, 1, 1, 1)}


def write_set(
    root: Path, count: int = 8, *, size: tuple[int, int] = (32, 32), shards: int = 2, **fields: Any
) -> Path:
    """ROOT/images and ROOT/labels with so many samples in all; `fields` override their planes."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        with (
            ShardWriter(root / "images" / f"{shard:06d}.tar") as images,
            ShardWriter(root / "labels" / f"{shard:06d}.tar") as labels,
        ):
            for index in range(shard, count, shards):
                photo = make_photo(index, size)
                images.add(f"photo-{index:03d}", {"png": photo})
                made = make_scene_labels(index, photo, size, **fields)
                labels.add(f"photo-{index:03d}", encode_labels(made))
    return root


def make_photo(seed: int, size: tuple[int, int]) -> bytes:
    """A PNG that grows redder to the right, with coarse noise of its own in green and blue."""
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
    photo = photo.repeat(4, 0).repeat(4, 1)
    photo[..., 0] = np.linspace(0, 255, size[1]).astype(np.uint8)
    return encode_photograph(photo, "png")


def make_scene_labels(
    seed: int, photo: bytes, size: tuple[int, int], *, intrinsics: Any = None, **fields: Any
) -> Labels:
    """Smooth planes: depth grows to the right, one normal, classes in stripes, a corner of sky."""
    rng = np.random.default_rng(seed)
    height, width = size
    depth_m = np.tile(np.linspace(1, 4 + seed % 5, width, dtype=np.float32), (height, 1))
    depth_m[: height // 4, : width // 4] = np.inf
    segment = np.tile((np.arange(width) * 3 // width).astype(np.uint8), (height, 1))
    planes = {
        "depth_m": depth_m,
        "depth_kind": "metric",
        "normal": np.broadcast_to(random_normals(rng, (1, 1)), (height, width, 3)).copy(),
        "segment": segment,
        "classes": CLASSES,
        "confidence": np.full((-(-height // 4), -(-width // 4), 3), 200, np.uint8),
    }
    record = Record(
        photo_sha256=hashlib.sha256(photo).hexdigest(),
        width_px=width,
        height_px=height,
        photo_width_px=width,
        photo_height_px=height,
        teacher=TEACHER,
        intrinsics=intrinsics,
    )
    return Labels(**{**planes, **fields}, record=record)

"""Random photographs and labels for the tests of samples and shards."""

import hashlib
import json
from typing import Any

import numpy as np

from teacher.sample import Labels, Record, encode_labels, encode_photograph

TEACHER = {
    "path_or_hub_id": "potters/still-teacher",
    "revision": "0123abc",
    "weights_sha256": "ab" * 32,
    "licence": "Apache-2.0",
    "layout": "flux_control",
}
CLASSES = ("sky", "ground", "box")


def make_photograph(seed: int = 0, *, height_px: int = 24, width_px: int = 34) -> bytes:
    """A JPEG of noise."""
    rng = np.random.default_rng(seed)
    return encode_photograph(rng.integers(0, 256, (height_px, width_px, 3), dtype=np.uint8))


def make_record(photo: bytes = b"photo", **fields: Any) -> Record:
    """A record of labels of 12 x 17 pixels (height x width)."""
    sizes = {"width_px": 17, "height_px": 12, "photo_width_px": 34, "photo_height_px": 24}
    given = {"photo_sha256": hashlib.sha256(photo).hexdigest(), "teacher": TEACHER, **sizes}
    return Record(**{**given, **fields})


def make_labels(seed: int = 0, *, record: Record | None = None, **fields: Any) -> Labels:
    """All planes at random, with unknown and sky among them; `fields` override single ones."""
    rng = np.random.default_rng(seed)
    record = record or make_record()
    size = (record.height_px, record.width_px)
    depth_m = np.exp(rng.uniform(np.log(0.1), np.log(1000), size)).astype(np.float32)
    depth_m[rng.random(size) < 0.1] = np.nan
    depth_m[rng.random(size) < 0.1] = np.inf
    normal = random_normals(rng, size)
    normal[rng.random(size) < 0.1] = 0
    segment = rng.integers(0, len(CLASSES), size).astype(np.uint8)
    segment[rng.random(size) < 0.1] = 255
    planes = {
        "depth_m": depth_m,
        "depth_kind": "metric",
        "normal": normal,
        "segment": segment,
        "classes": CLASSES,
        "instance": rng.integers(0, 9, size).astype(np.uint16),
        "confidence": rng.integers(0, 256, (-(-size[0] // 4), -(-size[1] // 4), 3)).astype(
            np.uint8
        ),
    }
    return Labels(**{**planes, **fields}, record=record)


def random_normals(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Unit vectors (H, W, 3) float32, evenly over the sphere."""
    normal = rng.normal(size=(*size, 3))
    return (normal / np.linalg.norm(normal, axis=-1, keepdims=True)).astype(np.float32)


def make_label_members(photo: bytes, seed: int = 0) -> dict[str, bytes]:
    """The members of the label of a photograph."""
    return encode_labels(make_labels(seed, record=make_record(photo)))


def angle_deg(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angle between unit vectors, in double precision."""
    cosine = np.einsum("...i,...i->...", one.astype(np.float64), other.astype(np.float64))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def edit_head(members: dict[str, bytes], /, **fields) -> dict[str, bytes]:
    """The members with other fields in label.json; None removes a field."""
    head = json.loads(members["label.json"]) | fields
    kept = {name: value for name, value in head.items() if value is not None}
    return {**members, "label.json": json.dumps(kept).encode()}

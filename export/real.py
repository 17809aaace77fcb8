"""Real photographs with whatever ground truth they carry, listed in a manifest.json.

A manifest is a list of objects: `id`, `rgb` (path below the folder), and where known `source`,
`scene`, `licence`, `depth` (16-bit PNG, metres = value / `depth_scale`, 0 = none) and `normal`
(8-bit PNG, n = px / 127.5 - 1 in OpenCV's camera axes, black = none). Segmentation in classes of
its own is not scored. Every photograph is cut to its central square and resized: a crop changes
neither depth nor normals, a stretch would.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from teacher.sample import Labels, Record, decode_photograph, resize_photograph

OPENCV_TO_CAMERA = np.array([1.0, -1.0, -1.0], np.float32)
"""x right, y down, z forward -> x right, y up, z towards the camera."""
REQUIRED = ("id", "rgb")


@dataclass(frozen=True, kw_only=True, eq=False)
class RealPhotograph:
    """One photograph of a manifest, cropped and resized."""

    key: str
    source: str
    scene: str
    licence: str
    photograph: np.ndarray
    """(S, S, 3) uint8"""
    truth: Labels | None
    """Depth and normals where the manifest has them; None without either."""
    record: Record


def read_manifest(folder: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """The entries of folder/manifest.json; with a limit, so many of them, evenly spread.

    Raises FileNotFoundError or ValueError naming the file, and the entry and field at fault.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; --real takes a folder with a manifest.json")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: expected a list of photographs, found {type(entries).__name__}")
    for number, entry in enumerate(entries):
        _check_entry(entry, f"{path}: entry {number}")
    if limit is None or limit >= len(entries):
        return entries
    return [entries[index * len(entries) // limit] for index in range(limit)]


def _check_entry(entry: Any, where: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected an object, found {type(entry).__name__}")
    missing = [key for key in REQUIRED if not isinstance(entry.get(key), str)]
    if missing:
        raise ValueError(f"{where}: expected text in {', '.join(missing)}")
    if "depth" in entry and not (
        isinstance(entry.get("depth_scale"), int | float) and entry["depth_scale"] > 0
    ):
        raise ValueError(
            f"{where}: depth needs a depth_scale > 0, found {entry.get('depth_scale')}"
        )


def read_real(
    folder: Path, entries: Sequence[Mapping[str, Any]], size_px: int
) -> Iterator[RealPhotograph]:
    """Read the photographs of a manifest's entries one by one.

    Raises FileNotFoundError or ValueError naming the file that is missing or cannot be read.
    """
    for entry in entries:
        data = _read_bytes(folder, entry["rgb"])
        photo = _decode(folder / entry["rgb"], data)
        square = crop_square(photo)
        record = _record(entry, data, photo.shape, size_px)
        yield RealPhotograph(
            key=entry["id"],
            source=entry.get("source", "real"),
            scene=entry.get("scene", entry.get("source", "real")),
            licence=entry.get("licence", "unknown"),
            photograph=resize_photograph(np.ascontiguousarray(square), size_px, size_px),
            truth=_read_truth(folder, entry, photo.shape[:2], record),
            record=record,
        )


def _record(entry: Mapping[str, Any], data: bytes, shape: tuple[int, ...], size_px: int) -> Record:
    return Record(
        photo_sha256=hashlib.sha256(data).hexdigest(),
        width_px=size_px,
        height_px=size_px,
        photo_width_px=shape[1],
        photo_height_px=shape[0],
        teacher={"path_or_hub_id": entry.get("gt", "ground truth")},
    )


def _read_truth(
    folder: Path, entry: Mapping[str, Any], size: tuple[int, int], record: Record
) -> Labels | None:
    depth_m = normal = None
    if "depth" in entry:
        stored = _read_plane(folder, entry["depth"], size)
        depth_m = sample_square(depth_metres(stored, entry["depth_scale"]), record.width_px)
    if "normal" in entry:
        stored = _read_plane(folder, entry["normal"], size)
        normal = sample_square(camera_normals(stored), record.width_px)
    if depth_m is None and normal is None:
        return None
    kind = None if depth_m is None else "metric"
    return Labels(depth_m=depth_m, depth_kind=kind, normal=normal, record=record)


def _read_bytes(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder / 'manifest.json'}: {name!r} lies outside of the folder")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, though the manifest lists it")
    return path.read_bytes()


def _decode(path: Path, data: bytes) -> np.ndarray:
    try:
        return decode_photograph(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_plane(folder: Path, name: str, size: tuple[int, int]) -> np.ndarray:
    """A PNG as stored: (H, W) uint16 or (H, W, 3) uint8 RGB."""
    data = np.frombuffer(_read_bytes(folder, name), np.uint8)
    plane = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if plane is None or plane.shape[:2] != size:
        found = "no image" if plane is None else f"{plane.shape}"
        raise ValueError(
            f"{folder / name}: expected a PNG of {size}, as its photograph, found {found}"
        )
    return plane if plane.ndim == 2 else cv2.cvtColor(plane, cv2.COLOR_BGR2RGB)


def depth_metres(stored: np.ndarray, scale: float) -> np.ndarray:
    """16-bit depth -> (H, W) float32 metres; NaN where there is none."""
    return np.where(stored > 0, stored / scale, np.nan).astype(np.float32)


def camera_normals(stored: np.ndarray) -> np.ndarray:
    """8-bit normals in OpenCV's axes -> (H, W, 3) float32 unit vectors in ours; zero = none."""
    normal = (stored.astype(np.float32) / 127.5 - 1) * OPENCV_TO_CAMERA
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.where(stored.any(axis=-1, keepdims=True), normal / np.maximum(length, 1e-6), 0)


def crop_square(picture: np.ndarray) -> np.ndarray:
    """The central square of (H, W, ...)."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def sample_square(plane: np.ndarray, size_px: int) -> np.ndarray:
    """The central square of a label at another size, by its nearest pixels: nothing is blended."""
    square = crop_square(plane)
    at = ((np.arange(size_px) + 0.5) * len(square) / size_px).astype(np.intp)
    return np.ascontiguousarray(square[np.ix_(at, at)])

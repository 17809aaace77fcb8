"""Ground truth as data sets store it: 16-bit depth, 8-bit normals, class ids, numpy arrays."""

from pathlib import Path

import cv2
import numpy as np

from teacher.normals import read_stored_normals
from teacher.sample import IGNORE_ID


def read_png(path: Path, dtype: type[np.generic], channels: int = 1) -> np.ndarray:
    """A PNG as stored: (H, W) or (H, W, 3) RGB of this dtype.

    Raises ValueError naming the file and what it holds instead, FileNotFoundError if it is missing.
    """
    data = path.read_bytes()
    plane = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    found = 0 if plane is None else 1 if plane.ndim == 2 else plane.shape[2]
    if plane is None or plane.dtype != dtype or found != channels:
        is_ = "no image" if plane is None else f"{plane.dtype} with {found} channels"
        expected = f"{np.dtype(dtype)} with {channels} channels"
        raise ValueError(f"{path}: expected a PNG of {expected}, found {is_}")
    return plane if channels == 1 else cv2.cvtColor(plane, cv2.COLOR_BGR2RGB)


def read_depth_png(path: Path, per_metre: float) -> np.ndarray:
    """16-bit depth, `per_metre` steps to the metre -> (H, W) float32 metres; 0 -> NaN: none."""
    stored = read_png(path, np.uint16)
    return np.where(stored > 0, stored / per_metre, np.nan).astype(np.float32)


def read_normal_png(path: Path) -> np.ndarray:
    """8-bit normals, px / 127.5 - 1, black = none -> (H, W, 3) float32 unit vectors, or zero, in
    the axes of the file."""
    return read_stored_normals(read_png(path, np.uint8, channels=3), "camera")


def read_segment_png(path: Path, table: np.ndarray) -> np.ndarray:
    """8-bit class ids of the data set -> (H, W) uint8 ids of our class list, 255 = ignore.

    table: (256,) int16, our id of each of the data set's, UNKNOWN_ID where it has none (see
    `id_table`). Raises ValueError naming the file and an id that the data set does not define.
    """
    stored = read_png(path, np.uint8)
    segment = table[stored]
    if (segment == UNKNOWN_ID).any():
        found = int(stored[segment == UNKNOWN_ID][0])
        known = np.flatnonzero(table != UNKNOWN_ID)
        raise ValueError(f"{path}: class id {found} is not defined; known: {_ranges(known)}")
    return segment.astype(np.uint8)


UNKNOWN_ID = -1
"""In the table of read_segment_png: an id that must not occur."""


def id_table(ids: dict[int, int], ignored: tuple[int, ...] = ()) -> np.ndarray:
    """The table of read_segment_png: the data set's id -> ours; `ignored` ids become 255."""
    table = np.full(256, UNKNOWN_ID, np.int16)
    table[list(ids)] = list(ids.values())
    table[list(ignored)] = IGNORE_ID
    return table


def _ranges(ids: np.ndarray) -> str:
    """[0, 1, 2, 255] -> "0-2, 255"."""
    runs = np.split(ids, np.flatnonzero(np.diff(ids) > 1) + 1)
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def read_array(path: Path) -> np.ndarray:
    """A numpy array file; pickled objects are refused. Raises ValueError naming the file."""
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a plain numpy array ({error})") from error

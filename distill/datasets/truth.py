"""One photograph's ground truth: read, brought into our conventions, and checked."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from distill.datasets.checks import check_axes, check_metres, check_size
from distill.datasets.source import Item
from teacher.normals import Convention, to_camera_axes
from teacher.sample import IGNORE_ID, Labels, Record, decode_photograph


class Truth(NamedTuple):
    """Checked planes as teacher.sample.Labels wants them; None for a task that was not read."""

    depth_m: np.ndarray | None
    normal: np.ndarray | None
    segment: np.ndarray | None

    def labels(self, record: Record, classes: tuple[str, ...]) -> Labels:
        """The planes as labels. Raises ValueError as Labels does."""
        return Labels(
            depth_m=self.depth_m,
            depth_kind=None if self.depth_m is None else "metric",
            normal=self.normal,
            segment=self.segment,
            classes=classes,
            record=record,
        )


def read_photograph(item: Item) -> tuple[bytes, np.ndarray]:
    """The bytes and the pixels (H, W, 3) of a photograph. Raises ValueError naming its file."""
    data = item.photo.read_bytes()
    try:
        return data, decode_photograph(data)
    except ValueError as error:
        raise ValueError(f"{item.photo}: {error}") from error


def read_truth(
    item: Item, size: tuple[int, int], tasks: Sequence[str], axes: Convention | None = None
) -> Truth:
    """The planes of the tasks, of the photograph's size; unknown everywhere where it has none.

    axes: those of the normals, if not the item's. Raises ValueError naming the photograph when a
    plane cannot be read, or has another size, unit or axes than it should have.
    """
    try:
        planes = _read_planes(item, size, tasks, axes or item.axes)
    except ValueError as error:
        raise ValueError(f"{item.photo}: {error}") from error
    unknown = {
        "depth": partial(np.full, size, np.nan, np.float32),
        "normal": partial(np.zeros, (*size, 3), np.float32),
        "segment": partial(np.full, size, IGNORE_ID, np.uint8),
    }
    found = {task: planes[task] if task in planes else unknown[task]() for task in tasks}
    return Truth(found.get("depth"), found.get("normal"), found.get("segment"))


def _read_planes(
    item: Item, size: tuple[int, int], tasks: Sequence[str], axes: Convention
) -> dict[str, np.ndarray]:
    planes = {task: item.truth[task]() for task in tasks if task in item.truth}
    for task, plane in planes.items():
        check_size(plane, size, task)
    if "depth" in planes:
        check_metres(planes["depth"])
    if "normal" in planes:
        planes["normal"] = to_camera_axes(planes["normal"], axes)
        check_axes(planes["normal"], planes.get("depth"), item.intrinsics, axes)
    return planes

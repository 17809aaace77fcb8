"""Held-out labels of a batch as what metrics score against."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from distill.samples import Batch
from student.model import StudentConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """The labels of one image of a batch, as metrics.Truth."""

    depth_m: np.ndarray | None
    depth_kind: str | None
    normal: np.ndarray | None
    segment: np.ndarray | None
    classes: tuple[str, ...]


def batch_targets(batch: Batch, config: StudentConfig) -> Iterator[Target]:
    """The labels of each image; IGNORE_INDEX becomes an id that is no class."""
    arrays = {task: plane.cpu().numpy() for task, plane in batch.labels.items()}
    if "normal" in arrays:
        arrays["normal"] = arrays["normal"].transpose(0, 2, 3, 1)
    if "segment" in arrays:
        arrays["segment"] = arrays["segment"].astype(np.uint32)
    for row in range(len(batch.keys)):
        planes = {task: plane[row] for task, plane in arrays.items()}
        yield Target(
            depth_m=planes.get("depth"),
            depth_kind=config.depth_kind,
            normal=planes.get("normal"),
            segment=planes.get("segment"),
            classes=config.classes,
        )

"""Labels that make no sense are quarantined, whoever made them; a failing device is not."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import write_images
from samples import TEACHER, make_photograph

from teacher.jobs.label_shard import ShardLabeller
from teacher.labeller import LabelPlanes
from teacher.sample import TASKS, confidence_size
from teacher.shards import inspect_shard, read_errors, read_pairs

SIZE = (16, 16)


class SpoilingLabeller:
    """Labels every photograph with a flat wall, and spoils the second one."""

    tasks = TASKS

    def __init__(self, spoil: Callable[[dict[str, Any]], None]) -> None:
        self.spoil, self.count = spoil, 0

    def fit(self, photograph: np.ndarray) -> np.ndarray:
        return photograph[: SIZE[0], : SIZE[1]]

    def paint(self, photographs: Sequence[np.ndarray], seeds: Sequence[int]) -> list[int]:
        self.count += len(photographs)
        return list(range(self.count - len(photographs), self.count))

    def read(self, painted: int) -> LabelPlanes:
        normal = np.zeros((*SIZE, 3), np.float32)
        normal[..., 2] = 1
        planes = {
            "depth_m": np.full(SIZE, 2, np.float32),
            "normal": normal,
            "segment": np.zeros(SIZE, np.uint8),
            "classes": ("wall",),
            "confidence": np.full((*confidence_size(SIZE), 3), 200, np.uint8),
        }
        if painted == 1:
            self.spoil(planes)
        return LabelPlanes(**planes)

    def provenance(self) -> dict[str, Any]:
        return {"teacher": TEACHER}


def nan_normals(planes: dict[str, Any]) -> None:
    planes["normal"][3, 4] = np.nan


def long_normals(planes: dict[str, Any]) -> None:
    planes["normal"] *= 2


def unknown_class(planes: dict[str, Any]) -> None:
    planes["segment"][0, 0] = 7


def another_size(planes: dict[str, Any]) -> None:
    planes["depth_m"] = np.ones((4, 4), np.float32)


def device_error(planes: dict[str, Any]) -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def label(folder: Path, spoil: Callable[[dict[str, Any]], None]) -> Path:
    write_images(
        folder / "s.tar",
        {key: make_photograph(n, height_px=16, width_px=16) for n, key in enumerate("abc")},
    )
    out = folder / "labels"
    out.mkdir()
    with ThreadPoolExecutor(2) as pool:
        ShardLabeller(
            labeller=SpoilingLabeller(spoil), job_id="job", dtype="none", batch_size=2, pool=pool
        ).label(inspect_shard(folder / "s.tar"), out)
    return out


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (nan_normals, "expected vectors of length 1, or 0 where unknown; found length nan"),
        (long_normals, "expected vectors of length 1, or 0 where unknown; found length 2"),
        (unknown_class, "expected ids from 0 to 0, or 255 for ignore; found 7"),
        (another_size, "depth_m: expected (16, 16) float32, found (4, 4) float32"),
    ],
)
def test_a_label_that_makes_no_sense_is_quarantined(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], reason: str
) -> None:
    out = label(tmp_path, spoil)
    (error,) = read_errors(out, "s")
    assert (error.key, error.stage) == ("b", "label")
    assert reason in error.reason
    assert [key for key, _, _ in read_pairs(tmp_path / "s.tar", out / "s.tar")] == ["a", "c"]


def test_a_failing_device_is_no_bad_photograph(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="CUDA error"):
        label(tmp_path, device_error)
    assert list((tmp_path / "labels").iterdir()) == []

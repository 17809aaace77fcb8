"""One shard: batches, threads, and which failures are the photograph's own."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import photograph, png, write_image_shards
from tiny import build_teacher

from teacher.jobs.label_shard import Interrupted, Photograph, ShardLabeller, batches_by_size
from teacher.label import TeacherLabeller
from teacher.painters import Painter, load_painter
from teacher.shards import InputShard, Quarantined, ShardWriter, inspect_shard, read_errors


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny", start="noise")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_image_shards(tmp_path / "images")


class OverflowingPainter:
    """Paints well, but for photographs with a dark first pixel, which overflow."""

    def __init__(self, painter: Painter) -> None:
        self.card, self.painter = painter.card, painter

    def paint(self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]):
        painted = self.painter.paint(photographs, tasks, seeds)
        painted["normal"][photographs[:, 0, 0].sum(axis=-1) == 0] = np.nan
        return painted


class FailingPainter(OverflowingPainter):
    """Fails as a GPU does."""

    def paint(self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def label_with(painter: Painter, source: InputShard, out: Path, votes: int = 1, **options: Any):
    with ThreadPoolExecutor(2) as pool:
        return ShardLabeller(
            labeller=TeacherLabeller(painter, votes=votes),
            job_id="job",
            dtype="float32",
            batch_size=2,
            pool=pool,
            **options,
        ).label(source, out)


def test_a_painting_that_overflows_is_quarantined(teacher: Path, tmp_path: Path) -> None:
    dark = np.random.default_rng(0).integers(1, 256, (32, 32, 3), dtype=np.uint8)
    dark[0, 0] = 0
    with ShardWriter(tmp_path / "s.tar") as shard:
        for key, data in (("a", photograph(1)), ("dark", png(dark)), ("b", photograph(4))):
            shard.add(key, {"png" if key == "dark" else "jpg": data})
    (tmp_path / "labels").mkdir()
    painter = OverflowingPainter(load_painter(teacher))
    marker = label_with(painter, inspect_shard(tmp_path / "s.tar"), tmp_path / "labels")
    assert (marker.ok, marker.quarantined) == (2, 1)
    (error,) = read_errors(tmp_path / "labels", "s")
    assert (error.key, error.stage) == ("dark", "label")
    assert "the painting of normal is not finite" in error.reason


def test_an_error_of_the_device_is_no_bad_photograph(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels").mkdir()
    painter = FailingPainter(load_painter(teacher))
    with pytest.raises(RuntimeError, match="CUDA error"):
        label_with(painter, inspect_shard(images / "000000.tar"), tmp_path / "labels")
    assert list((tmp_path / "labels").iterdir()) == []


def test_stopping_drops_the_shard_at_hand(images: Path, teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    answers = iter([False, False, True])
    with pytest.raises(Interrupted):
        label_with(
            load_painter(teacher),
            inspect_shard(images / "000000.tar"),
            tmp_path / "labels",
            stopped=lambda: next(answers),
        )
    assert list((tmp_path / "labels").iterdir()) == []


def test_every_batch_is_painted_once_for_each_view(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    """So that a label follows from the shard and the batch size alone, with any number of votes."""
    calls: list[tuple[tuple[int, ...], int]] = []
    painter = load_painter(teacher)

    class Recording(OverflowingPainter):
        def paint(self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]):
            calls.append((photographs.shape, len(set(seeds))))
            return self.painter.paint(photographs, tasks, seeds)

    (tmp_path / "labels").mkdir()
    source = inspect_shard(images / "000000.tar")
    label_with(Recording(painter), source, tmp_path / "labels", votes=3)
    assert calls == [call for call in calls[::3] for _ in range(3)]
    assert sum(shape[0] for shape, _ in calls) == 3 * source.count
    assert all(different == shape[0] for shape, different in calls)


def test_batches_are_of_one_size_and_follow_the_order() -> None:
    def ready(key: str, width: int) -> Photograph:
        pixels = np.zeros((16, width, 3), np.uint8)
        return Photograph(key=key, pixels=pixels, sha256="", height_px=1, width_px=1, seed=0)

    window = [ready("a", 16), ready("b", 32), Quarantined("c", "decode", "bad"), ready("d", 16)]
    window += [ready("e", 16), ready("f", 32)]
    batches = [[photo.key for photo in batch] for batch in batches_by_size(window, 2)]
    assert batches == [["a", "d"], ["e"], ["b", "f"]]

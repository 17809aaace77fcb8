"""A full disk: foreseen where it can be, named clearly where not, and nothing done is lost."""

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs import label, shard_bytes, write_image_shards
from tiny import build_teacher

from distill.main import main
from teacher.jobs import disk_space
from teacher.jobs.disk_space import MARGIN, FullDisk, SpaceGuard, full_disk_explained
from teacher.jobs.status import job_status
from teacher.shards import InputShard, Marker

SMALL_KB = 400
"""Room for some shards of labels, not for all."""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny", start="noise")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of SMALL_KB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    if sys.platform != "linux":
        pytest.skip("a small file system is made with Linux's tmpfs")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_KB}k", "potstill-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a tmpfs is not allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("margin", "trouble"), [(MARGIN, "no room for the labels of"), (0, "no space left")]
)
def test_a_full_disk_is_named_and_the_job_goes_on_when_there_is_room(
    teacher: Path,
    tmp_path: Path,
    small_disk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    margin: float,
    trouble: str,
) -> None:
    """Once foreseen, and once (nothing is ever foreseen) as the kernel's ENOSPC."""
    monkeypatch.setattr(disk_space, "MARGIN", margin)
    images, out = write_image_shards(tmp_path / "images", shards=8), small_disk / "labels"
    label(images, out, teacher, shards="0-1")  # tells how large labels are
    places = {"images": images, "out": out, "teacher": teacher, "batch_size": 2}
    command = ["label", *(f"--{name}={value}" for name, value in places.items())]
    assert main(command) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"potstill label: error: {out}: {trouble}")
    assert "free)" in error
    assert "shards with a marker are complete" in error
    done = len(job_status(out).markers)
    assert 2 <= done < 8
    assert not list(out.glob(".*.tmp"))

    remount = f"remount,size={100 * SMALL_KB}k"
    subprocess.run(["mount", "-o", remount, str(small_disk)], check=True)
    report = label(images, out, teacher)
    assert (report.shards_done, report.labelled_now) == (8, 7 * (8 - done))
    label(images, tmp_path / "whole", teacher)
    assert shard_bytes(out) == shard_bytes(tmp_path / "whole")


def shard(name: str, count: int) -> InputShard:
    return InputShard(f"/images/{name}.tar", 1, "0" * 64, count)


def marker(name: str, count: int, size_bytes: int) -> Marker:
    return Marker(name, size_bytes, "0" * 64, count, 0, "job")


def test_shards_that_cannot_fit_are_refused_before_they_are_begun(tmp_path: Path) -> None:
    guard = SpaceGuard(tmp_path, ())
    guard.begin(shard("first", 10**12))  # nothing is known yet
    guard.end(marker("first", 10, 10_000))
    guard.begin(shard("fits", 10))
    assert guard.warning(10) is None
    assert "the job will stop before its end" in str(guard.warning(10**15))
    with pytest.raises(FullDisk, match="no room for the labels of huge") as error:
        guard.begin(shard("huge", 10**15))
    assert error.value.errno == errno.ENOSPC


def test_other_errors_of_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="no space left") as error,
        full_disk_explained(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert isinstance(error.value, FullDisk)
    with pytest.raises(PermissionError), full_disk_explained(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_the_last_line_on_stderr_tells_what_was_done(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(write_image_shards(tmp_path / "images", 2), tmp_path / "labels", teacher)
    state = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (state["photographs"], state["of"], state["labelled_now"]) == (14, 14, 14)
    assert state["quarantined_now"] == 0
    assert 0 < state["device_busy"] <= 1
    assert state["per_s"] > 0
    assert state["left_s"] == 0

"""`potstill status`: progress, pace and quarantine, told by a folder of small files."""

import os
import re
import time
from pathlib import Path

import pytest

from distill.main import main
from teacher.jobs.status import job_status, quarantine_reasons
from teacher.jobs.status_text import status_lines
from teacher.manifest import InputShard, Manifest, write_manifest
from teacher.markers import Marker, Quarantined, write_errors, write_marker

PER_SHARD = 100


def write_job(
    folder: Path, times_s: list[float], *, shards: int = 50, quarantined: int = 0
) -> Path:
    """A job of which as many shards are done as there are times: seconds before now."""
    folder.mkdir()
    inputs = tuple(InputShard(f"/x/{n:06d}.tar", 9, "0" * 64, PER_SHARD) for n in range(shards))
    write_manifest(folder, Manifest("job", inputs, {"teacher": {"name": "tiny"}}))
    for number, ago_s in enumerate(times_s):
        name = f"{number:06d}"
        (folder / f"{name}.tar").write_bytes(b"x")
        error = Quarantined(f"k{number}", "decode", f"too large: {number} x 9 pixels")
        write_errors(folder, name, [error] * quarantined)
        ok = PER_SHARD - quarantined
        path = write_marker(folder, Marker(name, 1, "0" * 64, ok, quarantined, "job"))
        os.utime(path, (time.time() - ago_s,) * 2)
    return folder


def test_a_steady_job_has_a_pace_and_an_end(tmp_path: Path) -> None:
    status = job_status(write_job(tmp_path / "l", [10.0 * n + 5 for n in range(30)]))
    assert status.pace is not None
    assert (status.pace.shards, status.pace.photographs) == (20, 2000)
    assert status.pace.photographs_per_s == pytest.approx(10, rel=0.01)
    assert status.pace.is_current
    assert status.remaining == 2000
    assert status.remaining_s == pytest.approx(200, rel=0.01)
    (line,) = [line for line in status_lines(status) if line.startswith("pace")]
    assert line.startswith("pace         10.0/s over the last 20 shards, the last one 0:00:")
    assert line.endswith("; 0:03:20 to the end")


def test_a_job_that_went_quiet_has_no_end(tmp_path: Path) -> None:
    status = job_status(write_job(tmp_path / "l", [3600 + 10.0 * n for n in range(30)]))
    assert status.remaining_s is None
    (line,) = [line for line in status_lines(status) if line.startswith("pace")]
    assert re.search(r"the last one 1:00:\d\d ago: no longer running, or much slower", line)


def test_the_first_shard_tells_no_pace(tmp_path: Path) -> None:
    status = job_status(write_job(tmp_path / "l", [5.0]))
    assert status.pace is None
    assert not any(line.startswith("pace") for line in status_lines(status))


def test_a_finished_job_needs_no_pace(tmp_path: Path) -> None:
    status = job_status(write_job(tmp_path / "l", [10.0 * n for n in range(5)], shards=5))
    assert status.remaining == 0
    assert not any(line.startswith("pace") for line in status_lines(status))


def test_reasons_that_differ_in_numbers_are_one(tmp_path: Path) -> None:
    errors = [
        ("0", Quarantined("a", "decode", "too large: 9000 x 9000 pixels, expected at most 7")),
        ("0", Quarantined("b", "decode", "all pixels have one colour")),
        ("1", Quarantined("c", "decode", "too large: 8000 x 8000 pixels, expected at most 7")),
        ("1", Quarantined("d", "read", "member 'x.jpg': a link")),
        ("2", Quarantined("e", "read", "member 'y.jpg': a link")),
        ("2", Quarantined("f", "label", "member 'y.jpg': a link")),
        ("3", Quarantined("g", "decode", "too large: 7000 x 7000 pixels, expected at most 7")),
    ]
    found = [(r.count, r.shard, r.first.key) for r in quarantine_reasons(errors)]
    assert found == [(3, "0", "a"), (2, "1", "d"), (1, "0", "b"), (1, "2", "f")]


def test_many_of_a_kind_are_one_line(tmp_path: Path) -> None:
    status = job_status(write_job(tmp_path / "l", [0.0] * 9, quarantined=3))
    lines = [line for line in status_lines(status) if line.startswith("quarantined")]
    assert lines == [
        "quarantined  000000/k0 (decode): too large: 0 x 9 pixels; 26 more like it",
    ]


def test_of_many_quarantines_the_first_hundred_are_read(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "l", [0.0] * 120, shards=120, quarantined=1)
    status = job_status(folder)
    assert status.quarantined_count == 120
    assert len(status.quarantined) == 100
    assert list(status_lines(status))[-1] == "quarantined  20 others; see *.errors.jsonl"


def test_a_job_behind_a_url_is_read_too(tmp_path: Path) -> None:
    import fsspec

    folder = write_job(tmp_path / "l", [0.0] * 3, quarantined=2)
    store = fsspec.filesystem("memory")
    store.put(str(folder), "/potstill-status/labels", recursive=True)
    try:
        remote, local = job_status("memory://potstill-status/labels"), job_status(folder)
    finally:
        store.rm("/potstill-status", recursive=True)
    assert remote.pace is None
    assert remote.markers == local.markers
    assert remote.quarantined == local.quarantined


def test_a_folder_without_a_plan_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--labels", str(tmp_path)]) == 2
    assert f"{tmp_path}/manifest.json: not found" in capsys.readouterr().err

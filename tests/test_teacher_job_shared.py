"""Several processes on one label folder: every shard once, and the bytes of a single run."""

import json
from pathlib import Path

import pytest
from jobs import label, shard_bytes, write_image_shards
from processes import start_label_job
from tiny import build_teacher

from teacher.jobs.job import LabelConfig
from teacher.jobs.leases import FOLDER, Leases

TASKS = "depth"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny", start="noise")


def label_together(images: Path, out: Path, teacher: Path, count: int) -> list[dict]:
    """The reports of so many processes that were started at once."""
    config = LabelConfig(images=images, out=out, teacher=str(teacher), tasks=TASKS, batch_size=2)
    reports = [out.with_name(f"{out.name}-{number}.json") for number in range(count)]
    processes = [start_label_job(config, report) for report in reports]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * count
    return [json.loads(report.read_text()) for report in reports]


def check_together(tmp_path: Path, teacher: Path, *, shards: int, processes: int) -> list[int]:
    """Shards that each process labelled; together all, each once, with the bytes of one run."""
    images = write_image_shards(tmp_path / "images", shards)
    label(images, tmp_path / "alone", teacher, tasks=TASKS)
    reports = label_together(images, tmp_path / "shared", teacher, processes)
    assert sum(report["labelled_now"] for report in reports) == 7 * shards
    assert shard_bytes(tmp_path / "shared") == shard_bytes(tmp_path / "alone")
    assert [file.name for file in (tmp_path / "shared" / FOLDER).iterdir()] == ["lock"]
    return [report["labelled_now"] // 7 for report in reports]


def test_two_processes_share_a_folder(teacher: Path, tmp_path: Path) -> None:
    check_together(tmp_path, teacher, shards=6, processes=2)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_a_large_folder(teacher: Path, tmp_path: Path, processes: int) -> None:
    labelled = check_together(tmp_path, teacher, shards=40, processes=processes)
    print(f"\nshards labelled by each of {processes} processes: {labelled}")
    assert min(labelled) > 0


def test_what_another_process_holds_is_left_to_it(teacher: Path, tmp_path: Path) -> None:
    images, out = write_image_shards(tmp_path / "images", 2), tmp_path / "labels"
    out.mkdir()
    with Leases(out) as other:
        other.take("000001")
        report = label(images, out, teacher, tasks=TASKS)
        assert (report.shards_done, report.shards_elsewhere) == (1, 1)
        assert not report.interrupted
    report = label(images, out, teacher, tasks=TASKS)
    assert (report.shards_done, report.shards_elsewhere, report.labelled_now) == (2, 0, 7)

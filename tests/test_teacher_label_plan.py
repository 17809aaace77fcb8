"""`potstill label --plan`: what a job will take, with nothing labelled."""

from dataclasses import replace
from pathlib import Path

import pytest
from jobs import label, photograph, write_image_shards, write_images
from tiny import build_teacher

from distill.main import main
from teacher.jobs.job import LabelConfig
from teacher.jobs.label_plan import JobPlan, plan_label_job, plan_lines
from teacher.shards import read_manifest


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny", start="noise")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_image_shards(tmp_path / "images")


def plan(images: Path, out: Path, teacher: Path) -> JobPlan:
    return plan_label_job(
        LabelConfig(images=images, out=out, teacher=str(teacher), tasks="depth", batch_size=2)
    )


def test_a_plan_is_frozen_and_nothing_is_labelled(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels"
    found = plan(images, out, teacher)
    assert [path.name for path in out.iterdir()] == ["manifest.json"]
    assert read_manifest(out).job_id == found.job_id
    assert (found.shards, found.shards_done, found.photographs) == (4, 0, 28)
    assert found.probe is not None
    assert found.probe.photographs == 20
    assert found.seconds == pytest.approx(28 / found.probe.per_s)
    report = label(images, out, teacher, tasks="depth", shards="0")
    assert report.job_id == found.job_id
    later = plan(images, out, teacher)
    assert (later.shards_done, later.photographs_done, later.remaining) == (1, 7, 21)
    expected = 28 * (out / "000000.tar").stat().st_size / 7
    assert found.label_bytes == pytest.approx(expected, rel=0.3)
    label(images, out, teacher, tasks="depth")
    assert plan(images, out, teacher).probe is None


def test_a_plan_says_what_somebody_decides_by(
    images: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"images": images, "out": tmp_path / "labels", "teacher": teacher, "tasks": "depth"}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    assert main(["label", *arguments, "--plan"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["teacher"].startswith(f"tiny from {teacher}, revision ")
    assert rows["licence"] == "Apache-2.0"
    assert rows["photographs"] == "28: 0 done, 28 to go"
    assert rows["shards"] == "4: 0 done, 4 missing"
    assert " photographs/s on cpu, from 20 photographs" in rows["speed"]
    assert rows["plan"].endswith("nothing was labelled")


def test_a_long_job_and_a_full_disk_are_told_plainly(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    found = plan(images, tmp_path / "labels", teacher)
    assert found.probe is not None
    probe = replace(found.probe, per_s=4.0, label_bytes=780_000.0)
    large = replace(
        found, photographs=10_000_000, probe=probe, free_bytes=10**12, device="cuda", shards=10_000
    )
    text = "\n".join(plan_lines(large))
    assert "10,000,000: 0 done, 10,000,000 to go" in text
    assert "7.8 TB expected, 780 kB a photograph; 1.0 TB free: THE LABELS WILL NOT FIT" in text
    assert "28 d 22 h with one worker like this, 694.44 GPU-hours" in text
    remote = replace(large, free_bytes=None)
    assert remote.fits
    assert "unknown room" in "\n".join(plan_lines(remote))


def test_photographs_that_cannot_be_used_are_part_of_the_probe(
    teacher: Path, tmp_path: Path
) -> None:
    write_images(tmp_path / "0.tar", {"bad": b"no image", "good": photograph(0)})
    found = plan(tmp_path / "0.tar", tmp_path / "labels", teacher)
    assert found.probe is not None
    assert found.probe.photographs == 2

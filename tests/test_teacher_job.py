"""The labelling job: what it writes, what it quarantines, when it fails."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import SIZES, label, photograph, png, shard_bytes, write_image_shards, write_images
from legends import with_legends
from samples import make_photograph
from tiny import PALETTE, build_teacher, write_card

from teacher.jobs.job import LabelConfig
from teacher.jobs.status import job_status
from teacher.label import TeacherLabeller
from teacher.painters import load_painter
from teacher.sample import decode_photograph, encode_photograph
from teacher.shards import is_committed, read_errors, read_manifest, read_pairs, sample_seed


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny", start="noise")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_image_shards(tmp_path / "images")


def test_labels_every_photograph_in_order(images: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    report = label(images, out, teacher)
    assert (report.shards, report.shards_done) == (4, 4)
    assert (report.labelled, report.labelled_now, report.quarantined) == (28, 28, 0)
    assert not report.interrupted
    manifest = read_manifest(out)
    assert manifest.job_id == report.job_id
    for name in (shard.name for shard in manifest.inputs):
        pairs = list(read_pairs(images / f"{name}.tar", out / f"{name}.tar"))
        assert [key for key, _, _ in pairs] == [f"s{int(name)}p{i}" for i in range(7)]
        assert is_committed(out, name, report.job_id)
    assert json.loads((out / "run.json").read_text())["job_id"] == report.job_id


def test_every_label_says_where_it_came_from(images: Path, teacher: Path, tmp_path: Path) -> None:
    report = label(images, tmp_path / "labels", teacher)
    pairs = read_pairs(images / "000001.tar", tmp_path / "labels" / "000001.tar")
    for number, (key, _, labels) in enumerate(pairs):
        record = labels.record
        assert record.seed == sample_seed(report.job_id, key)
        assert (record.photo_height_px, record.photo_width_px) == SIZES[number % 3]
        assert labels.size == ((32, 48), (32, 32), (48, 32))[number % 3]
        assert labels.tasks == ("depth", "normal", "segment")
        assert labels.classes == ("sky", "ground", "box")
        assert record.prompts == {task: f"paint {task}" for task in labels.tasks}
        assert record.teacher["path_or_hub_id"] == str(teacher)
        assert record.teacher["weights_sha256"]
        assert record.depth_codec == {"c": 10 / 3, "codec": "cubewalk", "lam": -3.0}
        assert record.palette is not None
        assert record.palette["classes"] == list(labels.classes)
        assert record.versions["torch"]


def test_labels_are_those_of_the_photograph(images: Path, teacher: Path, tmp_path: Path) -> None:
    """Nothing is mixed up on the way through windows, sizes and threads."""
    label(images, tmp_path / "labels", teacher)
    labeller = TeacherLabeller(load_painter(teacher))
    pairs = read_pairs(images / "000000.tar", tmp_path / "labels" / "000000.tar")
    for _, data, stored in pairs:
        (alone,) = labeller.label([decode_photograph(data)], [stored.record.seed])
        assert np.mean(alone.segment == stored.segment) > 0.99


def test_the_same_bytes_whatever_the_threads_and_wherever_the_files_lie(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    label(images, tmp_path / "one", teacher, threads=1)
    moved = Path(shutil.move(images, tmp_path / "moved"))
    label(moved, tmp_path / "four", teacher, threads=4)
    tars = [
        {
            name: data
            for name, data in shard_bytes(tmp_path / out).items()
            if name != "manifest.json"
        }
        for out in ("one", "four")
    ]
    assert tars[0] == tars[1]
    assert read_manifest(tmp_path / "one").job_id == read_manifest(tmp_path / "four").job_id


def test_a_folder_of_photographs_is_packed_first(teacher: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/b.JPG", "sub/c.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        path.write_bytes(encode_photograph(pixels, path.suffix[1:].lower()))
    report = label(tmp_path / "photos", tmp_path / "set" / "labels", teacher)
    assert report.labelled == 3
    shard = "000000.tar"
    pairs = read_pairs(tmp_path / "set" / "images" / shard, tmp_path / "set" / "labels" / shard)
    assert [key for key, _, _ in pairs] == ["a", "sub_b", "sub_c"]
    again = label(tmp_path / "photos", tmp_path / "set" / "labels", teacher)
    assert (again.labelled, again.labelled_now) == (3, 0)

    with pytest.raises(ValueError, match="name another one with --packed"):
        label(tmp_path / "photos", tmp_path / "labels", teacher, packed=tmp_path / "photos")
    label(tmp_path / "photos", tmp_path / "labels", teacher, packed=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / shard).is_file()


def test_machines_can_share_a_job_by_shards(images: Path, teacher: Path, tmp_path: Path) -> None:
    first = label(images, tmp_path / "labels", teacher, shards="0-1")
    assert (first.shards, first.shards_done, first.labelled) == (2, 2, 14)
    second = label(images, tmp_path / "labels", teacher, shards="2-3")
    assert (second.shards, second.shards_done, second.labelled) == (2, 2, 14)
    assert first.job_id == second.job_id
    label(images, tmp_path / "alone", teacher)
    assert shard_bytes(tmp_path / "labels") == shard_bytes(tmp_path / "alone")


def test_votes_are_recorded_and_belong_to_the_job(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    copy = with_legends(Path(shutil.copytree(teacher, tmp_path / "copy")), start="noise")
    out = tmp_path / "labels"
    label(images, out, copy, votes=3, shards="0-0")
    assert read_manifest(out).config["votes"] == 3
    labeller = TeacherLabeller(load_painter(copy), votes=3)
    for _, data, stored in read_pairs(images / "000000.tar", out / "000000.tar"):
        record = stored.record
        assert record.votes == 3
        assert record.palette is not None
        assert record.palette["colors"] == [list(color) for color in PALETTE]
        legends = record.palette["legends"]
        assert list(legends) == ["segment@1"]  # the views take the legends 0, 1 and 1
        assert legends["segment@1"] == [*map(list, PALETTE[1:]), list(PALETTE[0])]
        (alone,) = labeller.label([decode_photograph(data)], [record.seed])
        assert np.mean(alone.segment == stored.segment) > 0.99
    with pytest.raises(ValueError, match="votes was 3 and is now 1"):
        label(images, out, copy)
    alone = label(images, tmp_path / "alone", copy, shards="0-0")
    assert alone.job_id != read_manifest(out).job_id


def test_more_votes_than_views_are_refused_before_anything_is_written(
    images: Path, tmp_path: Path
) -> None:
    zeros = build_teacher(tmp_path / "zeros", start="zeros")
    with pytest.raises(ValueError, match="--votes 3: the teacher tiny answers the same"):
        label(images, tmp_path / "labels", zeros, votes=3)
    assert not (tmp_path / "labels").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (make_photograph()[:-200], "truncated"),
        (b"", "not a JPEG, PNG or WebP image"),
        (b"just text", "not a JPEG, PNG or WebP image"),
        (png(np.full((40, 40, 3), 7, np.uint8)), "all pixels have one colour"),
        (make_photograph(height_px=10, width_px=99), "more than 8 times as long as wide"),
    ],
)
def test_bad_photographs_are_quarantined_and_the_job_goes_on(
    teacher: Path, tmp_path: Path, data: bytes, reason: str
) -> None:
    good = {f"p{i}": photograph(i) for i in range(6)}
    write_images(tmp_path / "images.tar", {"a": photograph(1), "bad": data, **good})
    report = label(tmp_path / "images.tar", tmp_path / "labels", teacher, max_bad_fraction=0.2)
    assert (report.labelled, report.quarantined) == (7, 1)
    (error,) = read_errors(tmp_path / "labels", "images")
    assert (error.key, error.stage) == ("bad", "decode")
    assert re.search(reason, error.reason)
    pairs = read_pairs(tmp_path / "images.tar", tmp_path / "labels" / "images.tar")
    assert [key for key, _, _ in pairs] == ["a", *good]


def test_too_many_bad_photographs_fail_the_job_but_keep_what_is_done(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    bad = {f"bad{i}": b"no image" for i in range(4)}
    write_images(images / "000001.tar", {"good": photograph(0), **bad})
    out = tmp_path / "labels"
    with pytest.raises(
        ValueError, match="4 of 26 photographs cannot be labelled, more than"
    ) as error:
        label(images, out, teacher, max_bad_fraction=0.1)
    assert "000001/bad0: not a JPEG" in str(error.value)
    assert "and 1 more" in str(error.value)
    assert "\n" not in str(error.value)
    assert [is_committed(out, f"{i:06d}") for i in range(4)] == [True, True, False, False]

    with pytest.raises(ValueError, match="4 of 26"):
        label(images, out, teacher, max_bad_fraction=0.1)
    report = label(images, out, teacher, max_bad_fraction=0.2)
    assert (report.labelled, report.labelled_now, report.quarantined) == (22, 14, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "--batch_size must be at least 1"),
        ({"threads": 0}, "--threads must be at least 1"),
        ({"max_bad_fraction": 1.5}, r"--max_bad_fraction must lie in 0\.\.1"),
        ({"out": Path("images")}, "--out is the folder of --images, images: name another one"),
        ({"out": "file://images/"}, "--out is the folder of --images"),
        ({"packed": Path("labels/../labels")}, "--out is the folder of --packed"),
        ({"images": "s3://b/c", "out": "s3://b/c/"}, "--out is the folder of --images, s3://b/c"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LabelConfig(**{"images": Path("images"), "out": Path("labels"), **options})


def test_a_task_without_an_instruction_is_refused(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(teacher, tmp_path / "copy"))
    write_card(copy, instructions={"depth": "paint depth"})
    with pytest.raises(ValueError, match="the teacher tiny does not label normal: depth"):
        label(images, tmp_path / "labels", copy)
    assert not (tmp_path / "labels").exists()


def test_status_reads_markers_alone(images: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    write_images(images / "000001.tar", {"good": photograph(0), "bad": b"no image"})
    report = label(images, out, teacher, shards="0-1", max_bad_fraction=1)
    shutil.rmtree(images)
    status = job_status(out)
    assert (status.job_id, status.teacher) == (report.job_id, "tiny")
    assert (len(status.markers), status.shards) == (2, 4)
    assert (status.labelled, status.remaining, status.photographs) == (8, 14, 23)
    assert [(name, error.key) for name, error in status.quarantined] == [("000001", "bad")]
    (out / "000000.tar").write_bytes(b"cut")
    assert job_status(out).labelled == 1

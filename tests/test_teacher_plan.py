"""Resuming a labelling job: what may change, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from jobs import label, photograph, shard_bytes, write_image_shards, write_images
from tiny import build_teacher, write_card

from teacher.jobs.plan import select_shards
from teacher.process_id import this_process
from teacher.shards import InputShard, is_committed


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny", start="noise")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_image_shards(tmp_path / "images")


def test_resume_labels_only_what_is_missing(images: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher)
    whole = shard_bytes(out)
    (out / "000000.done.json").unlink()
    (out / "000002.tar").write_bytes(whole["000002.tar"][:-512])
    dead = replace(this_process(), started=1)
    (out / f".000003.tar.{dead}.0123456789ab.tmp").write_bytes(b"left by a dead run")
    report = label(images, out, teacher)
    assert (report.labelled, report.labelled_now) == (28, 14)
    assert shard_bytes(out) == whole


def test_batch_size_threads_and_limits_may_change_on_resume(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher, shards="0-1")
    options = {"batch_size": 3, "threads": 1, "max_bad_fraction": 0.5}
    report = label(images, out, teacher, device="cpu", **options)
    assert (report.labelled, report.labelled_now) == (28, 14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": "depth"}, r"tasks was \['depth', 'normal', 'segment'\] and is now \['depth'\]"),
        ({"dtype": "bfloat16"}, "dtype was 'float32' and is now 'bfloat16'"),
    ],
)
def test_another_configuration_is_refused_with_what_changed(
    images: Path, teacher: Path, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher)
    whole = shard_bytes(out)
    with pytest.raises(ValueError, match=message) as error:
        label(images, out, teacher, **options)
    assert "\n" not in str(error.value)
    assert "give --out another folder" in str(error.value)
    assert shard_bytes(out) == whole


def test_a_plan_without_labels_may_be_given_up(images: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher)
    for file in (*out.glob("*.tar"), *out.glob("*.done.json")):
        file.unlink()
    with pytest.raises(ValueError, match=r"delete .*manifest\.json to plan anew"):
        label(images, out, teacher, tasks="depth")


def test_another_teacher_is_refused_but_not_the_same_one_elsewhere(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher)
    copy = Path(shutil.copytree(teacher, tmp_path / "copy"))
    assert label(images, out, copy).labelled_now == 0
    write_card(copy, start="noise", steps=2)
    with pytest.raises(ValueError, match=r"teacher\.config_sha256 was '\w+' and is now"):
        label(images, out, copy)


def test_other_photographs_are_refused(images: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher, shards="0")
    (images / "000003.tar").rename(images / "000004.tar")
    write_images(images / "000002.tar", {"p": photograph(0)})
    with pytest.raises(ValueError, match="shard 000004 is new; shard 000003 is gone") as error:
        label(images, out, teacher)
    assert "shard 000002 had" in str(error.value)


def test_a_shard_that_changed_without_changing_its_size_is_refused(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher, shards="0-2")
    data = bytearray((images / "000003.tar").read_bytes())
    data[700] ^= 1
    (images / "000003.tar").write_bytes(data)
    with pytest.raises(ValueError, match=r"000003\.tar changed since the job was planned"):
        label(images, out, teacher)
    assert not is_committed(out, "000003")


def test_labels_of_no_job_are_never_overwritten(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "truth"
    out.mkdir()
    (out / "000000.tar").write_bytes(b"ground truth")
    with pytest.raises(ValueError, match="is not of a labelling job: give --out another folder"):
        label(images, out, teacher)
    assert (out / "000000.tar").read_bytes() == b"ground truth"
    with pytest.raises(ValueError, match="is a file: --out names the folder"):
        label(images, out / "000000.tar", teacher)


def test_select_shards() -> None:
    inputs = [InputShard(f"/{i}.tar", 1, "0" * 64, 1) for i in range(5)]
    assert select_shards(inputs, None) == tuple(inputs)
    assert select_shards(inputs, "1-3") == tuple(inputs[1:4])
    assert select_shards(inputs, "4") == (inputs[4],)
    for wrong in ("", "-", "a", "1-", "-1", "1-2-3", "1,2"):
        with pytest.raises(ValueError, match="--shards must have the form A-B"):
            select_shards(inputs, wrong)
    for wrong in ("5", "0-5", "3-1"):
        with pytest.raises(ValueError, match="the job has the shards 0-4"):
            select_shards(inputs, wrong)


def test_many_changes_are_told_in_one_line_that_ends(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher, shards="0", tasks="depth")
    for number in range(4):
        (images / f"{number:06d}.tar").rename(images / f"{number:06d}x.tar")
    with pytest.raises(ValueError, match="belongs to another job") as error:
        label(images, out, teacher, tasks="normal", dtype="bfloat16", steps=3)
    message = str(error.value)
    for change in ("dtype was 'float32' and is now 'bfloat16'", "steps was 1 and is now 3"):
        assert change in message
    assert "shard 000000x is new; " in message
    assert "shard 000000 is gone; and 3 more shards)" in message
    assert "\n" not in message

"""The teacher's verbs as a user meets them: output, exit codes, one clear line for every error."""

import shutil
from pathlib import Path

import pytest
from jobs import photograph, write_image_shards, write_images
from samples import make_photograph
from tiny import build_teacher, write_card

from distill.main import main
from teacher.shards import ShardWriter, read_errors


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny")


@pytest.fixture
def data(tmp_path: Path, tiny: Path) -> Path:
    """A folder with `images` and `teacher`."""
    write_image_shards(tmp_path / "images")
    shutil.copytree(tiny, tmp_path / "teacher")
    return tmp_path


def label(data: Path, **options: object) -> int:
    """Call `potstill label` on the folder's images; `options` override its arguments."""
    places = {"images": data / "images", "out": data / "labels", "teacher": data / "teacher"}
    return main(["label", *(f"--{name}={value}" for name, value in {**places, **options}.items())])


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The error that was printed, which has to be a single line."""
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("potstill label: error: ")]
    assert len(errors) == 1
    assert lines[-1] == errors[0]
    return errors[0]


def test_label_and_status_say_what_was_done(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(data, shards="0-2") == 0
    done = capsys.readouterr().out
    assert "3 of 3 shards done, 21 photographs labelled (21 now, " in done
    assert "0 quarantined" in done
    assert main(["status", "--labels", str(data / "labels")]) == 0
    status = capsys.readouterr().out.splitlines()
    assert status[0].endswith(", teacher tiny")
    assert status[1] == "shards       3 of 4 done"
    assert status[2] == "photographs  21 labelled, 0 quarantined, 7 to go"
    assert label(data) == 0
    assert "4 of 4 shards done, 28 photographs labelled (7 now, " in capsys.readouterr().out


def test_a_truncated_photograph_is_quarantined_and_shown(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {f"p{number}": photograph(number) for number in range(3)}
    write_images(data / "images" / "000001.tar", {**good, "cut": make_photograph()[:-300]})
    assert label(data) == 0
    assert "24 photographs labelled (24 now" in capsys.readouterr().out
    (error,) = read_errors(data / "labels", "000001")
    assert error.key == "cut"
    assert main(["status", "--labels", str(data / "labels")]) == 0
    assert f"quarantined  000001/cut (decode): {error.reason}" in capsys.readouterr().out


def test_too_many_bad_photographs_name_the_first_ones(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(data / "images" / "000000.tar", {"text": b"no image", "good": photograph(0)})
    assert label(data, max_bad_fraction=0.01) == 2
    error = only_line(capsys)
    assert "1 of 23 photographs cannot be labelled, more than --max_bad_fraction 0.01" in error
    assert "000000/text: not a JPEG" in error


def test_missing_folders_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(data, images=data / "nowhere") == 2
    assert "nowhere: no such file or folder" in only_line(capsys)
    assert label(data, teacher=data / "no_teacher") == 2
    assert "no_teacher does not exist" in only_line(capsys)
    (data / "empty").mkdir()
    assert label(data, images=data / "empty") == 2
    assert "empty: expected shards" in only_line(capsys)
    assert not (data / "labels").exists()
    assert main(["status", "--labels", str(data / "labels")]) == 2
    assert "manifest.json: not found" in capsys.readouterr().err


def test_an_empty_shard_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ShardWriter(data / "images" / "000002.tar"):
        pass
    assert label(data) == 2
    assert "000002.tar: an empty shard" in only_line(capsys)


def test_a_truncated_shard_is_labelled_as_far_as_it_goes(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data / "images" / "000002.tar"
    path.write_bytes(path.read_bytes()[:5000])
    assert label(data) == 0
    assert "1 quarantined" in capsys.readouterr().out
    (error,) = read_errors(data / "labels", "000002")
    assert error.stage == "read"
    assert error.reason.endswith("what may have followed is lost")


def test_an_unknown_task_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(data, tasks="depth,albedo") == 2
    assert "expected some of ('depth', 'normal', 'segment'), found" in only_line(capsys)


def test_a_teacher_of_another_schema_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_card(data / "teacher", schema=99)
    assert label(data) == 2
    assert "teacher.json has schema 99, this version reads 1" in only_line(capsys)


def test_a_teacher_with_pickles_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "teacher" / "transformer" / "model.bin").write_bytes(b"")
    assert label(data) == 2
    assert "holds pickled weights" in only_line(capsys)


def test_a_changed_configuration_is_refused_and_nothing_is_lost(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(data, shards="0") == 0
    before = (data / "labels" / "000000.tar").read_bytes()
    capsys.readouterr()
    assert label(data, tasks="depth") == 2
    assert "tasks was ['depth', 'normal', 'segment'] and is now ['depth']" in only_line(capsys)
    assert (data / "labels" / "000000.tar").read_bytes() == before
    assert label(data) == 0


def test_debug_shows_the_traceback(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["label", "--images", str(data / "nowhere"), "--out", str(data), "--debug"]
    assert main([*arguments, "--teacher", str(data / "teacher")]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["scenes", "tune", "label", "status", "verify", "view"])
def test_every_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: potstill {verb}" in text
    assert f"  potstill {verb} --" in text


@pytest.mark.parametrize("verb", ["label", "status", "verify", "view"])
def test_an_unknown_flag_and_a_missing_one_end_with_2(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["--colour", "red"]):
        with pytest.raises(SystemExit) as stop:
            main([verb, *arguments])
        assert stop.value.code == 2
        assert "error:" in capsys.readouterr().err

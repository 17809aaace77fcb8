"""Importing data sets: shards, cards, options, runs that were cut short, and what may be wrong."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layouts import config, imported, write_camvid, write_photo, write_png

from distill.data import match_shards
from distill.datasets import FORMATS, DatasetCard, import_dataset, read_dataset, write_dataset
from distill.datasets.camvid import CLASSES
from distill.main import main
from teacher.process_id import this_process
from teacher.shards import is_committed, read_photographs

CAMVID = Path(__file__).parents[2] / "shared" / "data" / "camvid"
FRAMES = [f"0016E5_{number:05d}" for number in range(5)]
CARD = DatasetCard(
    name="rooms",
    split="test",
    tasks=("depth", "normal"),
    classes=(),
    count=2,
    labelled=1,
    official_count=654,
    licence="MIT",
    source="somewhere",
    scenes={"a": "kitchen", "b": "bath"},
    domains={"a": "indoor", "b": "indoor"},
)


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    return write_camvid(tmp_path / "CamVid", FRAMES)


def test_photographs_are_kept_byte_for_byte_and_classes_exactly(camvid: Path) -> None:
    wanted = config("camvid", camvid, split="val", per_shard=2)
    card = import_dataset(wanted)
    found = imported(wanted.out)
    assert list(found) == FRAMES
    for number, (name, (photo, labels)) in enumerate(found.items()):
        assert photo == (camvid / "val" / "rgb" / f"{name}.jpg").read_bytes()
        assert labels.classes == CLASSES
        assert labels.segment is not None
        assert (labels.segment[:, 1:] == number).all()
        assert (labels.segment[:, 0] == 255).all()
        assert labels.record.teacher["path_or_hub_id"] == "ground truth of camvid"
        assert str(labels.record.teacher["licence"]).startswith("CC BY-NC 4.0")
    assert sorted(p.name for p in (wanted.out / "images").glob("*.tar")) == [
        "000000.tar",
        "000001.tar",
        "000002.tar",
    ]
    assert all(is_committed(wanted.out / "labels", f"{n:06d}") for n in range(3))
    assert len(match_shards(wanted.out / "images", wanted.out / "labels")) == 3
    assert card == read_dataset(wanted.out)
    assert (card.count, card.official_count) == (5, 101)
    assert set(card.scenes.values()) == {"0016E5"}
    assert set(card.domains.values()) == {"outdoor"}


def test_a_whole_split_is_known_as_such(tmp_path: Path) -> None:
    folder = write_camvid(tmp_path / "CamVid", [f"0016E5_{n:05d}" for n in range(101)])
    card = import_dataset(config("camvid", folder, split="val", allow_partial=False))
    assert card.count == card.official_count


def test_an_incomplete_split_names_what_is_missing(tmp_path: Path) -> None:
    folder = write_camvid(tmp_path / "CamVid", ["0001TP_1", "0001TP_2", "0006R0_1"], "train")
    wanted = config("camvid", folder, split="train", allow_partial=False)
    with pytest.raises(ValueError, match=r"split of 367 photographs, found 3 \(0001TP 2 of 62"):
        import_dataset(wanted)
    assert import_dataset(replace(wanted, limit=2)).count == 2


def test_segnets_own_layout(tmp_path: Path) -> None:
    write_photo(tmp_path / "train" / "0001TP_1.png")
    write_png(tmp_path / "trainannot" / "0001TP_1.png", np.full((24, 32), 11, np.uint8))
    wanted = config("camvid", tmp_path, split="train", out=tmp_path / "out")
    import_dataset(wanted)
    _, labels = imported(wanted.out)["0001TP_1"]
    assert labels.segment is not None
    assert (labels.segment == 255).all()


def test_a_finished_import_is_left_alone(camvid: Path) -> None:
    wanted = config("camvid", camvid, split="val")
    card = import_dataset(wanted)
    before = {path: path.stat().st_mtime_ns for path in wanted.out.rglob("*")}
    assert import_dataset(wanted) == card
    assert before == {path: path.stat().st_mtime_ns for path in wanted.out.rglob("*")}


def test_a_killed_import_goes_on(camvid: Path) -> None:
    wanted = config("camvid", camvid, split="val", per_shard=2)
    import_dataset(wanted)
    files = {path: path.read_bytes() for path in wanted.out.rglob("*.tar")}
    kept = (wanted.out / "labels" / "000000.tar").stat().st_ino
    (wanted.out / "dataset.json").unlink()
    (wanted.out / "labels" / "000001.done.json").unlink()
    (wanted.out / "images" / "000002.tar").unlink()
    dead = replace(this_process(), started=1)
    (wanted.out / "images" / f".000002.tar.{dead}.0123.tmp").write_bytes(b"half a shard")
    import_dataset(wanted)
    assert not list(wanted.out.rglob("*.tmp"))
    assert files == {path: path.read_bytes() for path in wanted.out.rglob("*.tar")}
    assert kept == (wanted.out / "labels" / "000000.tar").stat().st_ino


@pytest.mark.parametrize("change", [{"limit": 3}, {"name": "other"}, {"per_shard": 3}])
def test_a_folder_that_holds_another_set_is_refused(camvid: Path, change: dict) -> None:
    wanted = config("camvid", camvid, split="val")
    import_dataset(wanted)
    with pytest.raises(ValueError, match="holds another data set"):
        import_dataset(replace(wanted, **change))


def test_a_folder_with_something_else_is_refused(camvid: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not empty, and no import"):
        import_dataset(config("camvid", camvid, split="val", out=tmp_path))


def test_a_limit_takes_photographs_evenly(camvid: Path) -> None:
    wanted = config("camvid", camvid, split="val", limit=2)
    assert list(import_dataset(wanted).scenes) == [FRAMES[0], FRAMES[2]]


def test_a_missing_label_is_named(camvid: Path) -> None:
    (camvid / "val" / "seg" / f"{FRAMES[3]}.png").unlink()
    with pytest.raises(FileNotFoundError, match=rf"seg/{FRAMES[3]}\.png: no such file"):
        import_dataset(config("camvid", camvid, split="val"))


def test_another_size_is_named(camvid: Path) -> None:
    write_png(camvid / "val" / "seg" / f"{FRAMES[3]}.png", np.zeros((12, 32), np.uint8))
    message = rf"{FRAMES[3]}\.jpg: segment of 32 x 12 pixels .* photograph has 32 x 24"
    with pytest.raises(ValueError, match=message):
        import_dataset(config("camvid", camvid, split="val"))


def test_an_id_that_is_no_class_is_named(camvid: Path) -> None:
    write_png(camvid / "val" / "seg" / f"{FRAMES[3]}.png", np.full((24, 32), 12, np.uint8))
    with pytest.raises(ValueError, match=r"class id 12 is not defined; known: 0-11, 255"):
        import_dataset(config("camvid", camvid, split="val"))


def test_colours_instead_of_ids_are_refused(camvid: Path) -> None:
    write_png(camvid / "val" / "seg" / f"{FRAMES[3]}.png", np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="expected a PNG of uint8 with 1 channels, found uint8"):
        import_dataset(config("camvid", camvid, split="val"))


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_a_broken_photograph_is_named(camvid: Path, data: bytes) -> None:
    (camvid / "val" / "rgb" / f"{FRAMES[0]}.jpg").write_bytes(data)
    with pytest.raises(ValueError, match=rf"rgb/{FRAMES[0]}\.jpg: "):
        import_dataset(config("camvid", camvid, split="val"))


@pytest.mark.parametrize("part", ["rgb", "seg"])
def test_a_link_out_of_the_folder_is_refused(camvid: Path, part: str, tmp_path: Path) -> None:
    path = next((camvid / "val" / part).iterdir())
    outside = path.rename(tmp_path / path.name)
    path.symlink_to(outside)
    with pytest.raises(ValueError, match="lies outside of the folder"):
        import_dataset(config("camvid", camvid, split="val"))


def test_two_photographs_of_one_key_are_named(camvid: Path) -> None:
    write_photo(camvid / "val" / "rgb" / f"{FRAMES[0]}.png")
    with pytest.raises(ValueError, match=f"'{FRAMES[0]}' and '{FRAMES[0]}' share the key"):
        import_dataset(config("camvid", camvid, split="val"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "dev"}, r"split: camvid has \('test', 'val', 'train'\), found 'dev'"),
        ({"tasks": ("depth",)}, "none of 5 photographs is left by --only labelled"),
        ({"only": "unlabelled"}, "none of 5 photographs is left by --only unlabelled"),
        ({"scenes": ("0016E5", "x")}, "scenes: no 'x' here; found 0016E5"),
        ({"without_scenes": ("x",)}, "scenes: no 'x' here"),
        ({"sources": ("x",)}, "sources: no 'x' here"),
    ],
)
def test_a_wrong_option_is_named(camvid: Path, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_dataset(config("camvid", camvid, **({"split": "val"} | change)))


def test_an_unknown_format_is_named(camvid: Path) -> None:
    with pytest.raises(ValueError, match=r"expected one of \('folder', 'camvid'.*found 'voc'"):
        import_dataset(config("voc", camvid))


def test_a_mistake_can_be_corrected_in_the_same_folder(camvid: Path) -> None:
    path = camvid / "val" / "seg" / f"{FRAMES[0]}.png"
    right = path.read_bytes()
    write_png(path, np.full((24, 32), 12, np.uint8))
    wanted = config("camvid", camvid, split="val")
    with pytest.raises(ValueError, match="class id 12"):
        import_dataset(wanted)
    path.write_bytes(right)
    assert import_dataset(replace(wanted, limit=3)).count == 3


@pytest.mark.parametrize("format", FORMATS)
def test_a_wrong_folder_says_what_was_expected(format: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"expected .*{format} there"):
        import_dataset(config(format, tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty.*: no such (file|folder).*; expected "):
        import_dataset(config(format, tmp_path / "empty"))


def test_a_folder_without_photographs(tmp_path: Path) -> None:
    for name in ("rgb", "seg"):
        (tmp_path / "camvid" / "val" / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="it holds no photographs"):
        import_dataset(config("camvid", tmp_path / "camvid", split="val"))


@pytest.mark.parametrize("fields", [{"limit": 0}, {"per_shard": 0}, {"tasks": ("light",)}])
def test_options_out_of_range(fields: dict, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        config("camvid", tmp_path, **fields)


def test_the_verb(camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "sets" / "val"
    command = ["import", "camvid", str(camvid), "--split", "val", "--out", str(out)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "found 5 (0016E5 5 of 101); complete it, or give --allow-partial" in error
    assert main([*command, "--allow-partial", "--tasks", "segment"]) == 0
    assert "camvid val, 5 of 101 photographs, segment" in capsys.readouterr().out
    assert read_dataset(out).count == 5


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_dataset(tmp_path, CARD)
    assert read_dataset(tmp_path) == CARD
    fields = json.loads((tmp_path / "dataset.json").read_text())
    assert fields["schema"] == 1
    assert fields["tasks"] == ["depth", "normal"]


def test_no_card(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dataset\.json: .*written by `potstill import`"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "expected schema version 1, found 2"),
        ({"count": 0}, "count: expected an integer from 1"),
        ({"labelled": 3}, "labelled: expected an integer from 0 to 2"),
        ({"tasks": ["normal", "depth"]}, "tasks: expected some of"),
        ({"tasks": 3}, "not iterable"),
        ({"scenes": {"a": "kitchen"}}, "scenes: expected 2, found 1"),
        ({"name": ""}, "name: expected a text"),
        ({"colour": "red"}, "unknown fields"),
    ],
)
def test_a_damaged_card_is_named(change: dict, message: str, tmp_path: Path) -> None:
    path = write_dataset(tmp_path, CARD)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"dataset\.json: .*{message}"):
        read_dataset(tmp_path)


@pytest.mark.skipif(not CAMVID.is_dir(), reason=f"CamVid is not at {CAMVID}")
def test_camvid_itself(tmp_path: Path) -> None:
    wanted = config("camvid", CAMVID, split="val", allow_partial=False, out=tmp_path / "val")
    card = import_dataset(wanted)
    assert card.count == card.official_count
    found = imported(wanted.out)
    share = np.zeros(256)
    for _, labels in found.values():
        assert labels.segment is not None
        share += np.bincount(labels.segment.ravel(), minlength=256) / labels.segment.size / 101
    # Streets: half of a frame is building, road or tree, and little is void.
    assert share[[CLASSES.index(name) for name in ("building", "road", "tree")]].sum() > 0.5
    assert share[255] < 0.1
    assert len(list(read_photographs(wanted.out / "images" / "000000.tar"))) == 101

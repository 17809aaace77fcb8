"""Importing a folder with a manifest.json, such as the real photographs."""

import json
from pathlib import Path

import numpy as np
import pytest
from layouts import config, imported, ramp, write_photo, write_png

from distill.datasets import import_dataset
from teacher.normals import encode_normals
from teacher.shards import read_photographs

REAL = Path(__file__).parents[2] / "shared" / "data" / "real"


def write_folder(root: Path) -> Path:
    """Two rooms with depth, one with normals too, a street with classes, and a plain photograph."""
    facing = np.full((24, 32, 3), (128, 128, 0), np.uint8)  # towards the camera in OpenCV's axes
    facing[8:] = (128, 0, 128)  # a floor
    write_png(root / "a" / "normal.png", facing)
    write_png(root / "a" / "depth.png", ramp(100, 1000))
    write_png(root / "street" / "seg.png", np.full((24, 32), 9, np.uint8))
    (root / "street").mkdir(exist_ok=True)
    (root / "street" / "classes.txt").write_text("classes:\n  0: none\n  3: road\n  9: tree\n")
    for number in range(4):
        write_photo(root / f"{number}.jpg", number)
    depth = {"depth": "a/depth.png", "depth_scale": 1000.0, "domain": "indoor"}
    entries = [
        {"id": "a/1.x", "rgb": "0.jpg", "scene": "room", "normal": "a/normal.png", **depth},
        {"id": "a/2.x", "rgb": "1.jpg", "scene": "hall", "K": [60, 61, 15.5, 11.5], **depth},
        {
            "id": "s/1",
            "rgb": "2.jpg",
            "source": "street",
            "seg": "street/seg.png",
            "labels": "street",
            "ignore": 0,
            "licence": "CC0",
        },
        {"id": "u/1", "rgb": "3.jpg", "source": "plain"},
    ]
    (root / "manifest.json").write_text(json.dumps(entries))
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photographs")


def change_entry(folder: Path, number: int, **fields: object) -> None:
    path = folder / "manifest.json"
    entries = json.loads(path.read_text())
    entries[number] |= fields
    path.write_text(json.dumps(entries))


def test_ids_with_dots_and_slashes_become_keys(folder: Path) -> None:
    assert list(import_dataset(config("folder", folder)).scenes) == ["a_1_x", "a_2_x", "s_1"]


def test_planes_and_intrinsics_in_our_conventions(folder: Path) -> None:
    wanted = config("folder", folder, tasks=("depth", "normal"))
    card = import_dataset(wanted)
    first, second = (labels for _, labels in imported(wanted.out).values())
    assert first.depth_m is not None
    assert first.depth_m[5] == pytest.approx(1 + 0.1 * np.arange(32), rel=1e-4)
    assert first.normal is not None
    assert first.normal[0, 0] == pytest.approx((0, 0, 1), abs=0.01)
    # A floor is light green in a painting of normals.
    assert encode_normals(first.normal)[20, 0].tolist() == pytest.approx([128, 255, 128], abs=2)
    assert second.record.intrinsics == (60, 61, 16, 12)
    assert card.tasks == ("depth", "normal")
    assert card.domains["a_1_x"] == "indoor"
    assert card.official_count is None


def test_what_one_photograph_lacks_is_unknown(folder: Path) -> None:
    """All labels of a set have the same tasks, so that it can be read as one."""
    wanted = config("folder", folder)
    import_dataset(wanted)
    found = {key: labels for key, (_, labels) in imported(wanted.out).items()}
    assert all(labels.tasks == ("depth", "normal", "segment") for labels in found.values())
    street, hall = found["s_1"], found["a_2_x"]
    assert street.classes == hall.classes == ("road", "tree")
    assert street.depth_m is not None
    assert np.isnan(street.depth_m).all()
    assert street.segment is not None
    assert (street.segment == 1).all()
    assert hall.normal is not None
    assert not hall.normal.any()
    assert hall.segment is not None
    assert (hall.segment == 255).all()


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({"scenes": ("room",)}, ["a_1_x"]),
        ({"without_scenes": ("room",)}, ["a_2_x", "s_1"]),
        ({"sources": ("street",)}, ["s_1"]),
        ({"tasks": ("normal",)}, ["a_1_x"]),
        ({"only": "unlabelled"}, ["u_1"]),
        ({"only": "all"}, ["a_1_x", "a_2_x", "s_1", "u_1"]),
        ({"only": "all", "sources": ("plain", "street")}, ["s_1", "u_1"]),
    ],
)
def test_choices(folder: Path, fields: dict, keys: list[str]) -> None:
    wanted = config("folder", folder, **fields)
    card = import_dataset(wanted)
    assert list(card.scenes) == keys
    shard = wanted.out / "images" / "000000.tar"
    assert [key for key, _ in read_photographs(shard)] == keys
    assert len(imported(wanted.out)) == card.labelled == len(set(keys) - {"u_1"})
    assert import_dataset(wanted) == card


def test_a_task_that_nobody_knows_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"tasks: no normal among the .*only \['segment'\]"):
        import_dataset(config("folder", folder, sources=("street",), tasks=("normal",), only="all"))


def test_no_labels_where_nothing_is_labelled(folder: Path) -> None:
    wanted = config("folder", folder, only="unlabelled")
    assert import_dataset(wanted).tasks == ()
    assert not (wanted.out / "labels").exists()


def test_several_class_lists_are_refused_unless_one_is_chosen(folder: Path) -> None:
    write_png(folder / "seg11.png", np.zeros((24, 32), np.uint8))
    change_entry(folder, 3, seg="seg11.png", labels="camvid11")
    message = "several lists .*street with 2, plain with 11.*choose by --sources"
    with pytest.raises(ValueError, match=message):
        import_dataset(config("folder", folder))
    assert len(import_dataset(config("folder", folder, sources=("plain",))).classes) == 11


def test_millimetres_taken_for_metres_are_refused(folder: Path) -> None:
    change_entry(folder, 0, depth_scale=1)
    with pytest.raises(ValueError, match=r"0\.jpg: median depth 2550 m.*millimetres"):
        import_dataset(config("folder", folder))


def test_normals_in_other_axes_are_refused_and_then_read(folder: Path) -> None:
    stored = np.full((24, 32, 3), (128, 128, 255), np.uint8)
    stored[8:] = (128, 255, 128)
    write_png(folder / "a" / "normal.png", stored)
    with pytest.raises(
        ValueError, match=r"0\.jpg: [0-9]+% of the normals face away.*--axes camera"
    ):
        import_dataset(config("folder", folder))
    wanted = config("folder", folder, axes="camera", tasks=("normal",), out=folder / "out")
    import_dataset(wanted)
    _, labels = imported(wanted.out)["a_1_x"]
    assert labels.normal is not None
    assert labels.normal[20, 0] == pytest.approx((0, 1, 0), abs=0.01)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rgb": "../outside.jpg"}, ValueError, "lies outside of the folder"),
        ({"depth": "/etc/hostname"}, ValueError, "lies outside of the folder"),
        ({"depth": "gone.png"}, FileNotFoundError, r"gone\.png: no such file"),
        ({"depth": "manifest.json"}, ValueError, "found no image"),
        ({"depth": 3}, ValueError, "entry 0: expected text in depth"),
        ({"K": [1, 2]}, ValueError, r"entry 0: K: expected fx, fy, cx, cy, found \[1, 2\]"),
        ({"K": [0, 2, 3, 4]}, ValueError, r"0\.jpg: intrinsics: expected fx, fy > 0"),
        ({"ignore": "void"}, ValueError, "entry 0: ignore: expected an id up to 255, found 'void'"),
        (
            {"seg": "street/seg.png"},
            ValueError,
            r"json: a/1\.x: seg needs the name",
        ),
        ({"seg": "street/seg.png", "labels": "x"}, FileNotFoundError, r"x/classes\.txt"),
        ({"seg": "street/seg.png", "labels": "camvid11"}, ValueError, "several lists"),
        ({"id": "s/1"}, ValueError, "'s/1' and 's/1' share the key 's_1'"),
        ({"id": "s.1"}, ValueError, "'s/1' and 's.1' share the key 's_1'"),
        ({"id": "x" * 81}, ValueError, "expected at most 80 bytes"),
    ],
)
def test_a_wrong_entry_is_named(
    folder: Path, change: dict, error: type[Exception], message: str
) -> None:
    change_entry(folder, 0, **change)
    with pytest.raises(error, match=message):
        import_dataset(config("folder", folder))


def test_an_empty_class_list_is_named(folder: Path) -> None:
    (folder / "street" / "classes.txt").write_text("road\ntree\n")
    with pytest.raises(ValueError, match=r"classes\.txt: expected lines `id: name`"):
        import_dataset(config("folder", folder))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real photographs are not at {REAL}")
def test_the_real_photographs(tmp_path: Path) -> None:
    wanted = config("folder", REAL, tasks=("depth", "normal"), out=tmp_path / "geometry", limit=4)
    card = import_dataset(wanted)
    assert card.count == 4
    kitchen = next(v for k, (_, v) in imported(wanted.out).items() if card.scenes[k] == "kitchen")
    assert kitchen.normal is not None
    assert kitchen.depth_m is not None
    known = kitchen.normal.any(axis=-1)
    assert np.mean(kitchen.normal[known][:, 2] > 0) > 0.95
    # Table and floor: the lower half of a kitchen looks up.
    assert kitchen.normal[240:][known[240:]][:, 1].mean() > 0.3
    assert 0.4 < np.nanmedian(kitchen.depth_m) < 6
    with pytest.raises(ValueError, match="several lists"):
        import_dataset(config("folder", REAL, out=tmp_path / "all"))
    unlabelled = config("folder", REAL, only="unlabelled", out=tmp_path / "unlabelled")
    assert import_dataset(unlabelled).count == 128

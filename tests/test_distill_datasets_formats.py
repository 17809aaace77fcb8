"""NYUv2, KITTI, DIODE and Cityscapes, each in the exact layout in which it is distributed."""

import os
from pathlib import Path

import numpy as np
import pytest
from layouts import SIZE, config, imported, ramp, write_array, write_photo, write_png

from distill.datasets import FORMATS, import_dataset
from distill.datasets.cityscapes import CLASSES, TABLE
from teacher.sample import Labels

RAMP_M = 1 + 0.1 * np.arange(SIZE[1])
"""Metres along a row of `ramp(100, 1000)` in millimetres."""


def import_one(format: str, folder: Path, **fields) -> tuple[str, Labels]:
    """Key and labels of the only photograph of a folder."""
    wanted = config(format, folder, **fields)
    assert import_dataset(wanted).count == 1
    ((key, (_, labels)),) = imported(wanted.out).items()
    return key, labels


def test_nyuv2_as_bts_has_it(tmp_path: Path) -> None:
    room = tmp_path / "nyu" / "official_splits" / "test" / "bathroom"
    write_photo(room / "rgb_00045.jpg")
    write_png(room / "sync_depth_00045.png", ramp(100, 1000))
    key, labels = import_one("nyuv2", tmp_path / "nyu")
    assert key == "bathroom_00045"
    assert labels.depth_m is not None
    assert labels.depth_m[3] == pytest.approx(RAMP_M, rel=1e-4)
    assert labels.record.intrinsics == (518.8579, 519.4696, 325.0824, 253.2362)


def test_nyuv2_as_marigold_has_it(tmp_path: Path) -> None:
    room = tmp_path / "nyu" / "test" / "kitchen_0004"
    write_photo(room / "rgb_0001.png")
    write_png(room / "depth_0001.png", ramp(100))
    write_png(room / "filled_0001.png", ramp(0, 9000))
    key, labels = import_one("nyuv2", tmp_path / "nyu")
    assert key == "kitchen_0004_0001"
    assert labels.depth_m is not None
    assert np.isnan(labels.depth_m[:, 0]).all()
    assert np.nanmax(labels.depth_m) == pytest.approx(3.1, rel=1e-4)


def test_nyuv2_as_dsine_has_it(tmp_path: Path) -> None:
    test = tmp_path / "nyu" / "test"
    write_photo(test / "000045_img.png")
    stored = np.full((*SIZE, 3), (128, 128, 255), np.uint8)  # a wall that faces the camera
    stored[16:] = (128, 255, 128)  # a floor: DSINE's normals point into the surface, y down
    stored[0] = 0
    write_png(test / "000045_normal.png", stored)
    matrix = np.array([[60, 0, 15.5], [0, 61, 11.5], [0, 0, 1]], np.float32)
    write_array(test / "000045_intrins.npy", matrix)
    key, labels = import_one("nyuv2", tmp_path / "nyu")
    assert key == "000045"
    assert labels.tasks == ("normal",)
    assert labels.normal is not None
    assert labels.normal[8, 0] == pytest.approx((0, 0, 1), abs=0.01)
    assert labels.normal[20, 0] == pytest.approx((0, 1, 0), abs=0.01)
    assert not labels.normal[0].any()
    assert labels.record.intrinsics == (60, 61, 16, 12)
    write_array(test / "000045_intrins.npy", matrix[:2])
    with pytest.raises(ValueError, match="expected a 3 x 3 matrix"):
        import_dataset(config("nyuv2", tmp_path / "nyu", out=tmp_path / "again"))


def test_nyuv2_is_counted(tmp_path: Path) -> None:
    room = tmp_path / "nyu" / "test" / "kitchen_0004"
    write_photo(room / "rgb_0001.png")
    write_png(room / "depth_0001.png", ramp(100))
    with pytest.raises(ValueError, match=r"of 654 photographs, found 1 \(photographs 1 of 654\)"):
        import_dataset(config("nyuv2", tmp_path / "nyu", allow_partial=False))
    (room / "depth_0001.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"sync_depth_0001\.png: no such file"):
        import_dataset(config("nyuv2", tmp_path / "nyu"))


@pytest.mark.parametrize("parent", ["", "depth_selection", "data_depth_selection"])
def test_kitti_selection(tmp_path: Path, parent: str) -> None:
    root = tmp_path / "kitti" / parent / "val_selection_cropped"
    drive, frame = "2011_09_26_drive_0002_sync", "0000000005_image_02"
    write_photo(root / "image" / f"{drive}_image_{frame}.png")
    write_png(root / "groundtruth_depth" / f"{drive}_groundtruth_depth_{frame}.png", ramp(256))
    camera = root / "intrinsics" / f"{drive}_image_{frame}.txt"
    camera.parent.mkdir()
    camera.write_text("721.5377 0.0 596.5593 0.0 721.5377 149.854 0.0 0.0 1.0\n")
    wanted = config("kitti", tmp_path / "kitti")
    card = import_dataset(wanted)
    assert card.official_count == 1000
    assert list(card.scenes.items()) == [(f"{drive}_image_{frame}", drive)]
    _, labels = imported(wanted.out)[f"{drive}_image_{frame}"]
    assert labels.depth_m is not None
    assert np.isnan(labels.depth_m[:, 0]).all()
    assert labels.depth_m[9, 1:] == pytest.approx(np.arange(1, 32), rel=1e-4)
    assert labels.record.intrinsics == (721.5377, 721.5377, 597.0593, 150.354)
    for text in ("721.5377 0.0 596.5593", "fx 0 cx 0 fy cy 0 0 1"):
        camera.write_text(text)
        with pytest.raises(ValueError, match=r"\.txt: expected the 9 numbers of a 3 x 3 matrix"):
            import_dataset(config("kitti", tmp_path / "kitti", out=tmp_path / "again"))


def write_eigen(root: Path, depth_folder: str) -> None:
    """697 lines, 45 of them without depth; all files are one photograph and one depth."""
    photo, depth = write_photo(root / "p.png"), write_png(root / "d.png", ramp(256))
    drive = "2011_09_26_drive_0002_sync"
    lines = []
    for frame in range(697):
        names = [
            f"2011_09_26/{drive}/image_02/data/{frame:010d}.png",
            f"{drive}/proj_depth/groundtruth/image_02/{frame:010d}.png",
        ]
        has_depth = frame >= 45
        lines.append(f"{names[0]} {names[1] if has_depth else 'None'} 721.5377\n")
        targets = ((root / "raw" / names[0], photo), (root / depth_folder / names[1], depth))
        for path, file in targets[: 1 + has_depth]:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, path)
    (root / "eigen_test_files_with_gt.txt").write_text("".join(lines))


@pytest.mark.parametrize("depth_folder", ["gt", "data_depth_annotated/val"])
def test_kitti_as_eigen_splits_it(tmp_path: Path, depth_folder: str) -> None:
    write_eigen(tmp_path / "kitti", depth_folder)
    assert len(FORMATS["kitti"].find(tmp_path / "kitti", "eigen")) == 652
    wanted = config("kitti", tmp_path / "kitti", split="eigen", limit=2)
    assert import_dataset(wanted).official_count == 652
    key, (_, labels) = next(iter(imported(wanted.out).items()))
    assert key == "2011_09_26_drive_0002_sync_0000000045"
    assert labels.depth_m is not None
    assert labels.depth_m[0, 1] == pytest.approx(1, rel=1e-4)


def test_a_list_of_eigen_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "kitti").mkdir()
    (tmp_path / "kitti" / "eigen_test_files_with_gt.txt").write_text("a.png\n")
    with pytest.raises(ValueError, match=r"eigen_test_files_with_gt\.txt, line 1: expected"):
        import_dataset(config("kitti", tmp_path / "kitti", split="eigen"))


def write_diode(root: Path, place: str = "indoors", scan: str = "scan_00183") -> Path:
    """One picture of DIODE: a wall 3 m away, unknown in its first column."""
    scene = root / "val" / place / "scene_00019" / scan
    stem = f"00019_{scan[5:]}_{place}_000_010"
    write_photo(scene / f"{stem}.png")
    write_array(scene / f"{stem}_depth.npy", np.full((*SIZE, 1), 3, np.float32))
    mask = np.ones(SIZE, np.float32)
    mask[:, 0] = 0
    write_array(scene / f"{stem}_depth_mask.npy", mask)
    normal = np.zeros((*SIZE, 3), np.float32)
    normal[:, 1:] = (0, 0, -1)
    write_array(scene / f"{stem}_normal.npy", normal)
    return scene / stem


def test_diode(tmp_path: Path) -> None:
    write_diode(tmp_path / "diode")
    write_diode(tmp_path / "diode", "outdoor", "scan_00190")
    wanted = config("diode", tmp_path / "diode")
    card = import_dataset(wanted)
    assert list(card.domains.values()) == ["indoor", "outdoor"]
    assert list(card.scenes.values()) == ["scene_00019", "scene_00019"]
    assert card.official_count == 771
    _, labels = imported(wanted.out)["00019_00183_indoors_000_010"]
    assert labels.depth_m is not None
    assert np.isnan(labels.depth_m[:, 0]).all()
    assert labels.depth_m[:, 1:] == pytest.approx(3, rel=1e-4)
    assert labels.normal is not None
    assert labels.normal[4, 4] == pytest.approx((0, 0, 1), abs=0.01)
    assert not labels.normal[:, 0].any()
    assert labels.record.intrinsics == (886.81, 927.06, 512, 384)
    message = r"found 2 \(indoors 1 of 325, outdoor 1 of 446\)"
    with pytest.raises(ValueError, match=message):
        import_dataset(config("diode", tmp_path / "diode", allow_partial=False))


def test_diode_without_normals(tmp_path: Path) -> None:
    stem = write_diode(tmp_path / "diode")
    stem.with_name(f"{stem.name}_normal.npy").unlink()
    assert import_dataset(config("diode", tmp_path / "diode")).tasks == ("depth",)


@pytest.mark.parametrize(
    ("kind", "array", "message"),
    [
        ("depth", np.full((*SIZE, 1), 3000.0), "median depth 3000 m.*millimetres"),
        ("depth", np.zeros((*SIZE, 3)), r"_depth\.npy: expected \(H, W, 1\) numbers"),
        ("depth_mask", np.ones((3, 4)), r"_depth_mask\.npy: expected the depth's \(24, 32\)"),
        ("depth", np.array([None]), r"_depth\.npy: not a plain numpy array"),
        ("normal", np.ones(SIZE), r"_normal\.npy: expected \(H, W, 3\) floats"),
        ("normal", np.full((*SIZE, 3), (0, 0, 1.0)), "100% of the normals face away"),
        ("normal", np.ones((3, 4, 3)), "normal of 4 x 3 pixels"),
    ],
)
def test_a_wrong_file_of_diode_is_named(
    tmp_path: Path, kind: str, array: np.ndarray, message: str
) -> None:
    stem = write_diode(tmp_path / "diode")
    np.save(stem.with_name(f"{stem.name}_{kind}.npy"), array, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        import_dataset(config("diode", tmp_path / "diode"))


def write_cityscapes(root: Path, city: str = "frankfurt") -> Path:
    """One photograph in which every label id has a pixel."""
    name = f"{city}_000000_000294"
    write_photo(root / "leftImg8bit" / "val" / city / f"{name}_leftImg8bit.png")
    ids = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint8) % 34
    return write_png(root / "gtFine" / "val" / city / f"{name}_gtFine_labelIds.png", ids)


def test_cityscapes(tmp_path: Path) -> None:
    write_cityscapes(tmp_path / "city")
    key, labels = import_one("cityscapes", tmp_path / "city")
    assert key == "frankfurt_000000_000294"
    assert len(labels.classes) == 19
    assert labels.segment is not None
    # The official table: label id 7 is train id 0, 33 is 18; 0 to 6, 29 and 30 are void.
    found = labels.segment.ravel()
    assert {number: int(found[number]) for number in (0, 6, 7, 8, 11, 26, 29, 30, 31, 33)} == {
        0: 255,
        6: 255,
        7: 0,
        8: 1,
        11: 2,
        26: 13,
        29: 255,
        30: 255,
        31: 16,
        33: 18,
    }
    assert CLASSES[13] == "car"
    assert np.count_nonzero((TABLE >= 0) & (TABLE < 19)) == 19


def test_cityscapes_is_counted_by_city(tmp_path: Path) -> None:
    label = write_cityscapes(tmp_path / "city")
    message = r"500 photographs, found 1 \(frankfurt 1 of 267, lindau 0 of 59, munster 0 of 174\)"
    with pytest.raises(ValueError, match=message):
        import_dataset(config("cityscapes", tmp_path / "city", allow_partial=False))
    label.unlink()
    with pytest.raises(FileNotFoundError, match=r"gtFine_labelIds\.png: no such file"):
        import_dataset(config("cityscapes", tmp_path / "city"))

"""Real photographs: axes, units, crops, alignment, and a manifest that may be wrong."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from samples import make_record

from distill.metrics import Prediction
from export.real import crop_square, read_manifest, read_real, sample_square
from export.real_scores import SceneScores, align_median
from teacher.sample import Labels

REAL = Path(__file__).parents[2] / "shared" / "data" / "real"


def write_manifest(folder: Path, *rows: object) -> Path:
    (folder / "manifest.json").write_text(json.dumps(rows))
    return folder


def write_photograph(folder: Path, height: int = 30, width: int = 50) -> dict[str, object]:
    """A photograph whose columns can be told apart, with depth and normals."""
    columns = np.broadcast_to(
        np.arange(width, dtype=np.uint8)[None, :, None] * 5, (height, width, 3)
    )
    Image.fromarray(np.ascontiguousarray(columns)).save(folder / "a.png")
    depth = np.broadcast_to(np.arange(width, dtype=np.uint16) * 100, (height, width))
    cv2.imwrite(str(folder / "depth.png"), depth)
    normal = np.full((height, width, 3), (128, 0, 128), np.uint8)
    Image.fromarray(normal).save(folder / "normal.png")
    return {
        "id": "place/a",
        "rgb": "a.png",
        "scene": "place",
        "depth": "depth.png",
        "depth_scale": 1000.0,
        "normal": "normal.png",
    }


def test_photograph_and_labels_are_cut_alike(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, write_photograph(tmp_path))
    (item,) = read_real(folder, read_manifest(folder), 30)
    assert item.photograph.shape == (30, 30, 3)
    assert item.truth is not None
    assert item.truth.depth_m is not None
    # The photograph's level is 5 a column, depth 0.1 m a column: both from column 10 on.
    assert item.photograph[0, :, 0].tolist() == [5 * column for column in range(10, 40)]
    assert item.truth.depth_m[7] == pytest.approx(0.1 * np.arange(10, 40), rel=1e-5)
    assert item.licence == "unknown"
    assert item.record.photo_width_px == 50


@pytest.mark.parametrize(
    ("opencv", "ours"),
    [
        ((0.6, 0, -0.8), (0.6, 0, 0.8)),  # to the right, and towards the camera: OpenCV's z is away
        ((0, -1, 0), (0, 1, 0)),  # up: OpenCV's y points down
    ],
)
def test_axes_are_converted(
    opencv: tuple[float, ...], ours: tuple[float, ...], tmp_path: Path
) -> None:
    entry = write_photograph(tmp_path)
    stored = np.rint((np.array(opencv) + 1) * 127.5).astype(np.uint8)
    normals = np.tile(stored, (30, 50, 1))
    normals[:, 25:] = 0
    Image.fromarray(normals).save(tmp_path / "normal.png")
    (item,) = read_real(tmp_path, [entry], 30)
    assert item.truth is not None
    assert item.truth.normal is not None
    assert item.truth.normal[-1, 0] == pytest.approx(ours, abs=0.01)
    assert not item.truth.normal[:, 20:].any()


def test_squares() -> None:
    wide = np.arange(20).reshape(2, 10)
    assert crop_square(wide).tolist() == [[4, 5], [14, 15]]
    assert crop_square(wide.T).shape == (2, 2)
    assert sample_square(np.arange(16).reshape(4, 4), 2).tolist() == [[5, 7], [13, 15]]
    assert sample_square(np.eye(2, dtype=int), 4).sum() == 8


def labels(depth_m: np.ndarray) -> Labels:
    height, width = depth_m.shape
    record = make_record(height_px=height, width_px=width)
    return Labels(depth_m=depth_m.astype(np.float32), depth_kind="metric", record=record)


def test_alignment_scales_by_the_median_ratio() -> None:
    truth = labels(np.array([[2.0, 4.0, np.nan, np.inf]]))
    found = align_median(Prediction(depth_m=np.array([[1.0, 2.0, 9.0, 9.0]])), truth)
    assert found.depth_m is not None
    assert found.depth_m.tolist() == [[2.0, 4.0, 18.0, 18.0]]


@pytest.mark.parametrize("truth_m", [[np.nan, np.inf], [0.0, -1.0]])
def test_nothing_to_align_with(truth_m: list[float]) -> None:
    prediction = Prediction(depth_m=np.ones((1, 2)))
    assert align_median(prediction, labels(np.array([truth_m]))) is prediction


def test_scenes_count_alike_however_many_photographs_they_have() -> None:
    scores = SceneScores()
    for scene, scale in (("kitchen", 1.0), ("kitchen", 1.0), ("kitchen", 1.0), ("desk", 3.0)):
        truth = labels(np.array([[2.0, 4.0]]))
        scores.update(scene, Prediction(depth_m=np.array([[2.0, 4.0]]) * scale), truth)
    assert scores.mean()["depth"]["delta1"] == 0.5
    assert scores.mean()["depth_aligned"]["delta1"] == 1.0
    assert scores.by_scene()["desk"]["depth"]["absrel"] == pytest.approx(2.0)


def test_a_limit_takes_photographs_evenly(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, *({"id": str(n), "rgb": "a.jpg"} for n in range(10)))
    assert [entry["id"] for entry in read_manifest(folder, 3)] == ["0", "3", "6"]
    assert len(read_manifest(folder, 99)) == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("{}", "expected a list"),
        ("[]", "expected a list"),
        ("[3]", "entry 0: expected an object"),
        ('[{"id": "a", "rgb": "a.jpg"}, {"id": "b"}]', "entry 1: expected text in rgb"),
        ('[{"id": "a", "rgb": "a", "depth": "d"}]', "depth needs a depth_scale > 0, found None"),
        ('[{"id": "a", "rgb": "a", "depth": "d", "depth_scale": 0}]', "found 0"),
    ],
)
def test_a_wrong_manifest_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_manifest(tmp_path)
    assert "manifest.json" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rgb": "../outside.png"}, ValueError, "outside of the folder"),
        ({"rgb": "gone.png"}, FileNotFoundError, r"gone\.png: no such file"),
        ({"rgb": "manifest.json"}, ValueError, "not a JPEG, PNG or WebP"),
        ({"depth": "manifest.json"}, ValueError, "found no image"),
        ({"depth": "small.png"}, ValueError, r"a\.png: depth of 5 x 3 pixels"),
    ],
)
def test_a_wrong_file_is_named(
    change: dict, error: type[Exception], message: str, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((3, 5), np.uint16))
    folder = write_manifest(tmp_path, write_photograph(tmp_path) | change)
    with pytest.raises(error, match=message):
        list(read_real(folder, read_manifest(folder), 16))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real photographs are not at {REAL}")
def test_the_real_photographs_can_be_read() -> None:
    entries = read_manifest(REAL, 40)
    items = list(read_real(REAL, entries, 64))
    assert len(items) == 40
    kitchen = next(i for i in items if i.source == "sevenscenes_kitchen")
    assert kitchen.truth is not None
    assert kitchen.truth.normal is not None
    assert kitchen.truth.depth_m is not None
    known = kitchen.truth.normal.any(axis=-1)
    # A surface that is seen faces the camera, so its normal points towards it, on the whole.
    assert np.mean(kitchen.truth.normal[known][:, 2] > 0) > 0.95
    assert 0.4 < np.nanmedian(kitchen.truth.depth_m) < 6

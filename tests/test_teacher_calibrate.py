"""Calibration: the regression, the curves, the choice of ingredients, and the command."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labelled import CLASSES, make_photo, make_scene_labels, write_set
from tiny import build_teacher

from distill.main import main
from teacher.calibrate import CalibrateConfig, calibrate, choose_photographs, resize_truth
from teacher.calibration_fit import choose_ingredients, fit_ingredients, training_rows
from teacher.calibration_pixels import (
    Pixels,
    choose_blocks,
    judge,
    judge_depth,
    judge_normal,
    judge_segment,
    take_blocks,
)
from teacher.calibration_scores import as_stored, score_fit
from teacher.confidence import average_blocks, read_calibration
from teacher.coverage import area_under_risk, reliability, risk_at, risk_curve
from teacher.ingredients import Reading
from teacher.logistic import fit_logistic
from teacher.painters import open_teacher


def test_newton_finds_what_torch_finds_by_descent() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 3)) * (1, 10, 0.1) + (0, 50, 3)
    logit = features @ (1.0, -0.2, 5.0) - 5
    right = (rng.random(2000) < 1 / (1 + np.exp(-logit))).astype(float)
    weights, bias = fit_logistic(features, right)

    x, y = torch.tensor((features - (0, 50, 3)) / (1, 10, 0.1)), torch.tensor(right)
    line = torch.nn.Linear(3, 1, dtype=torch.float64)
    optimiser = torch.optim.LBFGS(line.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(line(x)[:, 0], y)
        value.backward()
        return value

    optimiser.step(loss)
    expected = line(x)[:, 0].detach().numpy()
    np.testing.assert_allclose(features @ weights + bias, expected, atol=5e-3)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_task_that_is_never_or_always_right_still_has_a_fit(right: float) -> None:
    features = np.column_stack([np.linspace(0, 1, 50), np.ones(50)])
    weights, bias = fit_logistic(features, np.full(50, right))
    assert np.isfinite(weights).all()
    assert abs(1 / (1 + np.exp(-(features @ weights + bias))) - right).max() < 1e-2


def test_separable_features_have_a_finite_fit() -> None:
    features = np.linspace(-1, 1, 40)[:, None]
    weights, bias = fit_logistic(features, (features[:, 0] > 0).astype(float))
    assert np.isfinite([*weights, bias]).all()
    assert weights[0] > 1


def risk_by_loop(confidence: np.ndarray, loss: np.ndarray) -> float:
    """Mean over coverages of the expected risk, where ties are broken at random: plainly."""
    shared = [loss[confidence == one].mean() for one in confidence]
    order = sorted(range(len(loss)), key=lambda i: -confidence[i])
    return float(
        np.mean([np.mean([shared[i] for i in order[:k]]) for k in range(1, len(loss) + 1)])
    )


@given(count=st.integers(1, 30), levels=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_area_under_risk_is_that_of_the_definition(count: int, levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, loss = rng.integers(0, levels, count) / levels, rng.random(count)
    assert area_under_risk(confidence, loss) == pytest.approx(risk_by_loop(confidence, loss))
    assert risk_curve(confidence, loss)[-1] == pytest.approx(loss.mean())


def test_the_right_order_has_the_least_risk_and_ties_are_worth_nothing() -> None:
    loss = np.array([0, 0, 0, 1, 1.0])
    assert area_under_risk(-loss, loss) == pytest.approx((0 + 0 + 0 + 1 / 4 + 2 / 5) / 5)
    assert area_under_risk(np.ones(5), loss) == pytest.approx(loss.mean())
    np.testing.assert_allclose(
        risk_at(risk_curve(-loss, loss), np.array([0.1, 0.6, 0.8, 1])), [0, 0, 0.25, 0.4]
    )


def test_reliability_by_hand() -> None:
    probability = np.array([0.1, 0.3, 0.9, 1.0])
    bins = reliability(probability, np.array([0, 1, 1, 0]), bins=2)
    np.testing.assert_allclose(bins.predicted, [0.2, 0.95])
    np.testing.assert_allclose(bins.observed, [0.5, 0.5])
    np.testing.assert_allclose(bins.share, [0.5, 0.5])
    assert bins.error == pytest.approx(0.5 * 0.3 + 0.5 * 0.45)
    empty = reliability(np.array([0.9]), np.array([1]), bins=2)
    assert empty.error == pytest.approx(0.1)


def test_blocks_are_those_of_the_stored_confidence() -> None:
    plane = np.random.default_rng(0).random((11, 17))  # the last rows and columns fill no block
    blocks = choose_blocks(plane.shape, 100, np.random.default_rng(0))
    np.testing.assert_array_equal(blocks, np.arange(2 * 4))
    means = take_blocks(plane, blocks).mean(axis=1).reshape(2, 4)
    np.testing.assert_allclose(means, average_blocks(plane)[:2, :4])
    few = choose_blocks((64, 64), 5, np.random.default_rng(0))
    assert len(set(few.tolist())) == 5


def truth(**planes: Any):
    return make_scene_labels(0, make_photo(0, (8, 8)), (8, 8), **planes)


def test_depth_is_judged_by_ratio_and_relative_error() -> None:
    true_m, read_m = np.full((2, 8, 8), 2, np.float32)
    read_m[0] = 2.4
    read_m[1] = 2.6
    read_m[2] = np.inf
    read_m[3] = np.nan
    true_m[4:6] = np.inf
    read_m[4] = np.inf
    true_m[6] = np.nan
    judged = judge_depth(read_m, true_m)
    np.testing.assert_array_equal(judged.right[:, 0], [1, 0, 0, 0, 1, 0, np.nan, 1])
    expected = [0.2, 0.3, 499, 499, np.nan, np.nan, np.nan, 0]
    np.testing.assert_allclose(judged.loss[:, 0], expected, rtol=1e-4)


def test_normals_are_judged_by_angle() -> None:
    true, read = np.zeros((2, 8, 8, 3), np.float32)
    true[1:, :, 2] = 1
    for row, angle_deg in ((1, 10), (2, 12), (4, 180)):
        angle = np.radians(angle_deg)
        read[row] = (np.sin(angle), 0, np.cos(angle))
    judged = judge_normal(read, true)
    np.testing.assert_array_equal(judged.right[:5, 0], [np.nan, 1, 0, 0, 0])
    np.testing.assert_allclose(judged.loss[:5, 0], [np.nan, 10, 12, 90, 180], atol=0.05)


def test_segments_are_judged_by_class() -> None:
    true = np.array([[0, 1, 2, 255] * 2] * 8, np.uint8)
    read = np.zeros((8, 8), np.uint8)
    judged = judge_segment(read, true, ignore_id=255)
    np.testing.assert_array_equal(judged.right[0, :4], [1, 0, 0, np.nan])
    np.testing.assert_array_equal(judged.loss[0, :4], [0, 1, 1, np.nan])
    with pytest.raises(ValueError, match="calibrate on labels of the teacher's own classes"):
        judge(Reading(segment=read, classes=("sky",)), truth(segment=true))
    judged = judge(Reading(segment=read, classes=CLASSES), truth(segment=true))
    assert list(judged) == ["segment"]


def test_truth_of_another_size_is_looked_up_at_the_nearest_pixel() -> None:
    labels = truth(segment=np.arange(64, dtype=np.uint8).reshape(8, 8) % 3)
    halved = resize_truth(labels, 4, 4)
    assert labels.segment is not None
    np.testing.assert_array_equal(halved.segment, labels.segment[1::2, 1::2])
    assert halved.size == (4, 4)
    assert resize_truth(labels, 8, 8) is labels


def made_pixels(seed: int, count: int = 3000) -> Pixels:
    """Depth that is right the more often the smaller its residual; its spread is noise."""
    rng = np.random.default_rng(seed)
    residual, noise = rng.exponential(8, (2, count, 16)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(3 - 2 * np.log1p(residual / 4))))
    right = (rng.random(chance.shape) < chance).astype(np.float32)
    loss = np.where(right == 1, 0.05, rng.exponential(2, right.shape))
    return Pixels(
        evidence={"depth_residual": residual, "depth_spread": noise},
        known={"depth": np.ones(right.shape, bool)},
        right={"depth": right},
        loss={"depth": loss},
    )


def test_what_does_not_help_is_left_out_and_the_rest_recovered() -> None:
    pixels = made_pixels(0)
    assert choose_ingredients(pixels, "depth", ["depth_spread", "depth_residual"]) == [
        "depth_residual"
    ]
    fit = fit_ingredients(pixels, "depth", ["depth_residual"])
    assert fit.weights["depth_residual"] == pytest.approx(-2, abs=0.05)
    assert fit.bias == pytest.approx(3, abs=0.05)


def test_unknown_pixels_and_unknown_truth_are_not_fitted() -> None:
    pixels = made_pixels(0, count=4)
    pixels.known["depth"][0] = False
    pixels.right["depth"][1] = np.nan
    features, right = training_rows(pixels, "depth", ["depth_residual"])
    assert features.shape == (2 * 16, 1)
    assert right.shape == (2 * 16,)


def test_scores_of_a_fit_on_fresh_pixels() -> None:
    fitted, tested = made_pixels(0), made_pixels(1)
    fit = fit_ingredients(fitted, "depth", ["depth_residual"], tasks=("depth",))
    scores = score_fit(fit, fitted, tested)
    assert scores["loss"] == pytest.approx(tested.loss["depth"].mean())
    kept = scores["loss_at_0.8"]
    assert kept["oracle"] < kept["pixel"] < 0.8 * scores["loss"]
    assert kept["pixel"] < kept["stored"] < scores["loss"]  # neighbours are unlike each other here
    assert scores["calibration_error"] < 0.01
    areas = scores["aurc_wrong_ingredients"]
    assert set(areas["alone"]) == {"depth_residual", "depth_spread"}
    wrong = 1 - scores["right"]
    assert areas["alone"]["depth_spread"] == pytest.approx(wrong, rel=0.05)
    assert areas["combined"]["chosen"] < 0.7 * wrong
    assert areas["without"] == {}  # of a single ingredient
    json.dumps(scores, allow_nan=False)


def test_stored_confidence_has_one_of_256_values_for_a_block() -> None:
    sure = np.random.default_rng(0).random((5, 16))
    stored = as_stored(sure)
    assert (stored == stored[:, :1]).all()
    assert abs(stored[:, 0] - sure.mean(axis=1)).max() <= 0.5 / 255 + 1e-9


def config(**fields: Any) -> CalibrateConfig:
    return CalibrateConfig(images=Path("i"), labels=Path("l"), out=Path("o"), **fields)


def test_photographs_to_fit_and_to_test_on() -> None:
    halves = choose_photographs(9, config())
    assert (halves["test"], halves["fit"]) == (range(4), range(4, 9))
    given = choose_photographs(9, config(fit="0-2", test="8-8"))
    assert (given["test"], given["fit"]) == (range(8, 9), range(3))


@pytest.mark.parametrize(
    ("count", "fields", "message"),
    [
        (9, {"fit": "0-4", "test": "4-8"}, "--fit 0-4, --test 4-8: expected photographs to fit on"),
        (9, {"fit": "0-9"}, "--fit must have the form A-B within 0-8, found '0-9'"),
        (9, {"test": "5"}, "--test must have the form A-B within 0-8, found '5'"),
        (9, {"test": "5-2"}, "found '5-2'"),
        (1, {}, "--fit 0-0, --test none: expected photographs to fit on, and others"),
        (0, {}, "--fit none, --test none: .*; 0 have labels"),
    ],
)
def test_photographs_that_are_not_there_or_used_twice_are_refused(
    count: int, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose_photographs(count, config(**fields))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/, labels/ of 8 photographs, and a teacher."""
    root = write_set(tmp_path_factory.mktemp("set"), 8)
    build_teacher(root / "teacher")
    return root


def run_calibrate(data: Path, root: Path, out: Path, *flags: str) -> int:
    """`potstill calibrate` with the teacher of `data`, on the set in `root`."""
    places = {"images": root, "labels": root / "labels", "teacher": data / "teacher", "out": out}
    return main(["calibrate", *(f"--{name}={value}" for name, value in places.items()), *flags])


def test_calibrate_writes_what_the_labeller_reads(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_calibrate(data, data, tmp_path / "out", "--fit=2-7", "--test=0-1") == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 7  # three tasks, one and two votes, and where it is
    assert printed[0].startswith("depth    votes 1: absrel ")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "confidence.json",
        "calibration.json",
        "calibration.png",
        "run.json",
    }
    report = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert report["photographs"] == {"fit": 6, "test": 2}
    assert set(report["votes"]) == {"1", "2"}
    calibration = read_calibration(tmp_path / "out")
    assert calibration is not None
    assert calibration.photographs == 6
    assert len(calibration.fits) == 3 * 2 * 2
    assert set(calibration.measured) == {"1", "2"}
    scores = report["votes"]["2"]["normal"]
    assert calibration.measured["2"]["normal"]["angle_deg"] == pytest.approx(
        scores["loss"], abs=1e-5
    )
    copy = Path(shutil.copytree(data / "teacher", tmp_path / "teacher"))
    shutil.copy(tmp_path / "out" / "confidence.json", copy)
    assert open_teacher(copy).card.calibration == calibration


def test_one_vote_and_some_tasks_are_calibrated_too(data: Path, tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", 4, normal=None, segment=None, classes=())
    report = calibrate(
        CalibrateConfig(
            images=root,
            labels=root / "labels",
            out=tmp_path / "out",
            teacher=str(data / "teacher"),
            votes=1,
        )
    )
    assert list(report["votes"]) == ["1"]
    assert list(report["votes"]["1"]) == ["depth"]
    again = calibrate(
        CalibrateConfig(
            images=root,
            labels=root / "labels",
            out=tmp_path / "again",
            teacher=str(data / "teacher"),
            votes=1,
        )
    )
    assert again == report


def error_of(
    capsys: pytest.CaptureFixture[str], data: Path, root: Path, out: Path, *flags: str
) -> str:
    """The line that `potstill calibrate` prints when it refuses a set."""
    assert run_calibrate(data, root, out, *flags) == 2
    assert not (out / "confidence.json").exists()
    return capsys.readouterr().err.splitlines()[-1]


def test_labels_of_other_classes_are_one_line(data, tmp_path, capsys) -> None:
    root = write_set(tmp_path / "set", 4, classes=("a", "b", "c"))
    message = error_of(capsys, data, root, tmp_path / "out")
    assert "calibrate on labels of the teacher's own classes" in message


def test_photographs_that_lack_a_task_are_one_line(data, tmp_path, capsys) -> None:
    root = write_set(tmp_path / "set", 8)
    poorer = write_set(tmp_path / "poorer", 8, normal=None)
    shutil.copy(poorer / "labels" / "000001.tar", root / "labels" / "000001.tar")
    message = error_of(capsys, data, root, tmp_path / "out")
    assert "photograph 0 has labels of ('depth', 'normal', 'segment'), photograph 4 of" in message
    assert run_calibrate(data, root, tmp_path / "alike", "--fit=2-3", "--test=0-1") == 0


def test_labels_without_anything_to_judge_are_one_line(data, tmp_path, capsys) -> None:
    unlike = {"normal": None, "segment": None, "classes": ()}
    affine = write_set(tmp_path / "affine", 4, depth_kind="affine", **unlike)
    message = error_of(capsys, data, affine, tmp_path / "out")
    assert "photograph 0: its labels hold nothing that the teacher paints" in message
    unknown = np.full((32, 32), np.nan, np.float32)
    root = write_set(tmp_path / "unknown", 4, depth_m=unknown, **unlike)
    message = error_of(capsys, data, root, tmp_path / "out")
    assert "--fit: no pixel of these photographs has both a painted and a true depth" in message


def test_more_votes_than_views_and_labels_that_are_missing_are_one_line(
    data, tmp_path, capsys
) -> None:
    root = write_set(tmp_path / "set", 4)
    assert "--votes 99" in error_of(capsys, data, root, tmp_path / "out", "--votes=99")
    (root / "labels" / "000001.tar").unlink()
    assert "labels/000001.tar: not found; every" in error_of(capsys, data, root, tmp_path / "out")

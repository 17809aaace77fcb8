"""Metrics against values worked out by hand, and against an independent implementation."""

import math

import numpy as np
import pytest
from samples import make_labels, make_record, random_normals

from distill.metrics import Prediction, Scores, angles_deg, confusion, depth_scores


def test_depth_scores_by_hand() -> None:
    """Ratios 1, 1.2, 1.25 (not below the threshold) and 2; sky, unknown and zero do not count."""
    true_m = np.array([[2.0, 5.0, 4.0, 1.0], [np.inf, np.nan, 0.0, -1.0]], np.float32)
    pred_m = np.array([[2.0, 6.0, 5.0, 2.0], [3.0, 3.0, 3.0, 3.0]], np.float32)
    scores = depth_scores(pred_m, true_m)
    assert scores is not None
    assert scores["delta1"] == pytest.approx(2 / 4)
    assert scores["absrel"] == pytest.approx((0 + 0.2 + 0.25 + 1) / 4, rel=1e-6)
    assert scores["median_absrel"] == pytest.approx((0.2 + 0.25) / 2, rel=1e-6)
    assert scores["rmse_m"] == pytest.approx(math.sqrt((0 + 1 + 1 + 1) / 4))


@pytest.mark.parametrize("wild", [np.inf, np.nan, 1e9])
def test_depth_that_is_not_a_distance_counts_as_a_thousand_metres(wild: float) -> None:
    scores = depth_scores(np.array([[wild]], np.float32), np.array([[10.0]], np.float32))
    assert scores == {
        "delta1": 0.0,
        "absrel": pytest.approx(99),
        "median_absrel": pytest.approx(99),
        "rmse_m": pytest.approx(990),
    }


@pytest.mark.parametrize("wild", [0.0, -5.0, -np.inf])
def test_depth_at_or_behind_the_camera_counts_as_a_millimetre(wild: float) -> None:
    scores = depth_scores(np.array([[wild]], np.float32), np.array([[1.0]], np.float32))
    assert scores is not None
    assert scores["absrel"] == pytest.approx(0.999)


def test_an_image_of_sky_has_no_depth_scores() -> None:
    assert depth_scores(np.ones((2, 2)), np.full((2, 2), np.inf)) is None


def test_angles_by_hand() -> None:
    """0, 45, 90 and 180 degrees; an unknown truth does not count; a length does not matter."""
    true = np.array([[[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 0]]], np.float32)
    pred = np.array([[[0, 0, 9], [0, 1, 1], [1, 0, 0], [0, 0, -1], [1, 0, 0]]], np.float32)
    np.testing.assert_allclose(angles_deg(pred, true), [0, 45, 90, 180], atol=1e-5)


@pytest.mark.parametrize("wild", [0.0, np.nan, np.inf])
def test_a_vector_without_direction_is_90_degrees_off(wild: float) -> None:
    true = np.array([[[0, 0, 1]]], np.float32)
    np.testing.assert_allclose(angles_deg(np.full_like(true, wild), true), [90])


def test_confusion_by_hand() -> None:
    """Rows are the truth; ignored pixels vanish; a prediction that is no class is an error."""
    true = np.array([0, 0, 1, 1, 255, 65535])
    pred = np.array([0, 1, 1, 7, 0, 0])
    np.testing.assert_array_equal(confusion(pred, true, 2), [[1, 1, 0], [0, 1, 1]])


def test_scores_by_hand() -> None:
    """Two images of 1 x 2: depth averages over images, normals pool pixels, classes join."""
    record = make_record(width_px=2, height_px=1)
    up, ahead = [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    scores = Scores()
    for depth, normals, ids in (
        ([1.0, 1.0], [ahead, ahead], [0, 0]),
        ([1.0, np.inf], [up, [0, 0, 0]], [1, 255]),
    ):
        truth = make_labels(
            record=record,
            depth_m=np.array([depth], np.float32),
            normal=np.array([normals], np.float32),
            segment=np.array([ids], np.uint8),
            instance=None,
            confidence=None,
            classes=("a", "b"),
        )
        scores.update(
            Prediction(
                depth_m=np.array([[1.0, 2.0]], np.float32),
                normal=np.array([[ahead, ahead]], np.float32),
                segment=np.array([[0, 1]]),
                classes=("a", "b"),
            ),
            truth,
        )
    result = scores.result()
    assert scores.images == 2
    assert result["depth"]["delta1"] == pytest.approx((0.5 + 1.0) / 2)
    assert result["normal"]["mean_deg"] == pytest.approx(90 / 3, abs=1e-4)
    assert result["normal"]["median_deg"] == pytest.approx(0, abs=0.01)
    assert result["normal"]["within_11_25"] == pytest.approx(2 / 3)
    # truth a, a, b; predictions a, b, a: a hits 1 of a union of 3, b none of 2
    assert result["segment"]["per_class"] == {"a": pytest.approx(1 / 3), "b": 0.0}
    assert result["segment"]["miou"] == pytest.approx(1 / 6)
    assert result["segment"]["accuracy"] == pytest.approx(1 / 3)


def test_scores_agree_with_an_independent_implementation() -> None:
    """The same numbers from loops over pixels, image by image."""
    rng = np.random.default_rng(3)
    scores, deltas, absrels, angles = Scores(), [], [], []
    inter, union = np.zeros(3), np.zeros(3)
    for seed in range(3):
        truth = make_labels(seed)
        assert truth.depth_m is not None
        assert truth.normal is not None
        assert truth.segment is not None
        pred = Prediction(
            depth_m=np.exp(rng.normal(1, 1, truth.size)).astype(np.float32),
            normal=random_normals(rng, truth.size),
            segment=rng.integers(0, 3, truth.size),
            classes=truth.classes,
        )
        scores.update(pred, truth)
        good, relative = [], []
        for p, t in zip(pred.depth_m.ravel(), truth.depth_m.ravel()):  # type: ignore[union-attr]
            if math.isfinite(t) and t > 0:
                good.append(t / 1.25 < p < t * 1.25)
                relative.append(abs(p - t) / t)
        deltas.append(np.mean(good))
        absrels.append(np.mean(relative))
        for p, t in zip(pred.normal.reshape(-1, 3), truth.normal.reshape(-1, 3)):  # type: ignore[union-attr]
            if t.any():
                chord = np.linalg.norm(p.astype(float) - t.astype(float))
                angles.append(math.degrees(2 * math.asin(min(1.0, chord / 2))))
        for c in range(3):
            valid = truth.segment != 255
            is_p, is_t = (pred.segment == c) & valid, truth.segment == c
            inter[c] += (is_p & is_t).sum()
            union[c] += (is_p | is_t).sum()
    result = scores.result()
    assert result["depth"]["delta1"] == pytest.approx(np.mean(deltas))
    assert result["depth"]["absrel"] == pytest.approx(np.mean(absrels), rel=1e-5)
    assert result["normal"]["mean_deg"] == pytest.approx(np.mean(angles), abs=1e-3)
    assert result["normal"]["median_deg"] == pytest.approx(np.median(angles), abs=0.2)
    assert result["normal"]["within_11_25"] == pytest.approx(np.mean(np.array(angles) < 11.25))
    assert result["segment"]["miou"] == pytest.approx(np.mean(inter / union))


def test_depth_means_are_over_images_and_not_over_pixels() -> None:
    """An image of one valid pixel counts as much as one of many."""
    record = make_record(width_px=4, height_px=1)
    scores = Scores()
    for depth in ([1, 1, 1, 1], [1, np.inf, np.inf, np.inf]):
        truth = make_labels(record=record, depth_m=np.array([depth], np.float32), confidence=None)
        predicted = 1.0 if np.isfinite(depth).all() else 9.0
        scores.update(Prediction(depth_m=np.full((1, 4), predicted, np.float32)), truth)
    assert scores.result()["depth"]["delta1"] == pytest.approx(0.5)


def test_classes_in_another_order_are_matched_by_name() -> None:
    truth = make_labels()
    assert truth.segment is not None
    order = [2, 0, 1]
    names = tuple(truth.classes[i] for i in order)
    ids = np.array([order.index(i) for i in range(3)] + [0] * 253)[truth.segment]
    scores = Scores()
    scores.update(Prediction(segment=ids, classes=names), truth)
    assert scores.result()["segment"]["miou"] == 1.0


def test_other_class_names_are_refused() -> None:
    truth = make_labels()
    with pytest.raises(ValueError, match=r"class names differ.*cat.*sky"):
        Scores().update(Prediction(segment=np.zeros(truth.size), classes=("cat",)), truth)


def test_labels_of_two_class_lists_are_refused() -> None:
    scores = Scores()
    for classes in (("sky", "ground", "box"), ("sky", "box", "ground")):
        truth = make_labels(classes=classes)
        prediction = Prediction(segment=np.zeros(truth.size, np.int64), classes=classes)
        if classes[1] == "box":
            with pytest.raises(ValueError, match="earlier ones"):
                scores.update(prediction, truth)
        else:
            scores.update(prediction, truth)


def test_affine_labels_are_no_metres() -> None:
    truth = make_labels(depth_kind="affine", depth_m=np.full((12, 17), 0.5, np.float32))
    with pytest.raises(ValueError, match=r"scored in metres.*affine"):
        Scores().update(Prediction(depth_m=np.ones(truth.size, np.float32)), truth)


@pytest.mark.parametrize("task", ["depth_m", "normal", "segment"])
def test_another_size_is_refused(task: str) -> None:
    shape = (3, 3, 3) if task == "normal" else (3, 3)
    prediction = Prediction(**{task: np.ones(shape, np.float32)}, classes=("sky", "ground", "box"))
    with pytest.raises(ValueError, match=rf"{task}.*\(12, 17"):
        Scores().update(prediction, make_labels())


def test_tasks_of_one_side_only_are_left_out() -> None:
    truth = make_labels(normal=None)
    scores = Scores()
    scores.update(Prediction(normal=np.ones((12, 17, 3), np.float32)), truth)
    assert scores.result() == {}

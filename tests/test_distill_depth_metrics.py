"""Depth metrics: against loops over pixels and torchmetrics, and one test for every known trap."""

import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch
import torchmetrics.functional as reference

from distill.depth_metrics import DepthResult, depth_errors, mean_over_images, score_depth
from distill.metrics import depth_scores
from distill.protocols import DEPTH_PROTOCOLS, ETH3D, NYUV2, PLAIN, SCANNET
from teacher.depth import decode_depth, encode_depth

CASES = 1000
UNKNOWN = (np.nan, np.inf, 0.0, -1.0)


def random_case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a truth of random size, both with values that are no depth."""
    size = tuple(rng.integers(1, 8, size=2))
    true_m = np.exp(rng.normal(0.5, 1.2, size)).astype(np.float32)
    pred_m = (true_m * np.exp(rng.normal(0.1, 0.4, size))).astype(np.float32)
    for plane, share in ((true_m, 0.3), (pred_m, 0.05)):
        wild = rng.random(size) < share
        plane[wild] = rng.choice([*UNKNOWN, 1e9], wild.sum())
    return pred_m, true_m


def random_cases(count: int = CASES) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(7)
    for _ in range(count):
        yield random_case(rng)


def loop_scores(pred_m: np.ndarray, true_m: np.ndarray) -> dict[str, float] | None:
    """ScanNet's protocol without alignment, pixel by pixel and term by term."""
    pairs = []
    for p, t in zip(pred_m.ravel().tolist(), true_m.ravel().tolist()):
        if 1e-3 < t < 10:
            pairs.append((10.0 if math.isnan(p) else min(max(p, 1e-3), 10.0), t))
    if not pairs:
        return None
    n = len(pairs)
    logs = [math.log(p / t) for p, t in pairs]
    scores = {
        "absrel": sum(abs(p - t) / t for p, t in pairs) / n,
        "sqrel_m": sum((p - t) ** 2 / t for p, t in pairs) / n,
        "rmse_m": math.sqrt(sum((p - t) ** 2 for p, t in pairs) / n),
        "rmse_log": math.sqrt(sum(d * d for d in logs) / n),
        "log10": sum(abs(math.log10(p) - math.log10(t)) for p, t in pairs) / n,
        "silog": 100 * math.sqrt(max(sum(d * d for d in logs) / n - (sum(logs) / n) ** 2, 0)),
    }
    for k in (1, 2, 3):
        good = [1 for p, t in pairs if t / 1.25**k < p < t * 1.25**k]
        scores[f"delta{k}"] = len(good) / n
    return scores


def test_a_thousand_random_cases_equal_loops_over_pixels() -> None:
    empty = 0
    for pred_m, true_m in random_cases():
        result, expected = score_depth(pred_m, true_m, SCANNET, "none"), loop_scores(pred_m, true_m)
        if expected is None:
            assert result is None
            empty += 1
            continue
        assert result is not None
        assert result.scores.keys() == expected.keys()
        for name, value in expected.items():
            # near 0, the loop's variance (a difference of two sums) is the less exact of the two
            assert result.scores[name] == pytest.approx(value, rel=1e-6, abs=2e-6), name
    assert 0 < empty < CASES / 4


def test_rmse_and_absrel_equal_torchmetrics() -> None:
    for pred_m, true_m in random_cases(100):
        result = score_depth(pred_m, true_m, PLAIN, "none")
        if result is None:
            continue
        valid = np.isfinite(true_m) & (true_m > 0)
        pred = torch.from_numpy(PLAIN.clip(pred_m[valid]))
        true = torch.from_numpy(true_m[valid].astype(np.float64))
        rmse = reference.mean_squared_error(pred, true, squared=False)
        relative = reference.mean_absolute_percentage_error(pred, true)
        log_rmse = reference.mean_squared_error(pred.log(), true.log(), squared=False)
        assert result.scores["rmse_m"] == pytest.approx(float(rmse), rel=1e-6)
        assert result.scores["absrel"] == pytest.approx(float(relative), rel=1e-6)
        assert result.scores["rmse_log"] == pytest.approx(float(log_rmse), rel=1e-6)


def test_the_plain_protocol_is_the_metric_of_training() -> None:
    """Bit for bit: a student's validation numbers and its table row are the same numbers."""
    for pred_m, true_m in random_cases(200):
        ours, theirs = score_depth(pred_m, true_m, PLAIN, "none"), depth_scores(pred_m, true_m)
        if theirs is None:
            assert ours is None
            continue
        assert ours is not None
        assert {k: ours.scores[k] for k in ("delta1", "absrel", "rmse_m")} == {
            k: theirs[k] for k in ("delta1", "absrel", "rmse_m")
        }


def test_metrics_by_hand() -> None:
    """Ratios 1, 1.2, 1.25 (not below the threshold) and 2."""
    scores = depth_errors(np.array([2.0, 6.0, 5.0, 2.0]), np.array([2.0, 5.0, 4.0, 1.0]))
    assert scores["delta1"] == 2 / 4
    assert scores["delta2"] == 3 / 4
    assert scores["delta3"] == 3 / 4
    assert scores["absrel"] == pytest.approx((0 + 0.2 + 0.25 + 1) / 4)
    assert scores["sqrel_m"] == pytest.approx((0 + 1 / 5 + 1 / 4 + 1) / 4)
    logs = [0, math.log(1.2), math.log(1.25), math.log(2)]
    assert scores["silog"] == pytest.approx(100 * statistics.pstdev(logs))
    assert scores["log10"] == pytest.approx(statistics.mean(logs) / math.log(10))


def test_silog_forgives_a_scale_and_rmse_log_does_not() -> None:
    true_m = np.array([1.0, 2.0, 5.0])
    scores = depth_errors(3 * true_m, true_m)
    assert scores["silog"] == pytest.approx(0, abs=1e-9)
    assert scores["rmse_log"] == pytest.approx(math.log(3))


# Trap: pooling


def test_images_weigh_the_same_however_many_pixels_count() -> None:
    """Pooled, the large images of error 1 would outweigh the small one of error 9."""
    large, small = np.full((10, 10), 1.0), np.full((10, 10), np.nan)
    small[0, 0] = 1.0
    results = [
        score_depth(np.full((10, 10), pred), true_m, PLAIN, "none")
        for pred, true_m in ((2.0, large), (2.0, large), (10.0, small))
    ]
    means = mean_over_images(results)
    assert means.scores["absrel"] == pytest.approx((1 + 1 + 9) / 3)
    assert means.scores["rmse_m"] == pytest.approx((1 + 1 + 9) / 3)
    pooled = (200 * 1 + 1 * 9) / 201
    assert abs(means.scores["absrel"] - pooled) > 2


# Trap: negative scale


@pytest.mark.parametrize("alignment", ["least_squares", "ransac"])
def test_an_inverted_map_scores_perfectly_and_is_reported(alignment: str) -> None:
    true_m = np.linspace(1, 9, 100).reshape(10, 10)
    result = score_depth(1 - true_m / 10, true_m, PLAIN, alignment, kind="affine_depth")
    assert result is not None
    assert result.scores["delta1"] == 1
    assert result.scale == pytest.approx(-10)
    assert result.inverted
    upright = score_depth(true_m / 10, true_m, PLAIN, alignment, kind="affine_depth")
    assert upright is not None
    assert not upright.inverted
    assert mean_over_images([result, upright]).inverted == 1


# Trap: empty mask


@pytest.mark.parametrize("unknown", [np.nan, np.inf, 0.0, -2.0, 80.0])
def test_an_image_without_a_pixel_that_counts_is_left_out_and_counted(unknown: float) -> None:
    seen = score_depth(np.ones((4, 4)), np.full((4, 4), 2.0), SCANNET, "none")
    unseen = score_depth(np.ones((4, 4)), np.full((4, 4), unknown), SCANNET, "least_squares")
    assert unseen is None
    means = mean_over_images([seen, unseen])
    assert (means.images, means.empty) == (1, 1)
    assert means.scores["absrel"] == 0.5
    with pytest.raises(ValueError, match="none of 2 images has a pixel that counts"):
        mean_over_images([None, None])


# Trap: disparity against depth


def test_disparity_must_be_fitted_as_disparity() -> None:
    """The usual mistake with Depth Anything: a fit in metres turns the map around and is poor."""
    true_m = np.geomspace(1, 10, 400).reshape(20, 20)
    disparity = 3 / true_m + 0.2
    right = score_depth(
        disparity, true_m, PLAIN, "least_squares_disparity", kind="affine_disparity"
    )
    wrong = score_depth(disparity, true_m, PLAIN, "least_squares", kind="affine_depth")
    assert right is not None
    assert wrong is not None
    assert right.scores["absrel"] == pytest.approx(0, abs=1e-9)
    assert wrong.scores["absrel"] > 0.15
    assert wrong.inverted
    assert not right.inverted
    with pytest.raises(ValueError, match=r"affine_disparity has an unknown scale.*_disparity"):
        score_depth(disparity, true_m, PLAIN, "least_squares", kind="affine_disparity")


def test_the_space_of_the_fit_changes_the_number() -> None:
    rng = np.random.default_rng(1)
    true_m = np.exp(rng.normal(1, 0.7, (30, 40)))
    pred_m = true_m * np.exp(rng.normal(0, 0.3, true_m.shape))
    absrels = []
    for alignment in ("least_squares", "least_squares_disparity", "least_squares_log"):
        result = score_depth(pred_m, true_m, PLAIN, alignment)
        assert result is not None
        assert result.alignment == alignment
        absrels.append(result.scores["absrel"])
    assert min(np.diff(sorted(absrels))) > 0.003


# Trap: crop


def test_errors_outside_the_crop_do_not_count() -> None:
    true_m = np.full((480, 640), 2.0, np.float32)
    pred_m = true_m.copy()
    pred_m[:45] = pred_m[:, 601:] = 9
    inside = score_depth(pred_m, true_m, NYUV2, "none")
    everywhere = score_depth(pred_m, true_m, PLAIN, "none")
    assert inside is not None
    assert everywhere is not None
    assert inside.scores["delta1"] == 1
    assert inside.pixels == (471 - 45) * (601 - 41)
    assert everywhere.scores["delta1"] < 0.9


# Trap: decode after resize


def test_a_painting_is_decoded_before_it_is_resized() -> None:
    """A blend of the colours of 1 m and 12 m is a third depth, and the metrics see it."""
    true_m = np.full((64, 64), 12.0, np.float32)
    true_m[:, ::8] = true_m[:, 1::8] = true_m[:, 2::8] = 1.0
    painting = encode_depth(true_m)
    small_true_m = true_m[1::3, 1::3]
    size = small_true_m.shape[::-1]
    late = decode_depth(cv2.resize(painting, size, interpolation=cv2.INTER_AREA)).depth_m
    early = decode_depth(painting).depth_m[1::3, 1::3]
    right = score_depth(early, small_true_m, PLAIN, "none")
    wrong = score_depth(late, small_true_m, PLAIN, "none")
    assert right is not None
    assert wrong is not None
    assert right.scores["delta1"] == 1
    assert wrong.scores["delta1"] < 0.85


# Trap: an affine fit hides errors of scale


def test_a_fit_never_hides_the_metric_error() -> None:
    true_m = np.linspace(1, 9, 100).reshape(10, 10)
    result = score_depth(2 * true_m + 1, true_m, PLAIN, "least_squares")
    assert result is not None
    assert result.unaligned is not None
    assert result.scores["absrel"] == pytest.approx(0, abs=1e-9)
    assert result.unaligned["absrel"] > 1
    means = mean_over_images([result])
    assert means.unaligned == result.unaligned
    affine = score_depth(2 * true_m + 1, true_m, PLAIN, "least_squares", kind="affine_depth")
    assert affine is not None
    assert affine.unaligned is None


# Trap: outliers


def test_ransac_bears_outliers_that_least_squares_does_not() -> None:
    rng = np.random.default_rng(2)
    true_m = rng.uniform(1, 5, (50, 50))
    pred = (true_m - 0.5) / 3
    pred[:, :10] = 40.0
    clean = np.ones(true_m.shape, bool)
    clean[:, :10] = False
    robust = score_depth(pred, true_m, PLAIN, "ransac", kind="affine_depth")
    plain = score_depth(pred, true_m, PLAIN, "least_squares", kind="affine_depth")
    assert robust is not None
    assert plain is not None
    assert (robust.scale, robust.shift) == pytest.approx((3, 0.5))
    assert robust.scores["delta1"] == pytest.approx(clean.mean())
    assert plain.scores["delta1"] < 0.4


# What is no depth


@pytest.mark.parametrize("name", DEPTH_PROTOCOLS)
@pytest.mark.parametrize("alignment", ["none", "least_squares_log", "ransac"])
@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 0.0, -3.0])
def test_a_prediction_without_depth_is_an_error_and_never_a_nan(
    name: str, alignment: str, wild: float
) -> None:
    size = {"nyuv2": (480, 640), "kitti": (352, 1216), "kitti_garg": (352, 1216)}.get(name, (4, 4))
    true_m, pred_m = np.full(size, 5.0, np.float32), np.full(size, wild, np.float32)
    result = score_depth(pred_m, true_m, DEPTH_PROTOCOLS[name], alignment)
    assert result is not None
    assert result.scores["delta1"] == 0
    assert all(math.isfinite(value) for value in result.scores.values())


def test_nan_counts_as_far_and_negative_as_near() -> None:
    true_m = np.full((1, 4), 5.0)
    pred_m = np.array([[np.nan, np.inf, -1.0, -np.inf]])
    result = score_depth(pred_m, true_m, SCANNET, "none")
    assert result is not None
    assert result.scores["absrel"] == pytest.approx((1 + 1 + 0.9998 + 0.9998) / 4)


def test_pixels_without_a_prediction_do_not_spoil_the_fit() -> None:
    true_m = np.linspace(1, 9, 100).reshape(10, 10)
    pred_m = 2 * true_m
    pred_m[0] = [np.nan, np.inf, -1, 0, -np.inf] * 2
    for alignment in ("median", "scale", "scale_relative", "least_squares"):
        result = score_depth(pred_m, true_m, ETH3D, alignment)
        assert result is not None
        assert (result.scale, result.shift) == pytest.approx((0.5, 0)), alignment
        assert result.scores["delta1"] == 0.9


def test_a_mask_of_the_data_set_leaves_pixels_out_whatever_its_type() -> None:
    """DIODE's masks are floats; as indices they would pick rows."""
    true_m, pred_m = np.full((4, 4), 2.0), np.full((4, 4), 2.0)
    pred_m[1] = 50
    mask = np.ones((4, 4))
    mask[1] = 0
    for given in (mask, mask.astype(np.uint8), mask.astype(bool)):
        result = score_depth(pred_m, true_m, PLAIN, "none", mask=given)
        assert result is not None
        assert result.pixels == 12
        assert result.scores["delta1"] == 1
    assert score_depth(pred_m, true_m, PLAIN, "none", mask=np.zeros((4, 4))) is None


def test_inputs_are_left_as_they_are() -> None:
    pred_m, true_m = random_case(np.random.default_rng(3))
    copies = pred_m.copy(), true_m.copy()
    score_depth(pred_m, true_m, PLAIN, "least_squares_disparity")
    np.testing.assert_array_equal(pred_m, copies[0])
    np.testing.assert_array_equal(true_m, copies[1])


# Errors


@pytest.mark.parametrize(
    ("pred_m", "mask", "message"),
    [
        (np.ones((3, 4)), None, r"prediction \(3, 4\), ground truth \(4, 4\) and mask \(4, 4\)"),
        (np.ones((4, 4)), np.ones(4), r"ground truth \(4, 4\) and mask \(4,\) must have one size"),
    ],
)
def test_another_size_is_refused(pred_m: np.ndarray, mask: np.ndarray | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        score_depth(pred_m, np.ones((4, 4)), PLAIN, "none", mask=mask)
    assert "\n" not in str(caught.value)


def scored(protocol: str, alignment: str, kind: str = "metric") -> DepthResult:
    ramp = np.linspace(1, 9, 16).reshape(4, 4)
    result = score_depth(ramp, ramp, DEPTH_PROTOCOLS[protocol], alignment, kind=kind)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (scored("scannet", "least_squares"), "metric under scannet with alignment least_squares"),
        (scored("plain", "none"), "metric under plain with alignment none"),
        (scored("plain", "least_squares", "affine_depth"), "affine_depth under plain"),
    ],
)
def test_protocols_alignments_and_kinds_are_never_mixed(other: DepthResult, named: str) -> None:
    with pytest.raises(ValueError, match=f"of one protocol, alignment and kind.*{named}"):
        mean_over_images([scored("plain", "least_squares"), other])


def test_results_name_how_they_were_come_by() -> None:
    result = scored("scannet", "ransac_log", "affine_log")
    means = mean_over_images([result])
    for named in (result, means):
        ways = (named.protocol, named.alignment, named.kind)
        assert ways == ("scannet", "ransac_log", "affine_log")
    assert json.loads(json.dumps(asdict(means))) == asdict(means)

"""Alignments: every fit against an independent one, its sign, its space and its bad inputs."""

import math
import statistics
from collections.abc import Iterator

import numpy as np
import pytest

from distill.alignment import ALIGNMENTS, KINDS, Fitted, fit_alignment

CASES = 1000


def random_cases(count: int = CASES) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Metric predictions, with values that are none, and truths that all count: (N,) each."""
    rng = np.random.default_rng(11)
    for _ in range(count):
        true_m = np.exp(rng.normal(0.8, 1.0, rng.integers(3, 40))).clip(0.01, 500)
        pred_m = (true_m * np.exp(rng.normal(0.2, 0.5, true_m.shape))).clip(0.01, 500)
        wild = rng.random(true_m.shape) < 0.1
        wild[:2] = False
        pred_m[wild] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -4.0], wild.sum())
        yield pred_m, true_m


def pairs_in(space: str, pred_m: np.ndarray, true_m: np.ndarray) -> list[tuple[float, float]]:
    """The usable pixels of a case in the space of a fit."""
    write = {
        "depth": lambda d: d,
        "disparity": lambda d: 1 / d,
        "log": math.log,
        "log1p": lambda d: math.log(d + 1),
    }[space]
    return [
        (write(p), write(t))
        for p, t in zip(pred_m.tolist(), true_m.tolist())
        if math.isfinite(p) and p > 0
    ]


def line_through(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Least squares by the normal equations, term by term."""
    x0, y0 = statistics.fmean(x for x, _ in pairs), statistics.fmean(y for _, y in pairs)
    scale = math.fsum((x - x0) * (y - y0) for x, y in pairs) / math.fsum(
        (x - x0) ** 2 for x, _ in pairs
    )
    return scale, y0 - scale * x0


def smallest_absrel(pairs: list[tuple[float, float]]) -> float:
    """AbsRel is piecewise linear in the scale: its minimum lies where one pixel is exact."""
    return min(
        (sum(abs(scale * x - y) / y for x, y in pairs), scale)
        for scale in (y / x for x, y in pairs)
    )[1]


@pytest.mark.parametrize(
    "alignment", ["least_squares", "least_squares_disparity", "least_squares_log"]
)
def test_least_squares_equals_the_normal_equations(alignment: str) -> None:
    for pred_m, true_m in random_cases():
        fitted = fit_alignment(pred_m, true_m, alignment)
        expected = line_through(pairs_in(ALIGNMENTS[alignment].space, pred_m, true_m))
        assert (fitted.scale, fitted.shift) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_scales_equal_independent_ones() -> None:
    for pred_m, true_m in random_cases():
        pairs = pairs_in("depth", pred_m, true_m)
        xs, ys = zip(*pairs)
        expected = {
            "median": statistics.median(ys) / statistics.median(xs),
            "scale": math.fsum(x * y for x, y in pairs) / math.fsum(x * x for x in xs),
            "scale_relative": smallest_absrel(pairs),
        }
        for alignment, scale in expected.items():
            fitted = fit_alignment(pred_m, true_m, alignment)
            assert (fitted.scale, fitted.shift) == (pytest.approx(scale, rel=1e-6), 0), alignment


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_fit_recovers_the_scale_and_shift_of_its_space(alignment: str) -> None:
    """And `apply` gives metres back, on arrays of any shape."""
    rule = ALIGNMENTS[alignment]
    true_m = np.geomspace(0.5, 60, 300)
    scale = 1.0 if alignment == "none" else 0.4
    shift = 0.1 if rule.shifts else 0.0
    written = {
        "depth": true_m,
        "disparity": 1 / true_m,
        "log": np.log(true_m),
        "log1p": np.log1p(true_m),
    }[rule.space]
    pred = (written - shift) / scale
    kind = {"depth": "metric", "disparity": "affine_disparity"}.get(rule.space, "affine_log")
    if rule.space == "depth":
        true_m, pred = true_m[pred > 0], pred[pred > 0]
    fitted = fit_alignment(pred, true_m, alignment, kind)
    assert (fitted.scale, fitted.shift) == pytest.approx((scale, shift))
    np.testing.assert_allclose(fitted.apply(pred[:200].reshape(10, 20)).ravel(), true_m[:200])


@pytest.mark.parametrize("space", ["depth", "disparity", "log"])
def test_an_inverted_map_has_a_negative_scale(space: str) -> None:
    true_m = np.linspace(1, 9, 200)
    written = {"depth": true_m, "disparity": 1 / true_m, "log": np.log(true_m)}[space]
    suffix = "" if space == "depth" else f"_{space}"
    for sign, inverted in ((1, False), (-1, True)):
        fitted = fit_alignment(
            5 + sign * written, true_m, f"least_squares{suffix}", f"affine_{space}"
        )
        assert fitted.inverted is inverted
        assert fitted.scale == pytest.approx(sign)


@pytest.mark.parametrize("alignment", ["ransac", "ransac_log"])
def test_ransac_bears_a_third_of_outliers(alignment: str) -> None:
    rng = np.random.default_rng(5)
    space = ALIGNMENTS[alignment].space
    true_m = rng.uniform(1, 8, 600)
    pred = (true_m if space == "depth" else np.log1p(true_m)) / 2 - 0.3
    pred[:200] = rng.uniform(20, 30, 200)
    kind = "affine_depth" if space == "depth" else "affine_log"
    robust = fit_alignment(pred, true_m, alignment, kind)
    plain = fit_alignment(pred, true_m, "least_squares" + alignment[6:], kind)
    assert (robust.scale, robust.shift) == pytest.approx((2, 0.6))
    assert abs(plain.scale - 2) > 1


def test_ransac_is_the_same_every_time() -> None:
    rng = np.random.default_rng(6)
    true_m = rng.uniform(1, 8, 5000)
    pred = true_m + rng.normal(0, 1.5, true_m.shape)
    fits = [fit_alignment(pred, true_m, "ransac", "affine_depth") for _ in range(3)]
    assert fits[0] == fits[1] == fits[2]
    np.random.default_rng().random(3)
    assert fit_alignment(pred, true_m, "ransac", "affine_depth") == fits[0]


def test_ransac_reports_the_negative_scale_that_others_replace() -> None:
    true_m = np.linspace(1, 9, 200)
    fitted = fit_alignment(-np.log1p(true_m), true_m, "ransac_log", "affine_log")
    assert fitted.inverted
    np.testing.assert_allclose(fitted.apply(-np.log1p(true_m)), true_m)


@pytest.mark.parametrize("alignment", [name for name, a in ALIGNMENTS.items() if a.shifts])
@pytest.mark.parametrize("value", [0.1, 7.0, 1e6])
def test_a_constant_prediction_becomes_the_mean_of_its_space(alignment: str, value: float) -> None:
    true_m = np.array([1.0, 2.0, 6.0, 7.0])
    fitted = fit_alignment(np.full(4, value), true_m, alignment)
    assert fitted.scale == 0
    assert not fitted.inverted
    expected = {
        "depth": 4.0,
        "disparity": 4 / (1 + 1 / 2 + 1 / 6 + 1 / 7),
        "log": 84**0.25,
        "log1p": (2 * 3 * 7 * 8) ** 0.25 - 1,
    }[ALIGNMENTS[alignment].space]
    np.testing.assert_allclose(fitted.apply(np.full(3, value)), expected)
    assert np.isnan(fitted.apply(np.array([np.nan]))).all()


def test_one_pixel_is_enough() -> None:
    for alignment in ALIGNMENTS:
        fitted = fit_alignment(np.array([2.0]), np.array([6.0]), alignment)
        expected = 2 if alignment == "none" else 6
        assert fitted.apply(np.array([2.0])) == pytest.approx(expected), alignment


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_nothing_to_fit_leaves_the_prediction_as_it_is(alignment: str) -> None:
    fitted = fit_alignment(np.array([np.nan, -1.0]), np.array([1.0, 2.0]), alignment)
    assert (fitted.scale, fitted.shift) == (1, 0)
    assert fitted.apply(np.array([3.0])) == pytest.approx(3)


def test_no_space_gives_infinite_metres() -> None:
    """A disparity at or below 0, or a huge log, is 1000 m away."""
    for kind, alignment, value in (
        ("affine_disparity", "least_squares_disparity", -1.0),
        ("affine_log", "least_squares_log", 800.0),
        ("affine_log", "ransac_log", 800.0),
    ):
        fitted = Fitted(alignment=alignment, kind=kind, scale=1.0, shift=0.0)
        assert fitted.apply(np.array([value])) == pytest.approx(1000)


def test_metric_depth_can_be_fitted_in_every_space() -> None:
    true_m = np.geomspace(0.5, 60, 50)
    for alignment in ALIGNMENTS:
        np.testing.assert_allclose(
            fit_alignment(true_m, true_m, alignment).apply(true_m), true_m, rtol=1e-9
        )


@pytest.mark.parametrize(
    ("alignment", "kind", "message"),
    [
        ("lstsq", "metric", "unknown alignment 'lstsq'; choose one of none, median, scale"),
        ("none", "affine", "unknown kind of depth 'affine'; choose one of metric, affine_depth"),
        ("none", "affine_depth", "'none' does not fit; choose one of least_squares, ransac$"),
        ("median", "affine_log", "one of least_squares_log, ransac_log$"),
        ("least_squares", "affine_disparity", "choose one of least_squares_disparity$"),
        ("least_squares_disparity", "affine_depth", "affine_depth has an unknown scale and shift"),
    ],
)
def test_a_fit_that_makes_no_sense_is_refused(alignment: str, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        fit_alignment(np.ones(3), np.ones(3), alignment, kind)
    assert "\n" not in str(caught.value)


def test_every_alignment_and_kind_can_be_used() -> None:
    for kind, spaces in KINDS.items():
        assert any(a.shifts and a.space in spaces for a in ALIGNMENTS.values()), kind
    assert all(alignment.source for alignment in ALIGNMENTS.values())

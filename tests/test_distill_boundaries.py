"""Boundary F1: against loops over pixels, by hand, and holes that must not become edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.boundaries import THRESHOLDS, WEIGHTS, boundary_f1

CASES = 1000


def loop_f1(pred_m: np.ndarray, true_m: np.ndarray, known: np.ndarray) -> float | None:
    """Depth Pro's definition, pixel by pixel: edges as sets of (pixel, nearer neighbour)."""

    def edges(depth_m: np.ndarray, step: tuple[int, int], t: float) -> set:
        found = set()
        for r, c in np.ndindex(*depth_m.shape):
            r2, c2 = r + step[0], c + step[1]
            inside = 0 <= r2 < depth_m.shape[0] and 0 <= c2 < depth_m.shape[1]
            if inside and known[r, c] and known[r2, c2] and depth_m[r, c] / depth_m[r2, c2] > t:
                found.add((r, c))
        return found

    total, seen = 0.0, False
    for t in np.linspace(1.05, 1.25, 10):
        precision, recall = [], []
        for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            found, wanted = edges(pred_m, step, t), edges(true_m, step, t)
            seen = seen or bool(wanted)
            precision.append(len(found & wanted) / max(len(found), 1))
            recall.append(len(found & wanted) / max(len(wanted), 1))
        p, r = np.mean(precision), np.mean(recall)
        total += t * (2 * p * r / (p + r) if p + r else 0)
    return total / np.linspace(1.05, 1.25, 10).sum() if seen else None


def random_surfaces(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A truth of a few surfaces with holes, and a prediction that is wrong here and there."""
    size = tuple(rng.integers(1, 5, size=2))
    true_m = rng.choice([2.0, 2.3, 2.9, 8.0], size)
    pred_m = np.where(rng.random(size) < 0.3, rng.choice([2.0, 8.0], size), true_m)
    pred_m *= rng.uniform(0.97, 1.03, size)
    return pred_m, true_m, rng.random(size) < 0.8


def test_a_thousand_random_cases_equal_loops_over_pixels() -> None:
    rng = np.random.default_rng(13)
    scored = 0
    for _ in range(CASES):
        pred_m, true_m, known = random_surfaces(rng)
        expected = loop_f1(pred_m, true_m, known)
        found = boundary_f1(pred_m, np.where(known, true_m, rng.choice([0, np.nan, np.inf])))
        if expected is None:
            assert found is None
            continue
        scored += 1
        assert found == pytest.approx(expected, abs=1e-6)
    assert scored > CASES / 2


def test_thresholds_and_weights_of_depth_pro() -> None:
    np.testing.assert_allclose(THRESHOLDS[[0, 1, 9]], [1.05, 1.05 + 0.2 / 9, 1.25])
    np.testing.assert_allclose(WEIGHTS, THRESHOLDS / 11.5)


def step_at(column: int, near_m: float = 1.0, far_m: float = 2.0) -> np.ndarray:
    depth_m = np.full((6, 10), far_m)
    depth_m[:, :column] = near_m
    return depth_m


def test_by_hand() -> None:
    """One of four directions has edges, so precision and recall are 1/4 at best, as is F1."""
    assert boundary_f1(step_at(4), step_at(4)) == pytest.approx(0.25)
    assert boundary_f1(step_at(5), step_at(4)) == 0
    flat = np.full((6, 10), 3.0)
    assert boundary_f1(flat, step_at(4)) == 0


def test_all_four_directions_count() -> None:
    box = np.full((9, 9), 4.0)
    box[3:6, 3:6] = 1
    assert boundary_f1(box, box) == pytest.approx(1)


def test_steps_count_up_to_the_threshold_that_they_reach() -> None:
    """A step of 1.2 is an edge for the first seven thresholds only, even when predicted exactly."""
    box = np.full((9, 9), 1.2)
    box[3:6, 3:6] = 1
    reached = WEIGHTS[THRESHOLDS < 1.2].sum()
    assert reached < 0.8
    assert boundary_f1(box, box) == pytest.approx(reached)


def test_a_truth_without_edges_cannot_be_scored() -> None:
    flat = np.full((6, 10), 3.0)
    assert boundary_f1(step_at(4), flat) is None
    assert boundary_f1(step_at(4), np.zeros((6, 10))) is None
    assert boundary_f1(np.ones((1, 1)), np.ones((1, 1))) is None


# Trap: holes of the truth are no edges


@pytest.mark.parametrize("hole", [0.0, np.nan, np.inf])
def test_holes_are_no_edges(hole: float) -> None:
    """Without a mask, the rim of a hole would be edges that no prediction has."""
    true_m = np.full((9, 9), 4.0)
    true_m[3:6, 3:6] = 1
    pred_m = true_m.copy()
    true_m[7:, :] = hole
    true_m[0, 0] = hole
    assert boundary_f1(pred_m, true_m) == pytest.approx(1)
    filled = np.nan_to_num(true_m, nan=0.0, posinf=0.0).clip(1e-6)
    trapped = loop_f1(pred_m, filled, np.ones(true_m.shape, bool))
    assert trapped is not None
    assert trapped < 0.9


def test_what_a_prediction_says_inside_a_hole_does_not_count() -> None:
    true_m = np.full((9, 9), 4.0)
    true_m[3:6, 3:6] = 1
    pred_m = true_m.copy()
    true_m[7:, :] = 0
    pred_m[8, ::2] = 50
    assert boundary_f1(pred_m, true_m) == pytest.approx(1)


def test_a_mask_leaves_more_out_and_never_brings_a_hole_back() -> None:
    true_m = np.full((9, 9), 4.0)
    true_m[3:6, 3:6] = 1
    pred_m = true_m.copy()
    pred_m[:, 8] = 50
    true_m[7:] = 0
    mask = np.ones((9, 9), bool)
    assert boundary_f1(pred_m, true_m, mask) == boundary_f1(pred_m, true_m)
    mask[:, 8] = False
    unmasked = boundary_f1(pred_m, true_m)
    assert unmasked is not None
    assert unmasked < 0.95
    assert boundary_f1(pred_m, true_m, mask) == pytest.approx(1)


def test_a_mask_may_have_any_type() -> None:
    box = np.full((9, 9), 4.0)
    box[3:6, 3:6] = 1
    mask = np.ones((9, 9))
    mask[8] = 0
    for given_mask in (mask, mask.astype(np.uint8), mask.astype(bool)):
        assert boundary_f1(box, box, given_mask) == pytest.approx(1)


# Trap: disparity instead of depth


def test_disparity_must_not_be_passed() -> None:
    """It has its edges on the other side of each surface."""
    box = np.full((9, 9), 4.0)
    box[3:6, 3:6] = 1
    assert boundary_f1(1 / box, box) == 0


@settings(derandomize=True, max_examples=50)
@given(scale=st.floats(0.01, 100), seed=st.integers(0, 1000))
def test_scale_does_not_matter_and_shift_does(scale: float, seed: int) -> None:
    pred_m, true_m, _ = random_surfaces(np.random.default_rng(seed))
    found = boundary_f1(pred_m, true_m)
    assert boundary_f1(scale * pred_m, true_m) == (None if found is None else pytest.approx(found))
    shifted = boundary_f1(pred_m + 1000, true_m)
    assert shifted in (None, 0)


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 0.0, -2.0])
def test_predictions_that_are_no_depth_give_a_number(wild: float) -> None:
    pred_m = step_at(4)
    pred_m[2:4, 2:7] = wild
    score = boundary_f1(pred_m, step_at(4))
    assert score is not None
    assert 0 < score < 0.25


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"prediction \(2, 3\), ground truth \(3, 2\) and mask"):
        boundary_f1(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="must have one size"):
        boundary_f1(np.ones((2, 3)), np.ones((2, 3)), np.ones(3))

"""SA-Co's instance scores against a loop that tries every matching, and its surprises."""

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest

from distill.instance_metrics import InstanceMeter, InstanceScores, mask_iou
from teacher.palette import decode_instances

Masks = list[np.ndarray]
THRESHOLDS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


def make_pair(rng: np.random.Generator) -> tuple[Masks, Masks]:
    """Up to four true masks, and what was found of them; they may overlap."""
    size = (3, 7)
    true = [rng.random(size) < 0.5 for _ in range(rng.integers(0, 5))]
    pred = [mask ^ (rng.random(size) < 0.15) for mask in true if rng.random() < 0.8]
    pred += [rng.random(size) < 0.3 for _ in range(rng.choice([0, 0, 1]))]
    return pred, true


def stack(masks: Sequence[np.ndarray]) -> np.ndarray:
    return np.array(masks, bool).reshape(len(masks), 3, 7)


def loop_iou(one: np.ndarray, other: np.ndarray) -> float:
    both = sum(bool(a and b) for a, b in zip(one.flat, other.flat))
    either = sum(bool(a or b) for a, b in zip(one.flat, other.flat))
    return both / either if either else 0.0


def best_matching(pred: Masks, true: Masks) -> list[float]:
    """IoUs of the matching with the largest sum, by trying them all."""
    short, long = sorted((pred, true), key=len)
    iou = [[loop_iou(a, b) for b in long] for a in short]
    tried = [
        [iou[row][column] for row, column in enumerate(columns)]
        for columns in permutations(range(len(long)), len(short))
    ]
    return max(tried, key=math.fsum)


def loop_scores(pairs: list[tuple[Masks, Masks]]) -> dict[str, float]:
    """Word for word what the official code does after its matching."""
    f1 = []
    matches = [best_matching(pred, true) for pred, true in pairs]
    for threshold in THRESHOLDS:
        hits = false_alarms = misses = 0
        for (pred, true), ious in zip(pairs, matches):
            found = sum(iou >= threshold for iou in ious)
            hits += found
            misses += len(true) - found
            if true:
                false_alarms += len(pred) - found
        precision, recall = hits / (hits + false_alarms + 1e-4), hits / (hits + misses + 1e-4)
        f1.append(2 * precision * recall / (precision + recall + 1e-4))
    tp = sum(bool(true) and bool(pred) for pred, true in pairs)
    tn = sum(not true and not pred for pred, true in pairs)
    fp = sum(not true and bool(pred) for pred, true in pairs)
    fn = sum(bool(true) and not pred for pred, true in pairs)
    root = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    mcc = (tp * tn - fp * fn) / (root + 1e-6)
    return {
        "pmf1": sum(f1) / len(f1),
        "pmf1_50": f1[0],
        "pmf1_75": f1[5],
        "il_mcc": mcc,
        "cgf1": sum(value * mcc for value in f1) / len(f1),
    }


def measure(*pairs: tuple[np.ndarray, ...]) -> InstanceScores:
    meter = InstanceMeter()
    for pair in pairs:
        meter.update(*pair)
    scores = meter.result()
    assert scores is not None
    return scores


def ids(*pixels: int) -> np.ndarray:
    return np.array([pixels])


NONE = ids(0, 0, 0, 0)
ONE = ids(1, 1, 0, 0)


def test_scores_equal_a_loop_over_all_matchings_on_a_thousand_data_sets() -> None:
    rng = np.random.default_rng(0)
    for _ in range(1000):
        pairs = [make_pair(rng) for _ in range(rng.integers(1, 5))]
        scores = measure(*[(stack(pred), stack(true)) for pred, true in pairs])
        for name, value in loop_scores(pairs).items():
            assert getattr(scores, name) == pytest.approx(value, abs=1e-6), name
        assert scores.pairs == len(pairs)
        assert scores.negatives == sum(not true for _, true in pairs)


def test_a_map_of_ids_is_a_stack_of_masks() -> None:
    pred, true = ids(3, 3, 9, 9, 9, 0), ids(1, 1, 1, 2, 2, 0)
    as_masks = [np.array([plane == n for n in np.unique(plane) if n]) for plane in (pred, true)]
    assert (
        measure((pred, true)) == measure((as_masks[0], as_masks[1])) == measure((pred, as_masks[1]))
    )
    iou = mask_iou(as_masks[0].reshape(2, 6), as_masks[1].reshape(2, 6))
    np.testing.assert_allclose(iou, [[2 / 3, 0], [1 / 5, 2 / 3]])


def test_painted_instances_are_scored_as_they_are_decoded() -> None:
    painting = np.zeros((40, 40, 3), np.uint8)
    painting[5:15, 5:15] = (250, 0, 0)
    painting[20:38, 20:38] = (0, 250, 0)
    true = (painting[..., 0] > 0) + 2 * (painting[..., 1] > 0)
    scores = measure((decode_instances(painting).ids, true))
    assert scores.pmf1 == pytest.approx(1, abs=2e-4)


def test_matching_is_for_the_largest_sum_and_not_greedy() -> None:
    """One pair of masks fits by 0.5; two worse fits have the larger sum, so no match counts."""
    pred = ids(*[1] * 50, *[1] * 25, *[2] * 25)
    true = ids(*[1] * 50, *[2] * 25, *[1] * 25)
    masks = [np.array([plane.ravel() == n for n in (1, 2)]) for plane in (pred, true)]
    np.testing.assert_allclose(mask_iou(*masks), [[1 / 2, 1 / 3], [1 / 3, 0]])
    assert measure((pred, true)).pmf1_50 == 0


def test_false_alarms_of_a_negative_cost_the_gate_and_not_the_masks() -> None:
    clean = measure((ONE, ONE), (NONE, NONE))
    alarmed = measure((ONE, ONE), (NONE, NONE), (ONE, NONE))
    assert alarmed.pmf1 == clean.pmf1
    assert clean.il_mcc == pytest.approx(1)
    assert alarmed.il_mcc == pytest.approx(0.5)
    assert alarmed.cgf1 == pytest.approx(alarmed.pmf1 * 0.5)


def test_a_phrase_that_was_not_found_costs_masks_too() -> None:
    scores = measure((ONE, ONE), (NONE, ONE))
    assert scores.pmf1 == pytest.approx(2 / 3, abs=2e-4)


def test_a_set_without_negatives_has_no_cgf1() -> None:
    """pmF1 alone, as some tables print, says nothing of a model that always paints something."""
    scores = measure((ONE, ONE))
    assert scores.pmf1 == pytest.approx(1, abs=2e-4)
    assert scores.pmf1 < 1  # the official terms against a division by zero
    assert (scores.il_mcc, scores.cgf1, scores.negatives) == (0, 0, 0)


def test_the_annotation_that_suits_best_counts() -> None:
    """Also one without any instance, where nothing was found."""
    assert measure((ONE, ids(0, 0, 1, 1), ONE)) == measure((ONE, ONE))
    assert measure((NONE, ONE, NONE)) == measure((NONE, NONE))
    assert measure((ONE, NONE, ONE)) == measure((ONE, ONE))


def test_a_mask_at_the_threshold_is_a_match() -> None:
    assert measure((ids(1, 1, 0, 0), ids(1, 1, 1, 1))).pmf1_50 == pytest.approx(1, abs=2e-4)


def test_ignored_pixels_are_in_no_mask() -> None:
    ignored = ids(1, 1, 65535, 65535)
    assert measure((ids(1, 1, 1, 2), ignored)) == measure((ONE, ONE))


def test_no_pair_is_no_score() -> None:
    assert InstanceMeter().result() is None


def test_bad_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bool stack \(n, H, W\), found bool \(1, 4\)"):
        measure((ONE.astype(bool), ONE))
    with pytest.raises(ValueError, match=r"found float64 \(1, 4\)"):
        measure((ONE, ONE.astype(float)))
    with pytest.raises(ValueError, match=r"\(1, 4\) pixels predicted for \(1, 2\)"):
        measure((ONE, ids(0, 1)))
    with pytest.raises(ValueError, match="at least one true annotation"):
        measure((ONE,))

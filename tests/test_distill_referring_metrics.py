"""gIoU and cIoU against loops over pixels, and what their names and empty targets do to them."""

import numpy as np
import pytest

from distill.referring_metrics import ReferringMeter, ReferringScores

Expression = tuple[np.ndarray, np.ndarray, np.ndarray]


def make_expressions(rng: np.random.Generator) -> list[Expression]:
    """Prediction, truth and what counts; a third of the targets and predictions are empty."""
    expressions = []
    for _ in range(rng.integers(1, 6)):
        size = rng.integers(1, 6, 2)
        masks = [rng.random(size) < rng.choice([0, 0.3, 0.7]) for _ in range(2)]
        expressions.append((*masks, rng.random(size) < 0.8))
    return expressions


def loop_counts(pred: np.ndarray, true: np.ndarray, counted: np.ndarray) -> tuple[int, int, int]:
    """Intersection, union and area of the target, pixel by pixel."""
    both = either = target = 0
    for p, t, c in zip(pred.flat, true.flat, counted.flat):
        if c:
            both += p and t
            either += p or t
            target += t
    return both, either, target


def measure(*expressions: tuple[np.ndarray, ...]) -> ReferringScores | None:
    meter = ReferringMeter()
    for masks in expressions:
        meter.update(*masks)
    return meter.result()


def mask(*pixels: int) -> np.ndarray:
    return np.array([pixels], bool)


def test_scores_equal_loops_over_pixels_on_a_thousand_data_sets() -> None:
    rng = np.random.default_rng(0)
    for _ in range(1000):
        expressions = make_expressions(rng)
        scores = measure(*expressions)
        assert scores is not None
        counts = [loop_counts(*masks) for masks in expressions]
        ious = [both / either if either else 1.0 for both, either, _ in counts]
        unions = sum(either for _, either, _ in counts)
        assert scores.giou == pytest.approx(sum(ious) / len(ious), abs=1e-6)
        expected = sum(both for both, _, _ in counts) / unions if unions else None
        assert scores.ciou == pytest.approx(expected, abs=1e-6)
        present = [(both, either) for both, either, target in counts if target]
        assert scores.expressions == len(counts)
        assert scores.empty_targets == len(counts) - len(present)
        if present:
            assert scores.giou_with_target == pytest.approx(
                sum(b / e for b, e in present) / len(present), abs=1e-6
            )
            assert scores.ciou_with_target == pytest.approx(
                sum(b for b, _ in present) / sum(e for _, e in present), abs=1e-6
            )
        else:
            assert (scores.giou_with_target, scores.ciou_with_target) == (None, None)


def test_a_large_object_rules_ciou_and_not_giou() -> None:
    """A right object of 98 pixels, a missed one of 2: swapping the names is a large error."""
    large, nothing = np.ones((1, 98), bool), mask(0, 0, 0)
    scores = measure((large, large), (nothing, mask(1, 1, 0)))
    assert scores is not None
    assert scores.giou == 0.5
    assert scores.ciou == 0.98


def test_an_empty_target_scores_one_if_nothing_is_painted_and_zero_otherwise() -> None:
    half = (mask(1, 1, 0, 0), mask(1, 0, 0, 0))
    quiet = measure(half, (mask(0, 0), mask(0, 0)))
    loud = measure(half, (mask(1, 1), mask(0, 0)))
    assert quiet is not None
    assert loud is not None
    assert (quiet.giou, loud.giou) == (0.75, 0.25)
    assert (quiet.ciou, loud.ciou) == (0.5, 0.25)
    assert (quiet.empty_targets, quiet.empty_found) == (1, 1)
    assert (loud.empty_targets, loud.empty_found) == (1, 0)
    for scores in (quiet, loud):
        assert (scores.giou_with_target, scores.ciou_with_target) == (0.5, 0.5)


def test_a_missed_target_is_no_empty_target() -> None:
    scores = measure((mask(0, 0), mask(1, 1)))
    assert scores is not None
    assert (scores.giou, scores.ciou) == (0, 0)
    assert (scores.empty_targets, scores.empty_found) == (0, 0)


def test_pixels_that_do_not_count_make_a_target_empty() -> None:
    scores = measure((mask(1, 0), mask(1, 0), mask(0, 1)))
    assert scores is not None
    assert (scores.empty_targets, scores.empty_found, scores.giou) == (1, 1, 1)
    assert scores.ciou is None


def test_no_expression_is_no_score() -> None:
    assert measure() is None


def test_other_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"referring.*bool \(1, 2\), bool \(1, 3\)"):
        measure((mask(0, 1), mask(0, 1, 1)))
    with pytest.raises(ValueError, match=r"uint8 \(1, 2\)"):
        measure((mask(0, 1).astype(np.uint8), mask(0, 1)))
    with pytest.raises(ValueError, match=r"bool \(1, 3\)$"):
        measure((mask(0, 1), mask(0, 1), mask(1, 1, 1)))

"""The best pairing against trying them all."""

from itertools import permutations

import numpy as np
import pytest

from distill.assignment import best_pairs


@pytest.mark.parametrize("whole", [False, True])
def test_the_sum_is_the_largest_of_all_pairings(whole: bool) -> None:
    """Whole numbers bring ties."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        scores = rng.normal(size=rng.integers(1, 6, 2))
        if whole:
            scores = np.rint(scores)
        rows, columns = best_pairs(scores)
        assert len(rows) == min(scores.shape)
        assert (np.diff(rows) > 0).all()
        assert len(set(columns)) == len(columns)
        short = scores if scores.shape[0] <= scores.shape[1] else scores.T
        tried = [
            short[np.arange(len(short)), list(chosen)].sum()
            for chosen in permutations(range(short.shape[1]), len(short))
        ]
        assert scores[rows, columns].sum() == pytest.approx(max(tried))


def test_a_shuffled_diagonal_is_found_again() -> None:
    rng = np.random.default_rng(1)
    order = rng.permutation(60)
    scores = rng.uniform(0, 0.5, (60, 80))
    scores[np.arange(60), order] = 1
    rows, columns = best_pairs(scores)
    np.testing.assert_array_equal(rows, np.arange(60))
    np.testing.assert_array_equal(columns, order)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_pairs_with_nothing(shape: tuple[int, int]) -> None:
    rows, columns = best_pairs(np.zeros(shape))
    assert rows.size == columns.size == 0
    assert np.zeros(shape)[rows, columns].shape == (0,)

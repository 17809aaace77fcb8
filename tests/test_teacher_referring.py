"""Masks of expressions from paintings: round trips, noise, the background and bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from teacher.palette import Palette
from teacher.referring import decode_referring

EXPRESSIONS = Palette(("man in pink", "other man"), np.array([[255, 255, 255], [0, 128, 0]]))


def test_one_expression_in_yellow_on_black() -> None:
    yellow = Palette(("game control device",), np.array([[255, 255, 0]]))
    rgb = np.zeros((4, 5, 3), np.uint8)
    rgb[1:3, 2:4] = (240, 251, 14)
    decoded = decode_referring(rgb, yellow)
    assert decoded.masks.shape == (1, 4, 5)
    assert decoded.masks.dtype == bool
    assert decoded.masks.sum() == 4
    assert decoded.masks[0, 1:3, 2:4].all()
    np.testing.assert_allclose(decoded.margin[0, 0], 255 * np.sqrt(2), rtol=1e-6)


@settings(derandomize=True, max_examples=60)
@given(ids=arrays(np.uint8, (5, 6), elements=st.integers(0, 2)), seed=st.integers(0, 99))
def test_masks_survive_painting_and_noise(ids: np.ndarray, seed: int) -> None:
    background = (255, 0, 255)
    rgb = np.array([background, *EXPRESSIONS.colors.tolist()])[ids]
    noise = np.random.default_rng(seed).integers(-60, 61, rgb.shape)  # |noise| < 104 < 255 / 2
    noisy = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    decoded = decode_referring(noisy, EXPRESSIONS, background)
    np.testing.assert_array_equal(decoded.masks[0], ids == 1)
    np.testing.assert_array_equal(decoded.masks[1], ids == 2)
    assert (decoded.margin > 0).all()


def test_batches_and_single_colours() -> None:
    assert decode_referring(np.zeros((2, 4, 4, 3)), EXPRESSIONS).masks.shape == (2, 2, 4, 4)
    assert decode_referring(np.ones(3), EXPRESSIONS).masks.tolist() == [True, False]


def test_an_expression_must_differ_from_the_background() -> None:
    with pytest.raises(ValueError, match="'background' and 'other man' share the colour"):
        decode_referring(np.zeros((4, 4, 3)), EXPRESSIONS, (0, 128, 0))
    with pytest.raises(ValueError, match=r"three levels, got \(0, 0\)"):
        decode_referring(np.zeros((4, 4, 3)), EXPRESSIONS, (0, 0))


@pytest.mark.parametrize("rgb", [np.zeros((4, 4)), np.full((4, 3), 1.5), np.zeros((4, 3), int)])
def test_bad_paintings_are_refused(rgb: np.ndarray) -> None:
    with pytest.raises(ValueError, match="painting"):
        decode_referring(rgb, EXPRESSIONS)

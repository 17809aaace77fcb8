"""What counts as a painting, and the nearest of a few colours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from teacher.depth import decode_depth
from teacher.normals import decode_normals
from teacher.palette import Palette, decode_instances, decode_segments
from teacher.rgb import as_levels, nearest_color

DECODERS = {
    "depth": decode_depth,
    "normals": decode_normals,
    "segments": lambda rgb: decode_segments(rgb, Palette.distinct(["a", "b"])),
    "instances": decode_instances,
}


def test_levels_pass_through_uncopied() -> None:
    rgb = np.zeros((2, 2, 3), np.uint8)
    assert as_levels(rgb) is rgb


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_level_survives_as_a_fraction(dtype: type) -> None:
    levels = np.arange(255, dtype=np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(as_levels((levels / 255).astype(dtype)), levels)


@pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize(
    ("rgb", "message"),
    [
        (np.zeros((4, 4, 4), np.uint8), r"needs 3 channels .* got shape \(4, 4, 4\)"),
        (np.zeros((4, 4), np.uint8), r"needs 3 channels .* got shape \(4, 4\)"),
        (np.zeros((3, 4, 4), np.float32), "with the channels last"),
        (np.float32(1), r"got shape \(\)"),
        (np.full((2, 2, 3), 128.0), r"lies in 0\.\.1, got 128\.\.128"),
        (np.full((2, 2, 3), -0.1), r"lies in 0\.\.1, got -0\.1"),
        (np.full((2, 2, 3), np.nan), r"lies in 0\.\.1, got nan"),
        (np.zeros((2, 2, 3), np.int32), "got int32"),
        (np.zeros((2, 2, 3), bool), "got bool"),
    ],
)
def test_what_is_no_painting_is_refused_in_one_line(decode, rgb: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        decode(rgb)
    assert "\n" not in str(caught.value)


@settings(derandomize=True, max_examples=60)
@given(
    levels=arrays(np.uint8, (50, 3)),
    colors=arrays(np.uint8, st.tuples(st.integers(2, 12), st.just(3))),
)
def test_nearest_color_is_the_plain_argmin(levels: np.ndarray, colors: np.ndarray) -> None:
    apart = np.linalg.norm(levels[:, None].astype(float) - colors, axis=-1)
    nearest = nearest_color(levels, colors)
    np.testing.assert_array_equal(nearest.index, apart.argmin(axis=1))
    first, second = np.sort(apart, axis=1)[:, :2].T
    np.testing.assert_allclose(nearest.distance, first, atol=1e-3)
    np.testing.assert_allclose(nearest.margin, second - first, atol=1e-3)


def test_nearest_color_is_the_same_in_every_block() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (40_000, 3), dtype=np.uint8)
    colors = levels[:9]
    whole = nearest_color(levels, colors)
    one_by_one = nearest_color(levels[-5:], colors)
    np.testing.assert_array_equal(whole.index[-5:], one_by_one.index)
    np.testing.assert_array_equal(whole.margin[-5:], one_by_one.margin)

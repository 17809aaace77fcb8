"""Blends of two classes that read as a third one."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacher.palette import Palette, decode_segments, encode_segments
from teacher.segment_edges import REACH_PX, sharpen_segments

ROAD, CAR, TREE = range(3)
STREET = Palette(("road", "car", "tree"), np.array([[255, 0, 0], [0, 0, 255], [128, 0, 128]]))
"""The blend of road and car has the colour of a tree."""
FAR = Palette.distinct([f"class {number}" for number in range(12)])


def sharpened(rgb: np.ndarray, palette: Palette = STREET) -> np.ndarray:
    return sharpen_segments(decode_segments(rgb, palette), rgb, palette).ids


def half_and_half() -> np.ndarray:
    ids = np.full((24, 32), ROAD, np.uint8)
    ids[:, 16:] = CAR
    return ids


def blurred(ids: np.ndarray, sigma_px: float, palette: Palette = STREET) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(encode_segments(ids, palette), (0, 0), sigma_px))


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("sigma_px", [1.0, 1.3])
def test_a_blurred_edge_holds_no_third_class(sigma_px, turn):
    ids = np.rot90(half_and_half(), turn)
    painted = blurred(ids, sigma_px)
    assert (decode_segments(painted, STREET).ids == TREE).sum() > 0
    np.testing.assert_array_equal(sharpened(painted), ids)


def test_a_wider_blur_is_resolved_in_part():
    painted = blurred(half_and_half(), 2.0)
    before = (decode_segments(painted, STREET).ids == TREE).sum()
    assert (sharpened(painted) == TREE).sum() < before


def test_a_thin_thing_in_its_own_colour_stays():
    ids = half_and_half()
    ids[:, 16] = TREE
    np.testing.assert_array_equal(sharpened(encode_segments(ids, STREET)), ids)


def test_a_blend_belongs_to_the_class_it_has_more_of():
    painted = encode_segments(half_and_half(), STREET)
    painted[:, 16] = (153, 0, 102)  # 60 % road; nearest to tree
    expected = half_and_half()
    expected[:, 16] = ROAD
    np.testing.assert_array_equal(sharpened(painted), expected)


def test_a_colour_off_the_line_is_no_blend():
    ids = half_and_half()
    painted = encode_segments(ids, STREET)
    painted[:, 16] = (128, 90, 128)
    assert (sharpened(painted)[:, 16] == TREE).all()


@settings(derandomize=True, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_clean_paintings_are_read_as_before(seed):
    ids = np.random.default_rng(seed).integers(0, len(FAR), (9, 13), dtype=np.uint8)
    np.testing.assert_array_equal(sharpened(encode_segments(ids, FAR), FAR), ids)


@settings(derandomize=True, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_no_class_appears_that_was_not_beside(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, len(FAR), (4, 5), dtype=np.uint8)
    painted = blurred(coarse.repeat(6, 0).repeat(6, 1), 1.2, FAR)
    plain, found = decode_segments(painted, FAR).ids, sharpened(painted, FAR)
    padded = np.pad(plain, max(REACH_PX), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    assert (windows == found[..., None, None]).any(axis=(2, 3)).all()


def test_the_margin_is_that_of_the_colour():
    painted = blurred(half_and_half(), 1.0)
    decoded = decode_segments(painted, STREET)
    sharp = sharpen_segments(decoded, painted, STREET)
    np.testing.assert_array_equal(sharp.margin, decoded.margin)
    assert sharp.ids.dtype == decoded.ids.dtype


def test_sizes_that_differ_are_refused():
    painted = encode_segments(half_and_half(), STREET)
    with pytest.raises(ValueError, match=r"pass one painting at a time"):
        sharpen_segments(decode_segments(painted, STREET), painted[1:], STREET)

"""Normals as colours: the paper's signs, round trips, unknown pixels and bad input."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from teacher.normals import (
    AXES,
    UNKNOWN_LENGTH,
    Convention,
    decode_normals,
    encode_normals,
    from_camera_axes,
    read_stored_normals,
    to_camera_axes,
)

quick = settings(derandomize=True, max_examples=100)
paintings = arrays(np.uint8, array_shapes(max_dims=3, max_side=6).map(lambda shape: (*shape, 3)))


def angle_deg(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """By the chord: exact for small angles, where the cosine is not."""
    chord = np.linalg.norm(np.asarray(first, float) - second, axis=-1)
    return np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1)))


def random_normals(count: int) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("direction", "normal", "rgb"),
    [
        ("left: pinkish red", (-1, 0, 0), (255, 128, 128)),
        ("right: cyan", (1, 0, 0), (0, 128, 128)),
        ("up: light green", (0, 1, 0), (128, 255, 128)),
        ("to the camera: light blue", (0, 0, 1), (128, 128, 255)),
        ("down and away", (0, -0.28, -0.96), (128, 92, 5)),
    ],
)
def test_the_papers_colours(direction: str, normal: tuple, rgb: tuple) -> None:
    painted = encode_normals(np.array(normal, np.float32))
    np.testing.assert_array_equal(painted, rgb, err_msg=direction)
    assert angle_deg(decode_normals(np.array(rgb, np.uint8)).normal, np.array(normal)) < 0.4


def test_round_trip_is_within_the_quantisation() -> None:
    normal = random_normals(200_000)
    decoded = decode_normals(encode_normals(normal))
    assert angle_deg(decoded.normal, normal).max() < 0.4
    assert np.abs(decoded.length - 1).max() < 0.007


@quick
@given(rgb=paintings)
def test_any_colour_decodes_to_a_direction_or_to_unknown(rgb: np.ndarray) -> None:
    decoded = decode_normals(rgb)
    assert decoded.normal.shape == rgb.shape
    assert decoded.length.shape == rgb.shape[:-1]
    assert decoded.normal.dtype == decoded.length.dtype == np.float32
    known = decoded.length >= UNKNOWN_LENGTH
    np.testing.assert_allclose(np.linalg.norm(decoded.normal, axis=-1), known, atol=1e-6)


@quick
@given(rgb=arrays(np.uint8, (20, 3)))
def test_painting_what_was_read_keeps_the_direction(rgb: np.ndarray) -> None:
    once = decode_normals(rgb).normal
    twice = decode_normals(encode_normals(once)).normal
    assert angle_deg(once, twice).max() < 0.4


@quick
@given(rgb=paintings)
def test_painting_again_changes_a_level_at_most(rgb: np.ndarray) -> None:
    once = encode_normals(decode_normals(rgb).normal)
    twice = encode_normals(decode_normals(once).normal)
    assert np.abs(once.astype(int) - twice).max() <= 1


@quick
@given(value=st.floats(0.01, 1))
def test_length_is_that_of_the_painted_vector(value: float) -> None:
    decoded = decode_normals(encode_normals(np.array([0, 0, value], np.float32)))
    np.testing.assert_allclose(decoded.length, value, atol=0.01)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_unknown_is_grey_and_comes_back_as_zero(dtype: type) -> None:
    unknown = np.array([[0, 0, 0], [np.nan, 0, 1], [np.nan] * 3], dtype)
    rgb = encode_normals(unknown)
    assert (rgb == 128).all()
    assert not decode_normals(rgb).normal.any()


def test_components_beyond_one_are_clipped() -> None:
    assert encode_normals(np.array([-7.0, 2.0, np.inf])).tolist() == [255, 255, 255]


SURFACES = {  # (+x right, +y up, +z to the camera), (x right, y down, z forward), DSINE
    "floor": ((0, 1, 0), (0, -1, 0), (0, 1, 0)),
    "ceiling": ((0, -1, 0), (0, 1, 0), (0, -1, 0)),
    "wall that faces the camera": ((0, 0, 1), (0, 0, -1), (0, 0, 1)),
    "wall on the right": ((-1, 0, 0), (-1, 0, 0), (1, 0, 0)),
    "ramp that rises away": ((0, 0.6, 0.8), (0, -0.6, -0.8), (0, 0.6, 0.8)),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_surfaces_in_other_axes(surface: str) -> None:
    ours, opencv, dsine = np.array(SURFACES[surface], np.float32)
    np.testing.assert_array_equal(to_camera_axes(ours, "camera"), ours)
    np.testing.assert_array_equal(to_camera_axes(opencv, "opencv"), ours)
    np.testing.assert_array_equal(to_camera_axes(dsine, "dsine"), ours)
    np.testing.assert_array_equal(from_camera_axes(ours, "opencv"), opencv)
    np.testing.assert_array_equal(from_camera_axes(ours, "dsine"), dsine)


def test_dsine_as_its_code_computes_it() -> None:
    """-cross(top - bottom, left - right) of points with x right, y down, z forward."""
    right_wall = np.array([[1, -1, 3], [1, 1, 3], [1, 0, 2.5], [1, 0, 3.5]])
    top, bottom, near, far = right_wall  # far is left of near in the image of this wall
    normal = -np.cross(top - bottom, far - near)
    np.testing.assert_allclose(to_camera_axes(normal / np.linalg.norm(normal), "dsine"), [-1, 0, 0])


@quick
@given(normal=arrays(np.float32, (4, 3), elements=st.floats(-1, 1, width=32)))
@pytest.mark.parametrize("convention", AXES)
def test_axes_round_trip(convention: Convention, normal: np.ndarray) -> None:
    there = from_camera_axes(normal, convention)
    assert there.dtype == normal.dtype
    np.testing.assert_array_equal(to_camera_axes(there, convention), normal)


def test_unknown_normals_stay_unknown_in_other_axes() -> None:
    unknown = np.array([[0, 0, 0], [np.nan, 0, 1]])
    np.testing.assert_array_equal(to_camera_axes(unknown, "opencv")[0], [0, 0, 0])
    assert np.isnan(to_camera_axes(unknown, "opencv")[1, 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("convention", AXES)
def test_stored_normals(convention: Convention, dtype: type) -> None:
    normal = random_normals(1000)
    largest = np.iinfo(dtype).max
    levels = np.rint((from_camera_axes(normal, convention) + 1) / 2 * largest).astype(dtype)
    levels[0] = 0
    read = read_stored_normals(levels, convention)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[0], [0, 0, 0])
    assert angle_deg(read[1:], normal[1:]).max() < (0.4 if dtype is np.uint8 else 0.0017)


STRANGE: Any = "opengl"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_camera_axes(np.zeros(3), STRANGE), r"'dsine'\), got 'opengl'"),
        (lambda: to_camera_axes(np.zeros((3, 2)), "dsine"), r"on the last axis, got .*\(3, 2\)"),
        (lambda: read_stored_normals(np.zeros(3), "dsine"), "uint8 or uint16 RGB .* got float64"),
        (lambda: read_stored_normals(np.zeros((2, 4), np.uint8), "dsine"), r"shape \(2, 4\)"),
    ],
)
def test_bad_conversions_are_refused_in_one_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("normal", "message"),
    [
        (np.zeros((4, 4, 2)), r"float64 of shape \(4, 4, 2\)"),
        (np.zeros((3, 4, 4)), "on the last axis"),
        (np.zeros((4, 3), np.uint8), "floating point .* got uint8"),
        (np.float32(0), r"shape \(\)"),
    ],
)
def test_bad_normals_are_refused_in_one_line(normal: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        encode_normals(normal)
    assert "\n" not in str(caught.value)

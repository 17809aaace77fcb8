"""Edges of depth: blends get one of their two sides."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from teacher.depth import (
    CUBE_WALK,
    DecodedDepth,
    DepthCodec,
    Gray,
    Hilbert,
    decode_depth,
    encode_depth,
)
from teacher.depth_edges import path_length, sharpen_edges

quick = settings(derandomize=True, max_examples=30)


def step_edge(near_m: float, far_m: float, size: int = 24) -> np.ndarray:
    """Two flat surfaces with a straight border between them."""
    depth_m = np.full((size, size), near_m, np.float32)
    depth_m[:, size // 2 :] = far_m
    return depth_m


def blurred(depth_m: np.ndarray, codec=CUBE_WALK) -> np.ndarray:
    """Its painting, through the kernel (1, 2, 1) / 4 in both directions."""
    return cv2.sepFilter2D(encode_depth(depth_m, codec), -1, *[np.array([0.25, 0.5, 0.25])] * 2)


def share_wrong(depth_m: np.ndarray, true_m: np.ndarray) -> float:
    return float(np.mean(np.maximum(depth_m / true_m, true_m / depth_m) >= 1.25))


@pytest.mark.parametrize("near_m", [0.5, 1.2, 2.5])
@pytest.mark.parametrize("far_m", [6.0, 12.0, 40.0, np.inf])
def test_a_blurred_step_is_read_as_its_two_sides(near_m: float, far_m: float) -> None:
    rgb = blurred(step_edge(near_m, far_m))
    sides = np.unique(decode_depth(encode_depth(np.float32([near_m, far_m]))).depth_m)
    plain = decode_depth(rgb)
    assert not np.isin(plain.depth_m, sides).all()
    sharp = sharpen_edges(plain, rgb)
    foreign = ~np.isin(sharp.depth_m, sides)
    assert foreign.mean() <= 0.5 * (~np.isin(plain.depth_m, sides)).mean()


@pytest.mark.parametrize(("codec", "share"), [(CUBE_WALK, 0.16), (Gray(), 0.0)], ids=str)
def test_blends_of_two_depths_decode_beyond_both(codec: DepthCodec, share: float) -> None:
    generator = np.random.default_rng(0)
    low, high = np.sort(generator.random((2, 20_000)), axis=0)
    start, end = codec.paint(low).astype(float), codec.paint(high).astype(float)
    blend = np.rint(start + (end - start) * generator.random((20_000, 1))).astype(np.uint8)
    place = codec.fraction(decode_depth(blend, codec).depth_m)
    beyond = (place < low - 0.01) | (place > high + 0.01)
    assert beyond.mean() == pytest.approx(share, abs=0.01)


def test_steps_at_random_are_read_better_than_without() -> None:
    generator = np.random.default_rng(0)
    wrong = np.zeros(2)
    for near_m, ratio in zip(generator.uniform(0.5, 5, 60), generator.uniform(2, 8, 60)):
        true_m = step_edge(near_m, near_m * ratio)
        rgb = blurred(true_m)
        plain = decode_depth(rgb)
        sharp = sharpen_edges(plain, rgb)
        wrong += share_wrong(plain.depth_m, true_m), share_wrong(sharp.depth_m, true_m)
    assert wrong[1] < 0.6 * wrong[0]


@pytest.mark.slow
def test_true_depth_through_the_embedded_autoencoder_is_read_better() -> None:
    from teacher.noise_table import CodecsConfig, autoencoder_noise, scene_depths

    true_m = scene_depths(32, 128)
    plain, sharp = [], []
    for rgb in autoencoder_noise(CodecsConfig())(encode_depth(true_m)):
        plain.append(decode_depth(rgb))
        sharp.append(sharpen_edges(plain[-1], rgb))
    scores = [
        scene_scores(np.stack([each.depth_m for each in read]), true_m) for read in (plain, sharp)
    ]
    assert scores[1]["absrel"] < 0.75 * scores[0]["absrel"]
    assert scores[1]["delta1"] > scores[0]["delta1"]
    assert scores[1]["sky"] > scores[0]["sky"] - 0.002


def scene_scores(read_m: np.ndarray, true_m: np.ndarray) -> dict[str, float]:
    """AbsRel and delta1 where depth is finite, and the IoU of what is farther than 120 m."""
    finite = np.isfinite(true_m)
    read, true = np.clip(read_m[finite], 1e-3, 1000), true_m[finite]
    sky, far = ~finite, read_m > 120
    return {
        "absrel": float(np.mean(np.abs(read - true) / true)),
        "delta1": float(np.mean(np.maximum(read / true, true / read) < 1.25)),
        "sky": float((sky & far).sum() / (sky | far).sum()),
    }


@quick
@given(rgb=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_every_depth_was_within_one_pixel(rgb: np.ndarray) -> None:
    plain = decode_depth(rgb)
    sharp = sharpen_edges(plain, rgb)
    assert_from_near(sharp.depth_m, plain.depth_m, 1)
    np.testing.assert_array_equal(sharp.residual, plain.residual)


def assert_from_near(output: np.ndarray, source: np.ndarray, reach: int) -> None:
    """Every value of `output` stands in `source` within `reach` pixels."""
    for (row, column), value in np.ndenumerate(output):
        window = source[max(row - reach, 0) : row + reach + 1]
        window = window[:, max(column - reach, 0) : column + reach + 1]
        assert value in window


def test_a_slope_is_left_alone() -> None:
    row = np.geomspace(0.7, 30, 200, dtype=np.float32)
    rgb = encode_depth(np.tile(row, (20, 1)))
    plain = decode_depth(rgb)
    np.testing.assert_array_equal(sharpen_edges(plain, rgb).depth_m, plain.depth_m)


def test_a_clean_edge_and_a_thin_post_are_left_alone() -> None:
    depth_m = step_edge(1.0, 20.0)
    depth_m[:, 18] = 3.0
    rgb = encode_depth(depth_m)
    plain = decode_depth(rgb)
    np.testing.assert_array_equal(sharpen_edges(plain, rgb).depth_m, plain.depth_m)


def test_gray_has_no_detours_and_is_left_alone() -> None:
    codec = Gray(0.1, 20)
    rgb = blurred(step_edge(1, 15), codec)
    plain = decode_depth(rgb, codec)
    np.testing.assert_array_equal(sharpen_edges(plain, rgb, codec).depth_m, plain.depth_m)


def test_the_length_of_a_path_is_counted_in_levels() -> None:
    assert path_length(CUBE_WALK) == pytest.approx(1785)
    assert path_length(Gray()) == pytest.approx(255 * np.sqrt(3))
    assert path_length(Hilbert(2)) == pytest.approx(63 * 85)


def test_a_painting_and_a_depth_of_another_size_are_refused() -> None:
    decoded = DecodedDepth(np.ones((4, 5), np.float32), np.zeros((4, 5), np.float32))
    with pytest.raises(ValueError, match=r"found \(5, 4, 3\) and \(4, 5\)"):
        sharpen_edges(decoded, np.zeros((5, 4, 3), np.uint8))
    nothing = DecodedDepth(np.ones((0, 5), np.float32), np.zeros((0, 5), np.float32))
    with pytest.raises(ValueError, match=r"found \(0, 5, 3\)"):
        sharpen_edges(nothing, np.zeros((0, 5, 3), np.uint8))

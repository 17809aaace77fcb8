"""A drift of the palette: taken back where it is evident, left alone everywhere else."""

import cv2
import numpy as np
import pytest

from teacher.drift import Undrifted, correct_drift
from teacher.palette import Palette, decode_segments, encode_segments

TWELVE = Palette.distinct([f"class {i}" for i in range(12)])

DRIFTS = {
    "pale": ((0.8, 0.8, 0.8), (30, 30, 30)),
    "less contrast": ((0.9, 0.9, 0.9), (12, 12, 12)),
    "dark": ((0.85, 0.85, 0.85), (0, 0, 0)),
    "warm": ((1.0, 0.92, 0.8), (18, 6, -6)),
}


def blocks(classes: int, *, seed: int = 0, present: int | None = None) -> np.ndarray:
    """(120, 120) uint8: blocks of 20 px of the first `present` classes."""
    generator = np.random.default_rng(seed)
    each = np.arange(36) % (present or classes)
    return generator.permutation(each).reshape(6, 6).repeat(20, 0).repeat(20, 1).astype(np.uint8)


def painted(
    ids: np.ndarray, palette: Palette, *, drift: str | None = None, noise: float = 0
) -> np.ndarray:
    """Blurred at the edges, drifted and noisy, as a generator paints."""
    rgb = np.asarray(cv2.GaussianBlur(encode_segments(ids, palette), (3, 3), 0.8)).astype(float)
    gain, offset = DRIFTS[drift] if drift else (1, 0)
    rgb = rgb * gain + offset + np.random.default_rng(0).normal(0, noise, rgb.shape)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def wrong(rgb: np.ndarray, ids: np.ndarray, palette: Palette) -> float:
    return float((decode_segments(rgb, palette).ids != ids).mean())


def assert_untouched(undrifted: Undrifted, rgb: np.ndarray) -> None:
    assert not undrifted.applied
    np.testing.assert_array_equal(undrifted.rgb, rgb)
    np.testing.assert_array_equal(undrifted.gain, [1, 1, 1])
    np.testing.assert_array_equal(undrifted.offset, [0, 0, 0])


@pytest.mark.parametrize("noise", [0, 6])
@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_is_taken_back(drift: str, noise: float) -> None:
    ids = blocks(12)
    clean, drifted = (
        painted(ids, TWELVE, noise=noise),
        painted(ids, TWELVE, drift=drift, noise=noise),
    )
    undrifted = correct_drift(drifted, TWELVE)
    assert undrifted.applied
    if drift != "warm":  # which clips
        np.testing.assert_allclose(undrifted.gain, DRIFTS[drift][0], atol=0.03)
        np.testing.assert_allclose(undrifted.offset, DRIFTS[drift][1], atol=4)
    assert wrong(undrifted.rgb, ids, TWELVE) <= wrong(drifted, ids, TWELVE)
    assert wrong(undrifted.rgb, ids, TWELVE) <= wrong(clean, ids, TWELVE) + 0.002


def test_classes_that_drift_made_wrong_are_right_again() -> None:
    sixty = Palette.distinct([str(i) for i in range(60)])
    ids = blocks(60, present=12)
    drifted = painted(ids, sixty, drift="less contrast")
    undrifted = correct_drift(drifted, sixty)
    assert undrifted.applied
    assert wrong(undrifted.rgb, ids, sixty) < 0.9 * wrong(drifted, ids, sixty)


@pytest.mark.parametrize("noise", [0, 4, 16])
@pytest.mark.parametrize("classes", [2, 12, 60])
def test_without_drift_nothing_is_done(classes: int, noise: float) -> None:
    palette = Palette.distinct([str(i) for i in range(classes)])
    rgb = painted(blocks(classes, present=min(classes, 12)), palette, noise=noise)
    assert_untouched(correct_drift(rgb, palette), rgb)


@pytest.mark.parametrize("present", [1, 2, 3])
def test_too_few_classes_are_no_evidence(present: int) -> None:
    rgb = painted(blocks(12, present=present), TWELVE, drift="less contrast")
    assert_untouched(correct_drift(rgb, TWELVE), rgb)


def test_a_drift_too_small_to_matter_is_left_alone() -> None:
    rgb = np.clip(painted(blocks(12), TWELVE), 0, 252) + np.uint8(3)
    assert_untouched(correct_drift(rgb, TWELVE), rgb)


def test_a_channel_that_hardly_varies_tells_no_gain() -> None:
    colors = [[100, 0, 0], [150, 255, 0], [120, 0, 255], [140, 255, 255]]
    reddish = Palette(tuple("abcd"), np.array(colors))
    rgb = painted(blocks(4), reddish, drift="less contrast")
    assert_untouched(correct_drift(rgb, reddish), rgb)


def test_a_channel_that_was_lost_is_not_made_up() -> None:
    colors = [[0, 0, 64], [255, 0, 192], [0, 255, 192], [255, 255, 64]]
    bluish = Palette(tuple("abcd"), np.array(colors))
    rgb = painted(blocks(4), bluish)
    rgb[..., 2] = 128
    assert_untouched(correct_drift(rgb, bluish), rgb)


def test_one_class_in_another_colour_is_no_drift() -> None:
    colors = TWELVE.colors.copy()
    colors[3] = colors[3] // 2 + 40
    rgb = painted(blocks(12), Palette(TWELVE.names, colors))
    assert_untouched(correct_drift(rgb, TWELVE), rgb)


def test_colours_that_shift_each_their_own_way_are_no_drift() -> None:
    strange = np.random.default_rng(1).integers(-40, 41, TWELVE.colors.shape)
    colors = np.clip(TWELVE.colors + strange, 0, 255)
    rgb = painted(blocks(12), Palette(TWELVE.names, colors))
    assert_untouched(correct_drift(rgb, TWELVE), rgb)


def test_a_palette_that_looks_like_another_one_drifted_is_read_as_it_is() -> None:
    """The pale palette is in use; its colours are those of TWELVE, drifted."""
    gain, offset = DRIFTS["pale"]
    pale = Palette(TWELVE.names, np.rint(TWELVE.colors * np.array(gain) + offset).astype(int))
    rgb = painted(blocks(12), pale)
    assert_untouched(correct_drift(rgb, pale), rgb)


def test_a_drift_that_makes_classes_pass_for_others_is_left_alone() -> None:
    sixty = Palette.distinct([str(i) for i in range(60)])
    rgb = painted(blocks(60, present=12), sixty, drift="pale")
    assert_untouched(correct_drift(rgb, sixty), rgb)


def test_where_a_drift_is_ambiguous_no_region_changes_its_class() -> None:
    """Steps of 30 levels, painted 20 levels too light: 10 too dark, for all one can see."""
    ramp = Palette(tuple("abcdefg"), np.array([[level] * 3 for level in range(20, 220, 30)]))
    rgb = painted(blocks(7), ramp) + np.uint8(20)
    before, after = (decode_segments(x, ramp).ids for x in (rgb, correct_drift(rgb, ramp).rgb))
    np.testing.assert_array_equal(before[10::20, 10::20], after[10::20, 10::20])


def test_pictures_that_are_no_painting_of_classes_are_left_alone() -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert_untouched(correct_drift(noise, TWELVE), noise)
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    smooth = np.stack([*np.meshgrid(ramp, ramp), np.full((128, 128), 90)], -1).astype(np.uint8)
    assert_untouched(correct_drift(smooth, TWELVE), smooth)


def test_floating_point_paintings() -> None:
    rgb = painted(blocks(12), TWELVE, drift="pale")
    as_float = correct_drift((rgb / 255).astype(np.float32), TWELVE)
    np.testing.assert_array_equal(as_float.rgb, correct_drift(rgb, TWELVE).rgb)
    assert as_float.rgb.dtype == np.uint8


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 4, 3), (0, 4, 3)])
def test_one_painting_at_a_time(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"one painting \(H, W, 3\), got"):
        correct_drift(np.zeros(shape, np.uint8), TWELVE)


def test_bad_paintings_are_refused() -> None:
    with pytest.raises(ValueError, match="floating-point painting lies in"):
        correct_drift(np.full((8, 8, 3), 1.5), TWELVE)

"""Instances from paintings: each step of the procedure on pictures whose answer is known."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacher.instances import decode_instances
from teacher.palette import distinct_colors

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def canvas(height: int = 100, width: int = 120) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_every_colour_is_an_instance_largest_first() -> None:
    rgb = canvas()
    rgb[10:20, 10:20] = RED
    rgb[30:60, 30:60] = GREEN
    rgb[70:90, 70:90] = BLUE
    decoded = decode_instances(rgb)
    assert decoded.ids.dtype == np.uint16
    assert np.bincount(decoded.ids.ravel())[1:].tolist() == [900, 400, 100]
    np.testing.assert_array_equal(decoded.colors, [GREEN, BLUE, RED])
    assert decoded.ids[45, 45] == 1
    assert decoded.ids[80, 80] == 2
    assert decoded.ids[15, 15] == 3


def test_an_empty_painting_has_no_instance() -> None:
    decoded = decode_instances(canvas())
    assert not decoded.ids.any()
    assert decoded.colors.shape == (0, 3)


def test_background_reaches_up_to_tau() -> None:
    rgb = np.full((40, 40, 3), 100, np.uint8)
    rgb[:20, :20, 0] = 113  # 13 levels away: background
    rgb[20:, 20:, 0] = 114  # 14 levels away: an instance
    ids = decode_instances(rgb, background=(100, 100, 100)).ids
    assert not ids[:20].any()
    assert (ids[20:, 20:] == 1).all()


def test_colours_within_tau_of_the_seed_are_one_region() -> None:
    rgb = canvas()
    rgb[:50, :50] = (200, 0, 0)
    rgb[:50, 50:70] = (214, 0, 0)
    rgb[:50, 70:90] = (222, 0, 0)
    ids = decode_instances(rgb, tau=14).ids
    assert ids[0, 0] == ids[0, 60]
    assert ids[0, 80] not in (0, ids[0, 0])


def test_noise_within_tau_does_not_split_an_instance() -> None:
    rgb = canvas().astype(int)
    rgb[20:80, 20:80] = (128, 64, 192)  # on the edge of three bins of the histogram
    noise = np.random.default_rng(0).normal(0, 5, rgb.shape)
    ids = decode_instances(np.clip(rgb + noise, 0, 255).astype(np.uint8)).ids
    assert ids.max() == 1
    assert (ids[20:80, 20:80] == 1).mean() > 0.94, "95 % of the noise is shorter than tau"
    assert np.count_nonzero(ids) <= 3600


def test_small_regions_are_dropped() -> None:
    rgb = canvas(100, 100)
    rgb[10:15, 10:14] = RED  # 20 pixels
    assert decode_instances(rgb, min_area=2e-3).ids.max() == 1
    assert decode_instances(rgb, min_area=2.1e-3).ids.max() == 0


def test_lines_are_dropped_and_thin_bars_are_not() -> None:
    rgb = canvas()
    rgb[10:12, :] = RED  # erosion leaves nothing
    rgb[30:33, :] = GREEN  # erosion leaves a third
    decoded = decode_instances(rgb)
    np.testing.assert_array_equal(decoded.colors, [GREEN])
    assert decode_instances(rgb, min_core=0).ids.max() == 2


def test_an_object_on_the_border_is_not_taken_for_a_line() -> None:
    rgb = canvas()
    rgb[:2, :60] = RED  # as if it went on beyond the image
    assert decode_instances(rgb).ids.max() == 1


def test_parts_that_something_cuts_in_two_are_joined() -> None:
    rgb = canvas()
    rgb[20:40, 10:30] = rgb[20:40, 50:70] = RED
    rgb[:, 35:45] = GREEN  # a post in front
    ids = decode_instances(rgb).ids
    assert ids.max() == 2
    assert ids[30, 20] == ids[30, 60] != ids[30, 40]


def test_parts_far_from_each_other_are_two() -> None:
    rgb = canvas()
    rgb[0:10, 0:10] = rgb[90:100, 110:120] = RED  # box 12,000 > 5 x 200
    assert decode_instances(rgb).ids.max() == 2
    assert decode_instances(rgb, max_spread=60).ids.max() == 1


def test_three_parts_are_joined_through_the_middle_one() -> None:
    rgb = canvas()
    for left in (0, 40, 80):
        rgb[50:60, left : left + 10] = RED
    assert decode_instances(rgb, max_spread=3.1).ids.max() == 1


def test_a_knights_move_connects() -> None:
    rgb = canvas()
    rgb[10:20, 10:20] = RED
    rgb[21:31, 21:31] = RED  # the corners are two down and two right: apart
    assert decode_instances(rgb, max_spread=0).ids.max() == 2
    rgb[21, 20] = RED  # two down and one right of the first corner: connected
    assert decode_instances(rgb, max_spread=0).ids.max() == 1


def test_blurred_edges_start_no_region() -> None:
    rgb = canvas()
    rgb[30:70, 30:70] = RED
    for inset, share in enumerate((0.25, 0.5, 0.75)):
        ring = slice(30 + inset, 70 - inset)
        rgb[ring, ring] = np.array(RED) * share
    rgb[33:67, 33:67] = RED
    decoded = decode_instances(rgb)
    np.testing.assert_array_equal(decoded.colors, [RED])


def test_noise_holds_no_instances() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert decode_instances(rgb).ids.max() == 0


def same_instances(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two planes of ids are one and the same but for the numbers."""
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
    return (
        len(pairs.T) == len(np.unique(first)) == len(np.unique(second))
        and not ((pairs == 0).any(axis=0) & (pairs != 0).any(axis=0)).any()
    )


@st.composite
def boxes(draw: st.DrawFn) -> np.ndarray:
    """Up to eight boxes of other colours and sizes, one over another, with some noise."""
    rgb = canvas(48, 64).astype(int)
    for number in range(draw(st.integers(1, 8))):
        top, left = draw(st.integers(0, 40)), draw(st.integers(0, 56))
        height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
        rgb[top : top + height, left : left + width] = distinct_colors(8)[number]
    noise = np.random.default_rng(draw(st.integers(0, 99))).integers(-3, 4, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


@settings(derandomize=True, max_examples=40)
@given(rgb=boxes())
@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.rot90])
def test_a_turned_painting_has_the_turned_instances(
    turn: Callable[[np.ndarray], np.ndarray], rgb: np.ndarray
) -> None:
    turned = decode_instances(np.ascontiguousarray(turn(rgb)))
    assert same_instances(turned.ids, turn(decode_instances(rgb).ids))


@settings(derandomize=True, max_examples=40)
@given(rgb=boxes())
def test_instances_are_numbered_by_area_and_have_their_mean_colours(rgb: np.ndarray) -> None:
    decoded = decode_instances(rgb)
    areas = np.bincount(decoded.ids.ravel(), minlength=1)[1:]
    assert (areas > 0).all()
    assert (np.diff(areas) <= 0).all()
    for number, color in enumerate(decoded.colors, start=1):
        np.testing.assert_allclose(rgb[decoded.ids == number].mean(axis=0), color, rtol=1e-5)


def test_thirty_instances() -> None:
    rgb = canvas(120, 150)
    for number, color in enumerate(distinct_colors(30)):
        row, column = divmod(number, 6)
        rgb[24 * row : 24 * row + 20, 25 * column : 25 * column + 20] = color
    decoded = decode_instances(rgb)
    assert np.bincount(decoded.ids.ravel())[1:].tolist() == [400] * 30


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 3), (2, 2, 3)])
def test_tiny_paintings(shape: tuple[int, ...]) -> None:
    assert (decode_instances(np.full(shape, 200, np.uint8)).ids == 1).all()


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 4, 3), (3,), (0, 4, 3)])
def test_one_painting_at_a_time(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"one painting \(H, W, 3\), got"):
        decode_instances(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("rgb", "background", "message"),
    [
        (np.zeros((4, 4, 4), np.uint8), (0, 0, 0), "3 channels"),
        (np.full((4, 4, 3), -0.5), (0, 0, 0), r"lies in 0\.\.1"),
        (np.zeros((4, 4, 3)), (0, 0), r"three levels, got \(0, 0\)"),
    ],
)
def test_bad_input_is_refused_in_one_line(rgb, background, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        decode_instances(rgb, background)
    assert "\n" not in str(caught.value)

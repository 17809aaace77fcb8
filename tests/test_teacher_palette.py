"""Class ids as colours: palettes, legends, round trips, margins and bad input."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from teacher.deal import deal_colors
from teacher.palette import Palette, decode_segments, distinct_colors, encode_segments

NAMES = ("sky", "ground", "wall", "toy car")
TAKEN = np.array([[0, 0, 0], [255, 255, 255]])
quick = settings(derandomize=True, max_examples=60)


def least_distance(colors: np.ndarray) -> float:
    apart = np.linalg.norm(colors[:, None].astype(float) - colors, axis=-1)
    return apart[np.triu_indices(len(colors), k=1)].min()


@pytest.mark.parametrize(
    ("count", "levels"), [(1, 280), (2, 255), (6, 255), (7, 200), (11, 165), (20, 130), (150, 56)]
)
def test_distinct_colors_keep_their_distance_from_each_other_black_and_white(
    count: int, levels: float
) -> None:
    colors = distinct_colors(count)
    assert colors.shape == (count, 3)
    assert colors.dtype == np.uint8
    assert least_distance(np.concatenate([TAKEN, colors])) >= levels


def test_six_colors_are_the_free_corners_of_the_cube() -> None:
    assert set(distinct_colors(6).ravel().tolist()) == {0, 255}


def test_distinct_colors_never_change() -> None:
    assert distinct_colors(20)[:3].tolist() == [[109, 249, 255], [255, 28, 131], [255, 255, 0]]
    expected = [[0, 255, 204], [255, 0, 68], [170, 255, 0], [68, 0, 255]]
    assert distinct_colors(4).tolist() == expected
    assert not distinct_colors(4).flags.writeable


@pytest.mark.parametrize("count", [0, -1, 151])
def test_distinct_colors_has_limits(count: int) -> None:
    with pytest.raises(ValueError, match=rf"1 to 150 colours, got count={count}"):
        distinct_colors(count)


@quick
@given(count=st.sampled_from([1, 2, 7, 20, 40]), data=st.data())
def test_ids_survive_painting(count: int, data: st.DataObject) -> None:
    palette = Palette.distinct([f"class {i}" for i in range(count)])
    ids = data.draw(arrays(np.uint8, (5, 7), elements=st.integers(0, count - 1)))
    decoded = decode_segments(encode_segments(ids, palette), palette)
    np.testing.assert_array_equal(decoded.ids, ids)
    assert decoded.ids.dtype == np.uint8
    assert (decoded.margin > 95).all()


@quick
@given(rgb=arrays(np.uint8, (4, 6, 3)))
def test_any_colour_decodes_to_the_nearest_class_stably(rgb: np.ndarray) -> None:
    palette = Palette.distinct(NAMES)
    decoded = decode_segments(rgb, palette)
    assert (decoded.ids < len(NAMES)).all()
    assert (decoded.margin >= 0).all()
    apart = np.linalg.norm(rgb[..., None, :].astype(float) - palette.colors, axis=-1)
    np.testing.assert_array_equal(decoded.ids, apart.argmin(axis=-1))
    first, second = np.moveaxis(np.sort(apart, axis=-1)[..., :2], -1, 0)
    np.testing.assert_allclose(decoded.margin, second - first, atol=1e-3)
    again = decode_segments(encode_segments(decoded.ids, palette), palette)
    np.testing.assert_array_equal(again.ids, decoded.ids)


def test_noise_below_half_the_distance_of_the_colours_changes_no_class() -> None:
    palette = Palette.distinct([str(i) for i in range(20)])
    generator = np.random.default_rng(0)
    ids = generator.integers(0, 20, (64, 64))
    noise = generator.integers(-34, 35, (64, 64, 3))  # length < 34 sqrt(3) = 59 < 124 / 2
    noisy = np.clip(encode_segments(ids, palette) + noise, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(decode_segments(noisy, palette).ids, ids)


def test_ignored_pixels_are_black() -> None:
    palette = Palette.distinct(NAMES)
    assert palette.ignore_id == 255
    assert encode_segments(np.array([255, 0], np.uint8), palette)[0].tolist() == [0, 0, 0]


def test_more_than_255_classes_need_16_bits() -> None:
    greens = [[index // 256, index % 256, 0] for index in range(300)]
    palette = Palette(tuple(map(str, range(300))), np.array(greens))
    ids = np.array([0, 255, 299, 65535])
    rgb = encode_segments(ids, palette)
    assert rgb[1].tolist() == [0, 255, 0]
    decoded = decode_segments(rgb[:3], palette)
    assert decoded.ids.dtype == np.uint16
    np.testing.assert_array_equal(decoded.ids, ids[:3])


def test_one_class_has_an_infinite_margin() -> None:
    decoded = decode_segments(np.zeros((2, 2, 3), np.uint8), Palette.distinct(["all"]))
    assert not decoded.ids.any()
    assert (decoded.margin == np.inf).all()


def test_a_permuted_legend_keeps_ids_and_deals_out_the_same_colours() -> None:
    palette = Palette.distinct([str(i) for i in range(12)])
    permuted = palette.permuted(3)
    assert permuted.names == palette.names
    assert sorted(permuted.colors.tolist()) == sorted(palette.colors.tolist())
    assert permuted.colors.tolist() != palette.colors.tolist()
    np.testing.assert_array_equal(permuted.colors, palette.permuted(3).colors)
    ids = np.arange(12)
    np.testing.assert_array_equal(
        decode_segments(encode_segments(ids, permuted), permuted).ids, ids
    )


@pytest.mark.parametrize(("classes", "count"), [(2, 2), (7, 7), (11, 4), (20, 16), (60, 4)])
def test_every_class_has_another_colour_in_every_legend(classes: int, count: int) -> None:
    palette = Palette.distinct([str(i) for i in range(classes)])
    legends = palette.legends(count)
    assert legends[0] is palette
    assert {legend.names for legend in legends} == {palette.names}
    colors = np.stack([legend.colors for legend in legends])  # (count, classes, 3)
    for of_one_class in colors.swapaxes(0, 1):
        assert len(np.unique(of_one_class, axis=0)) == count
    for of_one_legend in colors:
        assert sorted(of_one_legend.tolist()) == sorted(palette.colors.tolist())


def nearest_on_average(legends: Sequence[Palette]) -> float:
    """Distance of the two classes whose colours lie closest on average over the legends."""
    apart = [
        np.linalg.norm(legend.colors[:, None].astype(float) - legend.colors, axis=-1)
        for legend in legends
    ]
    return np.mean(apart, axis=0)[np.triu_indices(len(legends[0]), k=1)].min()


@pytest.mark.parametrize("classes", [11, 20, 150])
def test_legends_part_close_classes_better_than_chance(classes: int) -> None:
    palette = Palette.distinct([str(i) for i in range(classes)])
    dealt = nearest_on_average(palette.legends(4))
    by_chance = [
        nearest_on_average([palette, *(palette.permuted(3 * trial + i) for i in range(3))])
        for trial in range(20)
    ]
    assert dealt > max(by_chance)
    assert dealt > 1.3 * least_distance(palette.colors)


def test_legends_never_change() -> None:
    deals = deal_colors(distinct_colors(6), 3, seed=0)
    assert [deal.tolist() for deal in deals] == [
        [0, 1, 2, 3, 4, 5],
        [5, 3, 0, 4, 2, 1],
        [4, 2, 5, 0, 1, 3],
    ]


def test_more_legends_than_classes_begin_again() -> None:
    legends = Palette.distinct(["a", "b"]).legends(4)
    first, second = (legend.colors.tolist() for legend in legends[:2])
    assert first == second[::-1]
    assert [legend.colors.tolist() for legend in legends[2:]] in ([first, second], [second, first])
    assert len(Palette.distinct(["all"]).legends(3)) == 3


def test_a_vote_needs_a_legend() -> None:
    with pytest.raises(ValueError, match="at least one legend, got count=0"):
        Palette.distinct(NAMES).legends(0)


def test_a_palette_may_be_written_as_nested_lists_and_cannot_be_changed() -> None:
    palette = Palette(("a", "b"), [[1, 2, 3], [4, 5, 6]])  # pyright: ignore[reportArgumentType]
    assert palette.colors.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        palette.colors[0] = 0


@pytest.mark.parametrize(
    ("names", "colors", "message"),
    [
        ((), [], "at least one class"),
        (("a",), [[0, 0, 0], [1, 1, 1]], "1 names and 2 colours"),
        (("a", "b"), [[1, 2, 3], [1, 2, 3]], r"'a' and 'b' share the colour \(1, 2, 3\)"),
        (("a", "a"), [[1, 2, 3], [4, 5, 6]], "names class 'a' twice"),
        (("a",), [[1, 2]], r"shape \(n, 3\), got \(1, 2\)"),
        (("a", "b"), [[1, 2, 3], [4, 5]], r"shape \(n, 3\), got rows of other lengths"),
        (("a",), [[1, 2, 300]], r"0\.\.255, got int64 in 1\.\.300"),
        (("a",), [[-1, 2, 3]], r"0\.\.255"),
        (("a",), [[0.5, 0.5, 1.0]], "whole numbers .* got float64"),
    ],
)
def test_bad_palettes_are_refused_in_one_line(names, colors, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Palette(names, colors)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([0, 4]), r"class id 4 is not in a palette of 4 classes; use 0\.\.3, or 255"),
        (np.array([-1]), "class id -1"),
        (np.array([0.0]), "integers, got float64"),
        (np.array([True]), "integers, got bool"),
    ],
)
def test_bad_ids_are_refused(ids: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_segments(ids, Palette.distinct(NAMES))


@quick
@given(rgb=arrays(np.uint8, (4, 6, 3)), limit=st.floats(0, 450))
def test_colours_far_from_the_legend_can_be_ignored(rgb: np.ndarray, limit: float) -> None:
    palette = Palette.distinct(NAMES)
    everywhere = decode_segments(rgb, palette)
    near = decode_segments(rgb, palette, max_distance=limit)
    distance = np.linalg.norm(rgb - palette.colors[everywhere.ids].astype(float), axis=-1)
    ignored = near.ids == palette.ignore_id
    np.testing.assert_array_equal(ignored[distance > limit + 1e-3], True)
    np.testing.assert_array_equal(ignored[distance < limit - 1e-3], False)
    np.testing.assert_array_equal(near.ids[~ignored], everywhere.ids[~ignored])
    np.testing.assert_array_equal(near.margin, everywhere.margin)


def test_a_legend_may_have_a_background_of_its_own() -> None:
    palette = Palette(("background", "cat"), np.array([[0, 0, 0], [255, 165, 0]]))
    rgb = np.array([[9, 3, 0], [250, 170, 20], [0, 0, 255]], np.uint8)
    assert decode_segments(rgb, palette, max_distance=60).ids.tolist() == [0, 1, 255]


@pytest.mark.parametrize("limit", [-1.0, np.nan])
def test_a_negative_distance_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="max_distance is 0 levels or more"):
        decode_segments(np.zeros((2, 3), np.uint8), Palette.distinct(NAMES), max_distance=limit)

"""Class ids as colours: palettes, round trips, margins, prompts and bad input."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from teacher.palette import Palette, decode_segments, distinct_colors, encode_segments
from teacher.prompts import color_text, depth_prompt, normal_prompt, segment_prompt

NAMES = ("sky", "ground", "wall", "toy car")
TAKEN = np.array([[0, 0, 0], [255, 255, 255]])
quick = settings(derandomize=True, deadline=None, max_examples=60)


def least_distance(colors: np.ndarray) -> float:
    apart = np.linalg.norm(colors[:, None].astype(float) - colors, axis=-1)
    return apart[np.triu_indices(len(colors), k=1)].min()


@pytest.mark.parametrize(
    ("count", "levels"), [(1, 280), (2, 255), (6, 255), (7, 200), (11, 165), (20, 120), (150, 50)]
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
    expected = [[0, 255, 204], [255, 0, 68], [170, 255, 0], [68, 0, 255]]
    assert distinct_colors(4).tolist() == expected
    assert not distinct_colors(4).flags.writeable


@pytest.mark.parametrize("count", [0, -1, 151])
def test_distinct_colors_has_limits(count: int) -> None:
    with pytest.raises(ValueError, match=rf"1 to 150 colours, got count={count}"):
        distinct_colors(count)


@quick
@given(count=st.integers(1, 40), data=st.data())
def test_ids_survive_painting(count: int, data: st.DataObject) -> None:
    palette = Palette.distinct([f"class {i}" for i in range(count)])
    ids = data.draw(arrays(np.uint8, (5, 7), elements=st.integers(0, count - 1)))
    decoded = decode_segments(encode_segments(ids, palette), palette)
    np.testing.assert_array_equal(decoded.ids, ids)
    assert decoded.ids.dtype == np.uint8
    assert (decoded.margin > 50).all()


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


def test_the_json_legend_is_json_in_the_palettes_order() -> None:
    palette = Palette(NAMES, np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 136, 0]]))
    prompt = segment_prompt(palette)
    legend = json.loads(prompt[prompt.index("{") :])
    assert next(iter(legend.items())) == ("sky", "<255, 0, 0>")
    assert list(legend) == list(NAMES)
    assert '"toy car": "#ff8800"' in segment_prompt(palette, colors="hex")


def test_the_prose_legend_names_every_class_and_colour() -> None:
    prompt = segment_prompt(Palette(("cat", "dog"), np.eye(3, dtype=int)[:2] * 255), form="prose")
    assert prompt.endswith("Every pixel of cat is <255, 0, 0>. Every pixel of dog is <0, 255, 0>.")


def test_depth_and_normal_prompts_name_their_colours() -> None:
    assert "black, red, yellow, green, cyan, blue, magenta, white" in depth_prompt()
    assert "faces left is pinkish red" in normal_prompt()


def test_unknown_forms_are_refused() -> None:
    with pytest.raises(ValueError, match="'json' or 'prose', got 'xml'"):
        segment_prompt(Palette.distinct(NAMES), form="xml")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="'rgb' or 'hex', got 'hsv'"):
        color_text((1, 2, 3), "hsv")  # pyright: ignore[reportArgumentType]

"""Prompts and legends as text: what is written, what is read back, and bad input."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.ImageColor import getrgb

from teacher.colors import ColorForm, color_text, parse_color
from teacher.legend import LegendForm, parse_legend
from teacher.palette import Palette
from teacher.prompts import (
    depth_prompt,
    instance_prompt,
    normal_prompt,
    referring_prompt,
    segment_prompt,
)

quick = settings(derandomize=True, max_examples=100)
levels = st.tuples(*[st.integers(0, 255)] * 3)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
words = st.from_regex(r"[A-Za-zé][A-Za-zé'’ -]{0,12}", fullmatch=True)
STRANGE: Any = "xml"
PETS = Palette(("cat", "toy car"), np.array([[255, 0, 0], [255, 165, 0]]))


def legend_of(palette: Palette) -> dict[str, tuple[int, ...]]:
    return dict(zip(palette.names, map(tuple, palette.colors.tolist())))


def palette_of(colors: dict[str, tuple[int, int, int]]) -> Palette:
    return Palette(tuple(colors), np.array(list(colors.values())))


def test_the_json_legend_is_json_in_the_palettes_order() -> None:
    prompt = segment_prompt(PETS)
    assert prompt.startswith("Generate a visualization image of semantic segmentation")
    legend = json.loads(prompt[prompt.index("{") :])
    assert list(legend.items()) == [("cat", "<255, 0, 0>"), ("toy car", "<255, 165, 0>")]


def test_the_prose_legend_names_every_class_and_colour() -> None:
    prompt = segment_prompt(PETS, form="prose", colors="hex")
    assert prompt.endswith("Every pixel of cat is #ff0000. Every pixel of toy car is #ffa500.")


@pytest.mark.parametrize("form", ["json", "prose"])
@pytest.mark.parametrize("colors", ["rgb", "hex", "name"])
def test_a_palette_is_read_back_from_its_prompt(form: LegendForm, colors: ColorForm) -> None:
    assert legend_of(parse_legend(segment_prompt(PETS, form=form, colors=colors))) == {
        "cat": (255, 0, 0),
        "toy car": (255, 165, 0),
    }


@quick
@given(names=st.lists(names, min_size=1, max_size=5, unique=True), data=st.data())
@pytest.mark.parametrize("colors", ["rgb", "hex"])
def test_any_name_survives_json(colors: ColorForm, names: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(levels, min_size=len(names), max_size=len(names), unique=True))
    legend = dict(zip(names, chosen))
    assert legend_of(parse_legend(segment_prompt(palette_of(legend), colors=colors))) == legend


@quick
@given(names=st.lists(words, min_size=1, max_size=5, unique=True), data=st.data())
@pytest.mark.parametrize("colors", ["rgb", "hex"])
def test_words_survive_prose(colors: ColorForm, names: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(levels, min_size=len(names), max_size=len(names), unique=True))
    legend = dict(zip(names, chosen))
    prompt = segment_prompt(palette_of(legend), form="prose", colors=colors)
    assert legend_of(parse_legend(prompt)) == legend


THE_PAPERS = {
    "“Generate a semantic segmentation visualization image, using this color mapping:"
    ' {"cat": "red", "lock": "pink", "background": yellow}.”': {
        "cat": (255, 0, 0),
        "lock": (255, 192, 203),
        "background": (255, 255, 0),
    },
    "“Generate a visualization image of semantic segmentation, using this color mapping:"
    ' {"cat ears": <255, 165, 0>, "exit sign": <0, 0, 255>, "background":<125,0, 125>}”': {
        "cat ears": (255, 165, 0),
        "exit sign": (0, 0, 255),
        "background": (125, 0, 125),
    },
    "“This image is a per-pixel class labeling of the input. The macaron cakes are represented by"
    " (255, 255, 0). The slice cakes are depicted in (64, 192, 64). The flowers are shown in"
    " (128, 0, 64). The tongs are (255, 0, 192).”": {
        "macaron cakes": (255, 255, 0),
        "slice cakes": (64, 192, 64),
        "flowers": (128, 0, 64),
        "tongs": (255, 0, 192),
    },
    "“Generate a semantic segmentation visualization of the input. The menu is #80C000. The dessert"
    " is #800000. The patterns on the wall is #40FFC0”": {
        "menu": (128, 192, 0),
        "dessert": (128, 0, 0),
        "patterns on the wall": (64, 255, 192),
    },
    "A segmentation map image. The stretching cat is rendered in green, the cat that is cleaning"
    " itself is in cyan.": {
        "stretching cat": (0, 128, 0),
        "cat that is cleaning itself": (0, 255, 255),
    },
    "This image shows segmentation masks from the given image. The background is black color. The"
    " game control device is represented by a solid yellow.": {
        "background": (0, 0, 0),
        "game control device": (255, 255, 0),
    },
    "This image shows segmentation masks for the balls from the input image. The background is set"
    " to white color. Each ball is represented by a different color.": {
        "background": (255, 255, 255)
    },
    "Background is RGB(88, 50, 82).": {"Background": (88, 50, 82)},
}


@pytest.mark.parametrize("prompt", THE_PAPERS)
def test_the_papers_own_prompts_are_read(prompt: str) -> None:
    assert legend_of(parse_legend(prompt)) == THE_PAPERS[prompt]


@pytest.mark.parametrize("colors", ["rgb", "hex", "name"])
def test_the_referring_prompt_is_read_back(colors: ColorForm) -> None:
    prompt = referring_prompt(PETS, (0, 0, 255), colors=colors)
    assert legend_of(parse_legend(prompt)) == {
        "background": (0, 0, 255),
        "cat": (255, 0, 0),
        "toy car": (255, 165, 0),
    }


def test_the_referring_prompt_is_the_papers() -> None:
    expressions = Palette(("game control device",), np.array([[255, 255, 0]]))
    assert referring_prompt(expressions) == (
        "This image shows segmentation masks from the given image. The background is black color."
        " The game control device is represented by a solid yellow."
    )


def test_the_instance_prompt_names_class_and_background() -> None:
    prompt = instance_prompt("price tag", (255, 255, 255))
    assert "Each price tag is colored differently. The background is white." in prompt
    assert "The background is <1, 2, 3>." in instance_prompt("tag", (1, 2, 3), colors="rgb")


def test_depth_and_normal_prompts_name_their_colours() -> None:
    assert "black, red, yellow, green, cyan, blue, magenta, white" in depth_prompt()
    assert "faces left is pinkish red" in normal_prompt()


@quick
@given(color=levels)
@pytest.mark.parametrize("form", ["rgb", "hex"])
def test_a_colour_is_read_back(form: ColorForm, color: tuple[int, int, int]) -> None:
    assert parse_color(color_text(color, form)) == color


@pytest.mark.parametrize("name", ["black", "red", "cyan", "magenta", "gray", "slategray", "orange"])
def test_a_name_is_read_back(name: str) -> None:
    assert color_text(parse_color(name), "name") == name


@pytest.mark.parametrize(
    ("text", "color"),
    [
        (" (1,2 , 3)", (1, 2, 3)),
        ("[1, 2, 3]", (1, 2, 3)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
        ("#FFA500", (255, 165, 0)),
        ("Aqua", (0, 255, 255)),
        ("grey", (128, 128, 128)),
        ("green", (0, 128, 0)),
    ],
)
def test_ways_to_write_a_colour(text: str, color: tuple[int, int, int]) -> None:
    assert parse_color(text) == color


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: color_text((1, 2, 3), "name"), "#010203 has no name in CSS; write colours as"),
        (lambda: color_text((1, 2, 3), STRANGE), "'rgb', 'hex' or 'name', got 'xml'"),
        (lambda: parse_color("<1, 2, 256>"), r"levels in 0\.\.255, got '<1, 2, 256>'"),
        (lambda: parse_color("<1, 2>"), "'<1, 2>' is no colour: write <r, g, b>"),
        (lambda: parse_color("#ff00"), "'#ff00' is no colour"),
        (lambda: parse_legend("Every pixel counts."), "no legend found: write"),
        (lambda: parse_legend("{}"), "no legend found"),
        (lambda: parse_legend('{"cat": "red"'), "not valid JSON"),
        (lambda: parse_legend('{"cat": 3}'), "class 'cat' of the legend: '3' is no colour"),
        (lambda: parse_legend('{"a": "red", "a": "blue"}'), "names class 'a' twice"),
        (lambda: parse_legend('{"a": "red", "b": #ff0000}'), "'a' and 'b' share the colour"),
        (lambda: parse_legend("The cat is light purple."), "class 'cat' .* 'light purple' is no"),
        (lambda: segment_prompt(PETS, form=STRANGE), "'json' or 'prose', got 'xml'"),
        (lambda: referring_prompt(PETS, (255, 0, 0)), "'background' and 'cat' share the colour"),
        (lambda: instance_prompt("tag", (1, 2, 3)), "no name in CSS"),
    ],
)
def test_bad_legends_are_refused_in_one_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_names_are_read_after_pillow_has_looked_them_up():
    getrgb("white")
    assert parse_color("white") == (255, 255, 255)
    assert color_text((255, 255, 255), "name") == "white"

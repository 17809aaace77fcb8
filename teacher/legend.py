"""A legend as text and back: classes and their colours, as JSON or as prose.

The forms are those of the prompts in arXiv 2604.20329 (figures 2 to 4).
"""

import json
import re
from typing import Literal

import numpy as np

from teacher.colors import ColorForm, color_text, parse_color
from teacher.palette import Palette

LegendForm = Literal["json", "prose"]

_BARE_OR_QUOTED = re.compile(
    r'"(?:[^"\\]|\\.)*"'  # a string of JSON
    r"|(?P<bare>(?:RGB)?[<(\[][^>)\]]*[>)\]]|[#A-Za-z][\w ]*)"  # <255, 0, 0>, #ff0000, light green
)

_CLAUSE = re.compile(
    r"""
    (?:^|[.;,:“]\s*)  # where a clause begins
    (?:Every\ pixel\ of\ (?P<any>.+?)|(?:[Tt]he\ |(?=Background))(?P<the>[^.;]+?))
    \ (?:is|are)\ (?:each\ )?(?:(?:represented|depicted|shown|rendered|set)\ )?
    (?:(?:by|in|as|to)\ )?(?:a\ )?(?:solid\ )?
    (?P<color>(?:RGB)?[<(\[][\d,\ ]+[>)\]]|\#\w+|[A-Za-z]+(?:\ [A-Za-z]+)??)
    (?:\ color)?\s*(?=[.;,”]|$)  # where it ends
    """,
    re.VERBOSE | re.DOTALL,
)


def legend_text(palette: Palette, form: LegendForm = "json", colors: ColorForm = "rgb") -> str:
    """The classes and their colours, in the palette's order; the inverse of parse_legend.

    Raises ValueError for another form, and for a colour without a name if `colors` is "name".
    """
    legend = {
        name: color_text(color, colors)
        for name, color in zip(palette.names, palette.colors.tolist())
    }
    if form == "json":
        return json.dumps(legend, ensure_ascii=False)
    if form == "prose":
        return " ".join(f"Every pixel of {name} is {color}." for name, color in legend.items())
    raise ValueError(f"a legend is written as 'json' or 'prose', got {form!r}")


def parse_legend(text: str) -> Palette:
    """The palette that a prompt names.

    text: a prompt or a bare legend. JSON from the first brace to the last, colours quoted or not:
    {"cat ears": <255, 165, 0>, "lock": #ff0000, "background": yellow}. Otherwise prose, one clause
    for each class: "The menu is #80C000." or "Every pixel of sky is blue."; other sentences are
    passed over.

    Inverse: legend_text. Raises ValueError where there is no legend, where a colour is none or has
    no exact value (light purple), and where two classes share a name or a colour.
    """
    pairs = _json_pairs(text) if "{" in text else _prose_pairs(text)
    if not pairs:
        raise ValueError(
            'no legend found: write {"cat": <255, 165, 0>, ...} or "The cat is <255, 165, 0>."'
        )
    colors = np.array([_class_color(name, color) for name, color in pairs])
    return Palette(tuple(name for name, _ in pairs), colors)


def _json_pairs(text: str) -> list[tuple[str, str]]:
    braced = text[text.index("{") : text.rfind("}") + 1]
    quoted = _BARE_OR_QUOTED.sub(
        lambda found: json.dumps(found["bare"].strip()) if found["bare"] else found[0], braced
    )
    try:
        return json.loads(quoted, object_pairs_hook=list)
    except ValueError as error:
        raise ValueError(f"the legend {text!r} is not valid JSON: {error}") from error


def _prose_pairs(text: str) -> list[tuple[str, str]]:
    return [(found["any"] or found["the"], found["color"]) for found in _CLAUSE.finditer(text)]


def _class_color(name: str, color: object) -> tuple[int, int, int]:
    try:
        return parse_color(color if isinstance(color, str) else json.dumps(color))
    except ValueError as error:
        raise ValueError(f"class {name!r} of the legend: {error}") from error

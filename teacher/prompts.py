"""The instruction that asks a generator for one painting.

The wording is part of a teacher: a generator tuned on one text is asked with the same text. Legends
come as prose or as JSON, colours as hex or as RGB, as in arXiv 2604.20329 v3, section 3.
"""

import json
from collections.abc import Sequence
from typing import Literal

from teacher.palette import Palette

ColorForm = Literal["rgb", "hex"]
LegendForm = Literal["json", "prose"]


def depth_prompt() -> str:
    """Asks for metric depth on the cube walk (teacher.depth.CUBE_WALK)."""
    return (
        "Generate a visualization image of metric depth. Color every pixel by its distance from"
        " the camera plane along the path black, red, yellow, green, cyan, blue, magenta, white:"
        " black is 0 m, red 0.8 m, yellow 1.8 m, green 3.2 m, cyan 5.3 m, blue 8.7 m,"
        " magenta 16.5 m, and white is infinitely far. Colors blend linearly in between."
    )


def normal_prompt() -> str:
    """Asks for surface normals in the colours of teacher.normals."""
    return (
        "Generate a visualization image of surface normals in camera space. A surface that faces"
        " left is pinkish red, one that faces up is light green, and one that faces the camera is"
        " light blue."
    )


def segment_prompt(
    palette: Palette, *, form: LegendForm = "json", colors: ColorForm = "rgb"
) -> str:
    """Asks for semantic segmentation with the palette's legend, in the palette's order."""
    legend = {
        name: color_text(color, colors)
        for name, color in zip(palette.names, palette.colors.tolist())
    }
    if form == "json":
        mapping = json.dumps(legend, ensure_ascii=False)
        return (
            "Generate a visualization image of semantic segmentation, using this color mapping:"
            f" {mapping}"
        )
    if form == "prose":
        sentences = " ".join(f"Every pixel of {name} is {color}." for name, color in legend.items())
        return (
            "Generate a visualization image of semantic segmentation in flat, solid colors."
            f" {sentences}"
        )
    raise ValueError(f"a legend is written as 'json' or 'prose', got {form!r}")


def color_text(color: Sequence[int], form: ColorForm = "rgb") -> str:
    """(255, 136, 0) as "<255, 136, 0>" (rgb) or "#ff8800" (hex)."""
    red, green, blue = (int(level) for level in color)
    if form == "rgb":
        return f"<{red}, {green}, {blue}>"
    if form == "hex":
        return f"#{red:02x}{green:02x}{blue:02x}"
    raise ValueError(f"a colour is written as 'rgb' or 'hex', got {form!r}")

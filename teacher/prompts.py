"""The instruction that asks a generator for one painting.

The wording is part of a teacher: a generator tuned on one text is asked with the same text. Legends
come as prose or as JSON, colours as RGB, hex or names, as in arXiv 2604.20329 v3, section 3.
"""

from collections.abc import Sequence

from teacher.colors import ColorForm, color_text
from teacher.legend import LegendForm, legend_text
from teacher.palette import Palette
from teacher.referring import with_background


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
    """Asks for semantic segmentation with the palette's legend, in the palette's order.

    teacher.legend.parse_legend reads the palette from it. Raises ValueError as legend_text does.
    """
    legend = legend_text(palette, form, colors)
    if form == "json":
        return (
            "Generate a visualization image of semantic segmentation, using this color mapping:"
            f" {legend}"
        )
    return (
        f"Generate a visualization image of semantic segmentation in flat, solid colors. {legend}"
    )


def instance_prompt(
    name: str, background: Sequence[int] = (0, 0, 0), *, colors: ColorForm = "name"
) -> str:
    """Asks for the instances of one class, each in a colour that the generator chooses.

    background: levels of what is no instance, as teacher.instances.decode_instances reads it.
    """
    return (
        "Generate an instance segmentation visualization of this image."
        f" Each {name} is colored differently. The background is {color_text(background, colors)}."
    )


def referring_prompt(
    expressions: Palette, background: Sequence[int] = (0, 0, 0), *, colors: ColorForm = "name"
) -> str:
    """Asks for what some expressions refer to, each in its colour on a background.

    teacher.legend.parse_legend reads back a palette of the background and the expressions;
    teacher.referring.decode_referring reads the painting. Raises ValueError where an expression
    has the colour of the background, and as color_text does.
    """
    with_background(expressions, background)
    solid, color = ("a solid ", " color") if colors == "name" else ("", "")
    masks = [
        f" The {name} is represented by {solid}{color_text(levels, colors)}."
        for name, levels in zip(expressions.names, expressions.colors.tolist())
    ]
    return (
        "This image shows segmentation masks from the given image. The background is"
        f" {color_text(background, colors)}{color}.{''.join(masks)}"
    )

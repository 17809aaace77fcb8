"""One colour as text and back: RGB, hex or a name of CSS."""

import re
from collections.abc import Sequence
from typing import Literal

from PIL.ImageColor import colormap, getrgb

from teacher.rgb import LEVELS

ColorForm = Literal["rgb", "hex", "name"]

SYNONYMS = ("aqua", "fuchsia")
"""Read, but not written: cyan and magenta are the same colours; so is every grey a gray."""

_COLORS = {name: getrgb(name) for name in tuple(colormap)}
"""By getrgb, since it replaces what it has looked up in `colormap` by another form."""
_NAMES = {
    color: name for name, color in _COLORS.items() if name not in SYNONYMS and "grey" not in name
}

_TUPLE = re.compile(r"(?:rgb)?\s*[<(\[]\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*[>)\]]", re.IGNORECASE)
_HEX = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)


def color_text(color: Sequence[int], form: ColorForm = "rgb") -> str:
    """(255, 165, 0) as "<255, 165, 0>" (rgb), "#ffa500" (hex) or "orange" (name).

    Inverse: parse_color. Raises ValueError for another form, and for a colour that CSS does not
    name: names stand for exact colours, so "green" is <0, 128, 0> and <0, 255, 0> is "lime".
    """
    red, green, blue = (int(level) for level in color)
    code = f"#{red:02x}{green:02x}{blue:02x}"
    if form == "rgb":
        return f"<{red}, {green}, {blue}>"
    if form == "hex":
        return code
    if form == "name":
        if (red, green, blue) not in _NAMES:
            raise ValueError(f"{code} has no name in CSS; write colours as 'hex' or 'rgb'")
        return _NAMES[red, green, blue]
    raise ValueError(f"a colour is written as 'rgb', 'hex' or 'name', got {form!r}")


def parse_color(text: str) -> tuple[int, int, int]:
    """The levels of a colour written as <r, g, b>, (r, g, b), [r, g, b], #rrggbb or a name of CSS.

    Raises ValueError for anything else, and for levels above 255.
    """
    stripped = text.strip()
    if found := _TUPLE.fullmatch(stripped):
        levels = [int(level) for level in found.groups()]
        if max(levels) > LEVELS:
            raise ValueError(f"a colour has levels in 0..{LEVELS}, got {text!r}")
    elif found := _HEX.fullmatch(stripped):
        levels = [int(level, 16) for level in found.groups()]
    elif stripped.lower() in _COLORS:
        levels = _COLORS[stripped.lower()]
    else:
        raise ValueError(
            f"{text!r} is no colour: write <r, g, b>, #rrggbb or a name of CSS, as 'orange'"
        )
    red, green, blue = levels[:3]
    return red, green, blue

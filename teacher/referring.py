"""Masks of what expressions refer to, from a painting in which each has a colour.

Source: arXiv 2604.20329 v3, section 3: the prompt names a colour for each expression and one for
the background. How the masks are read is described there as straightforward: by nearest colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teacher.palette import Palette, decode_segments

BACKGROUND = "background"


@dataclass(frozen=True)
class DecodedReferring:
    """What a painting of expressions says, and how firmly."""

    masks: np.ndarray
    """(n, ...) bool, one for each expression; no pixel is in two of them"""
    margin: np.ndarray
    """(...) float32, distance to the second nearest colour less that to the nearest, in levels"""


def decode_referring(
    rgb: np.ndarray, expressions: Palette, background: Sequence[int] = (0, 0, 0)
) -> DecodedReferring:
    """Read one mask for each expression.

    rgb:         (..., 3) uint8, or floating point in 0..1.
    expressions: what was asked for, and its colours.
    background:  levels of everything else.

    Raises ValueError where an expression has the colour of the background, and as
    teacher.rgb.as_levels does.
    """
    decoded = decode_segments(rgb, with_background(expressions, background))
    numbers = np.arange(1, 1 + len(expressions)).reshape(-1, *[1] * decoded.ids.ndim)
    return DecodedReferring(decoded.ids == numbers, decoded.margin)


def with_background(expressions: Palette, background: Sequence[int]) -> Palette:
    """The palette of the background (row 0) and the expressions."""
    if len(background) != 3:
        raise ValueError(f"a background colour has three levels, got {background}")
    colors = np.array([[*background], *expressions.colors.tolist()])
    return Palette((BACKGROUND, *expressions.names), colors)

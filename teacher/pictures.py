"""Labels as pictures for people: calm colours, one scale for a whole page, no information lost."""

import base64
import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

UNKNOWN_COLOR = (150, 146, 140)
"""Where nothing is known: no ground truth, or a class that is ignored."""
SKY_COLOR = (204, 216, 228)
"""At infinity; lies outside the depth colours, which run from cream to black."""
SEGMENT_COLORS = (
    (156, 196, 226),  # powder blue
    (163, 143, 118),  # sand
    (224, 213, 194),  # plaster
    (120, 130, 150),  # slate
    (196, 112, 64),  # copper
    (228, 178, 84),  # honey
    (146, 102, 146),  # plum
    (88, 148, 150),  # verdigris
    (104, 152, 88),  # leaf
    (206, 92, 92),  # brick
    (236, 154, 160),  # rose
    (72, 92, 132),  # ink
    (178, 190, 96),  # moss
    (132, 84, 60),  # walnut
    (188, 168, 216),  # lilac
    (64, 110, 88),  # fir
)
"""Shown in the order of the class ids; further classes repeat them, darker each time."""


def depth_picture(depth_m: np.ndarray, near_m: float, far_m: float) -> np.ndarray:
    """Depth on a logarithmic scale, near = bright; sky and unknown in colours of their own.

    depth_m: (H, W) float32, NaN = unknown, inf = sky. Returns (H, W, 3) uint8.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.log(depth_m / near_m) / np.log(far_m / near_m)
    picture = depth_colors(np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0))
    picture[np.isposinf(depth_m)] = SKY_COLOR
    picture[~(depth_m > 0)] = UNKNOWN_COLOR
    return picture


def relative_depth_picture(depth: np.ndarray) -> np.ndarray:
    """Affine depth, 0 (near) to 1 (far), on a linear scale in the same colours.

    depth: (H, W) float32, NaN = unknown, inf = sky. Returns (H, W, 3) uint8.
    """
    picture = depth_colors(np.nan_to_num(depth, nan=0.0, posinf=1.0))
    picture[np.isposinf(depth)] = SKY_COLOR
    picture[np.isnan(depth)] = UNKNOWN_COLOR
    return picture


def depth_colors(share: np.ndarray) -> np.ndarray:
    """(...) 0 near to 1 far -> (..., 3) uint8: the map "magma" of matplotlib, reversed."""
    levels = np.rint((1 - np.clip(share, 0, 1)) * 255).astype(np.uint8)
    bgr = cv2.applyColorMap(levels.reshape(-1, 1), cv2.COLORMAP_MAGMA)
    return bgr[:, 0, ::-1].reshape(*levels.shape, 3)


def normal_picture(normal: np.ndarray) -> np.ndarray:
    """Unit normals as colours: right = red, up = green, towards the camera = blue.

    normal: (H, W, 3) float32, (0, 0, 0) = unknown. Returns (H, W, 3) uint8.
    """
    picture = np.rint((np.clip(normal, -1, 1) + 1) * 127.5).astype(np.uint8)
    picture[~normal.any(axis=-1)] = UNKNOWN_COLOR
    return picture


def segment_colors(count: int) -> np.ndarray:
    """(count, 3) uint8: a colour for each class id."""
    table = np.array(SEGMENT_COLORS, np.float64)
    ids = np.arange(count)
    darker = 0.72 ** (ids // len(table))
    return np.rint(table[ids % len(table)] * darker[:, None]).astype(np.uint8)


def segment_picture(segment: np.ndarray, count: int) -> np.ndarray:
    """(H, W) class ids -> (H, W, 3) uint8; an id beyond `count`, such as "ignore", is unknown."""
    table = np.vstack([segment_colors(count), np.array([UNKNOWN_COLOR], np.uint8)])
    return table[np.minimum(segment, count)]


def normal_sphere(size_px: int) -> np.ndarray:
    """A legend for normals: a ball seen from the front. (size_px, size_px, 4) uint8 RGBA"""
    axis = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    right, down = np.meshgrid(axis, axis)
    squared = right**2 + down**2
    ball = np.stack([right, -down, np.sqrt(np.clip(1 - squared, 0, None))], axis=-1)
    edge = np.clip((1 - np.sqrt(squared)) * size_px / 2, 0, 1)
    return np.dstack([normal_picture(ball), np.rint(edge * 255).astype(np.uint8)])


def data_uri(picture: np.ndarray, *, quality: int | None = None) -> str:
    """A picture (H, W, 3) or (H, W, 4) uint8 as a WebP data URI; exact without a quality."""
    file = io.BytesIO()
    image = Image.fromarray(picture)
    image.save(file, "WEBP", lossless=quality is None, quality=quality or 80, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def css_gradient(colors: np.ndarray) -> str:
    """(n, 3) uint8 -> a CSS gradient from left to right, for legends."""
    return f"linear-gradient(90deg, {', '.join(css_color(color) for color in colors)})"


def css_color(color: Sequence[int] | np.ndarray) -> str:
    """One colour as CSS spells it."""
    return "#" + "".join(f"{int(level):02x}" for level in color)

"""Normal edges: blends of two surfaces, resolved along the edges of the photograph.

A generator blurs the border between two surfaces, and paints it a pixel or two beside its place.
The photograph knows better where it is: a pixel takes the normals of those around it that look
like it and lie inside a surface. This is a joint bilateral filter (Petschnigg et al. 2004), in
which pixels at edges of the normals weigh little. Surfaces without an edge nearby stay as they are.
"""

import cv2
import numpy as np

REACH_PX = 2
"""Distance along rows and columns of the eight pixels that lend their normals beside the pixel's
own. Those nearer by lie in the same blur; asking all 21 within reach gave the same angles."""
COLOR = 0.05
"""Scale on which a neighbour's weight falls with its difference of colour: CIELAB over 100."""
ROUGHNESS = 0.1
"""Scale on which it falls with the spread of the normals around it, see _roughness."""
EDGE = 0.2
"""Roughness from which on a pixel is at an edge: that where surfaces 24 degrees apart meet."""
BORDER = ((REACH_PX, REACH_PX), (REACH_PX, REACH_PX))
"""Of pixels that weigh nothing, around the picture."""
WINDOW = np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1), np.uint8)


def sharpen_normals(normal: np.ndarray, photograph: np.ndarray) -> np.ndarray:
    """Give pixels near an edge the normal of the surface that they look like.

    normal: (H, W, 3) float32 unit vectors, (0, 0, 0) = unknown; photograph: (H, W, 3) uint8 sRGB.
    Returns unit vectors; what was unknown stays so. Raises ValueError when the sizes differ.
    """
    if normal.shape != photograph.shape:
        raise ValueError(
            f"expected normals and photograph of one size, found {normal.shape}, {photograph.shape}"
        )
    known = np.einsum("hwc,hwc->hw", normal, normal) > 0
    rough = _roughness(normal)
    rows, columns = np.nonzero(known & (cv2.dilate(rough, WINDOW) > EDGE))
    smooth = np.where(known, np.exp(-rough / ROUGHNESS), 0).astype(np.float32)
    # One row of memory a pixel, since most of the time goes into fetching neighbours.
    planes = np.pad(np.dstack([smooth, _lab(photograph), normal]), (*BORDER, (0, 0)))
    pixels = planes.reshape(-1, planes.shape[2])
    places = (rows + REACH_PX) * planes.shape[1] + columns + REACH_PX
    own = pixels.take(places, axis=0)[:, 1:4]
    total = np.zeros((len(places), 3), np.float32)
    across = (-REACH_PX, 0, REACH_PX)
    for step in (down * planes.shape[1] + right for down in across for right in across):
        seen = pixels.take(places + step, axis=0)
        apart = seen[:, 1:4] - own
        alike = np.exp(np.einsum("nc,nc->n", apart, apart) * np.float32(-0.5 / COLOR**2))
        total += (seen[:, 0] * alike)[:, None] * seen[:, 4:]
    sharpened = normal.copy()
    length = np.sqrt(np.einsum("nc,nc->n", total, total))
    found = length > np.finfo(np.float32).tiny
    sharpened[rows[found], columns[found]] = total[found] / length[found, None]
    return sharpened


def _roughness(normal: np.ndarray) -> np.ndarray:
    """(H, W) float32: standard deviation of the normals in 3 x 3 pixels, 0 on a plane."""
    mean = cv2.blur(normal, (3, 3))
    square = cv2.blur(np.einsum("hwc,hwc->hw", normal, normal), (3, 3))
    return np.sqrt(np.maximum(square - np.einsum("hwc,hwc->hw", mean, mean), 0))


def _lab(photograph: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(photograph.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100

"""Is this ground truth what it should be? Metres, the size of its photograph, our axes.

A set in millimetres or with another y axis gives numbers that look like those of a bad model, so
that each picture is checked as it is imported.
"""

import numpy as np

from distill.datasets.source import Intrinsics
from teacher.normals import AXES, Convention, from_camera_axes, to_camera_axes

FAR_MEDIAN_M = 1000.0
"""No camera sees half of a picture beyond a kilometre; millimetres start there."""
AWAY_SHARE = 0.5
"""A surface that is seen faces the camera; noise turns a few normals over, never half of them."""
OPPOSED = -0.5
"""Agreement of a component with that of normals from depth, 1 = full, at which it is flipped."""
MIN_SPREAD = 0.01
"""A component whose mean square is less than this says nothing: no surface faces that way."""
MIN_PIXELS = 500
"""Fewer pixels than these are no evidence."""


def check_size(plane: np.ndarray, size: tuple[int, int], task: str) -> None:
    """Raise ValueError unless the plane has the photograph's height and width."""
    if plane.shape[:2] != size:
        raise ValueError(
            f"{task} of {plane.shape[1]} x {plane.shape[0]} pixels (width x height), but the "
            f"photograph has {size[1]} x {size[0]}; ground truth must fit its photograph"
        )


def check_metres(depth_m: np.ndarray) -> None:
    """Raise ValueError when depth (H, W), NaN = unknown, cannot be in metres."""
    known = depth_m[np.isfinite(depth_m)]
    if known.size and (median := float(np.median(known))) > FAR_MEDIAN_M:
        raise ValueError(
            f"median depth {median:.0f} m, expected less than {FAR_MEDIAN_M:.0f}; are these "
            "millimetres? Give metres, or the right depth_scale"
        )
    if (known < 0).any():
        raise ValueError(
            f"negative depth {known.min():g} m; expected metres in front of the camera"
        )


def check_axes(
    normal: np.ndarray, depth_m: np.ndarray | None, intrinsics: Intrinsics | None, axes: Convention
) -> None:
    """Raise ValueError when normals are not in our axes, naming the axes that they seem to have.

    normal: (H, W, 3) in our axes, if the data set's were `axes` indeed. depth_m: (H, W), used where
    the intrinsics are known as well: it also tells x and y.
    """
    known = normal.any(axis=-1)
    if np.count_nonzero(known) < MIN_PIXELS:
        return
    away = 1 - facing_share(normal, intrinsics)
    if away > AWAY_SHARE:
        likely = _likely_axes(from_camera_axes(normal, axes), intrinsics)
        raise ValueError(
            f"{away:.0%} of the normals face away from the camera, if their axes are {axes!r}; "
            f"{_advice(None if likely == axes else likely)}"
        )
    if depth_m is not None and intrinsics is not None:
        _check_against_depth(normal, depth_m, intrinsics, axes)


def facing_share(normal: np.ndarray, intrinsics: Intrinsics | None) -> float:
    """Share of the known normals (H, W, 3) that face the camera: n · ray < 0."""
    rays = camera_rays(normal.shape[:2], intrinsics)
    facing = np.einsum("hwc,hwc->hw", normal, rays) < 0
    return float(facing[normal.any(axis=-1)].mean())


def camera_rays(size: tuple[int, int], intrinsics: Intrinsics | None) -> np.ndarray:
    """(H, W, 3) float32 rays into the scene in our axes, of depth 1.

    Where the intrinsics are unknown, those of a lens of 53 degrees: enough to tell front from back.
    """
    height, width = size
    far = max(size)
    fx, fy, cx, cy = intrinsics or (far, far, width / 2, height / 2)
    rays = np.empty((*size, 3), np.float32)
    rays[..., 0] = (np.arange(width) + 0.5 - cx) / fx
    rays[..., 1] = -((np.arange(height) + 0.5 - cy) / fy)[:, None]
    rays[..., 2] = -1
    return rays


def _likely_axes(stored: np.ndarray, intrinsics: Intrinsics | None) -> Convention:
    """Which axes make normals as stored face the camera, and the lower third of them the sky."""

    def plausibility(name: Convention) -> float:
        normal = to_camera_axes(stored, name)
        ground = normal[2 * len(normal) // 3 :, :, 1].sum()
        return facing_share(normal, intrinsics) + 0.5 * (ground > 0)

    return max(AXES, key=plausibility)


def _advice(axes: str | None) -> str:
    """What to do about normals that have these axes, or unknown ones."""
    if axes is not None:
        return f"they look like {axes!r}: give --axes {axes}"
    return "convert them to +x right, +y up, +z towards the camera, or leave them out by --tasks"


def _check_against_depth(
    normal: np.ndarray, depth_m: np.ndarray, intrinsics: Intrinsics, axes: Convention
) -> None:
    """Raise ValueError when an axis points the other way than in normals computed from depth."""
    from_depth = depth_normals(depth_m, intrinsics)
    known = normal.any(axis=-1) & from_depth.any(axis=-1)
    if np.count_nonzero(known) < MIN_PIXELS:
        return
    product = (normal[known] * from_depth[known]).mean(axis=0)
    spread = (normal[known] ** 2).mean(axis=0)
    opposed = (product < OPPOSED * spread) & (spread > MIN_SPREAD)
    if opposed.any():
        flipped = " and ".join(np.array(["x", "y", "z"])[opposed])
        signs = tuple(np.where(opposed, -1, 1) * AXES[axes])
        likely = next((name for name, known_signs in AXES.items() if known_signs == signs), None)
        raise ValueError(
            f"{flipped} of the normals is opposed to that of the depth, if their axes are "
            f"{axes!r}; {_advice(likely)}"
        )


def depth_normals(depth_m: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """Normals of the surface that depth (H, W) describes: (H, W, 3) in our axes, zero = unknown."""
    points = camera_rays(depth_m.shape, intrinsics) * depth_m[..., None]
    right = points[1:-1, 2:] - points[1:-1, :-2]
    up = points[:-2, 1:-1] - points[2:, 1:-1]
    normal = np.zeros_like(points)
    normal[1:-1, 1:-1] = np.cross(right, up)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(normal / length, posinf=0, neginf=0)

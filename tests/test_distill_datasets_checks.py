"""What is noticed of ground truth in other units, sizes and axes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import ramp, write_array, write_png

from distill.datasets.checks import (
    camera_rays,
    check_axes,
    check_metres,
    check_size,
    depth_normals,
    facing_share,
)
from distill.datasets.planes import (
    id_table,
    read_array,
    read_depth_png,
    read_normal_png,
    read_png,
    read_segment_png,
)
from teacher.normals import AXES

INTRINSICS = (60.0, 70.0, 30.0, 22.0)


def make_room() -> tuple[np.ndarray, np.ndarray]:
    """Exact depth (48, 64) and normals of a room: a floor, a left wall and a back wall."""
    rays = camera_rays((48, 64), INTRINSICS)
    planes = [((0.0, 1.0, 0.0), 1.5), ((1.0, 0.0, 0.0), 2.0), ((0.0, 0.0, 1.0), 6.0)]
    normals = np.array([normal for normal, _ in planes], np.float32)
    with np.errstate(divide="ignore"):
        # n · (d ray) = -distance on a plane that lies `distance` before the camera along -n.
        depths = np.stack([-away / (rays @ np.array(normal)) for normal, away in planes])
    depths[depths <= 0] = np.inf
    return depths.min(axis=0).astype(np.float32), normals[depths.argmin(axis=0)]


DEPTH_M, NORMAL = make_room()


def test_normals_from_depth_are_those_of_the_planes() -> None:
    found = depth_normals(DEPTH_M, INTRINSICS)
    inner = (
        (NORMAL[1:-1, 1:-1] == NORMAL[1:-1, 2:]).all(-1)
        & (NORMAL[1:-1, 1:-1] == NORMAL[1:-1, :-2]).all(-1)
        & (NORMAL[1:-1, 1:-1] == NORMAL[2:, 1:-1]).all(-1)
        & (NORMAL[1:-1, 1:-1] == NORMAL[:-2, 1:-1]).all(-1)
    )
    assert inner.mean() > 0.9
    assert found[1:-1, 1:-1][inner] == pytest.approx(NORMAL[1:-1, 1:-1][inner], abs=1e-3)
    assert not found[0].any()


def test_unknown_depth_gives_unknown_normals() -> None:
    depth_m = DEPTH_M.copy()
    depth_m[10, 10] = np.nan
    found = depth_normals(depth_m, INTRINSICS)
    assert not found[10, 9].any()
    assert not found[11, 10].any()
    assert found[12, 10].any()


@pytest.mark.parametrize("intrinsics", [INTRINSICS, None])
def test_what_is_seen_faces_the_camera(intrinsics: tuple | None) -> None:
    assert facing_share(NORMAL, intrinsics) == 1.0
    assert facing_share(-NORMAL, intrinsics) == 0.0


def test_our_axes_pass() -> None:
    check_axes(NORMAL, DEPTH_M, INTRINSICS, "camera")
    check_axes(NORMAL, None, None, "camera")
    check_axes(np.zeros_like(NORMAL), DEPTH_M, INTRINSICS, "camera")


@pytest.mark.parametrize("with_depth", [True, False])
@pytest.mark.parametrize("stated", AXES)
@pytest.mark.parametrize("true", AXES)
def test_other_axes_are_named(true: str, stated: str, with_depth: bool) -> None:
    """Normals stored in one convention and read as another are refused, with the right advice;
    without depth, as long as they face away."""
    stored = NORMAL * AXES[true]
    read = (stored * AXES[stated]).astype(np.float32)
    depth_m = DEPTH_M if with_depth else None
    if true == stated:
        check_axes(read, depth_m, INTRINSICS, stated)
    elif with_depth or facing_share(read, INTRINSICS) < 0.5:
        with pytest.raises(ValueError, match=f"look like '{true}': give --axes {true}"):
            check_axes(read, depth_m, INTRINSICS, stated)


def test_axes_that_nobody_uses() -> None:
    flipped = NORMAL * np.array([1, -1, 1], np.float32)
    with pytest.raises(ValueError, match=r"y of the normals is opposed.*convert them to \+x right"):
        check_axes(flipped, DEPTH_M, INTRINSICS, "camera")


@given(st.floats(0, 0.3), st.integers(0, 2**32 - 1))
def test_noise_alone_is_not_refused(scale: float, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=NORMAL.shape) * scale
    noisy = NORMAL + noise
    noisy /= np.linalg.norm(noisy, axis=-1, keepdims=True)
    check_axes(noisy.astype(np.float32), DEPTH_M * (1 + noise[..., 0] / 50), INTRINSICS, "camera")


def test_millimetres_are_refused_with_a_hint() -> None:
    with pytest.raises(ValueError, match=r"median depth 2500 m.*millimetres.*depth_scale"):
        check_metres(np.array([[2000.0, 3000.0, np.nan]]))
    check_metres(np.array([[2.0, 3.0, np.nan, 4000.0]]))
    check_metres(np.array([[np.nan, np.nan]]))
    check_metres(np.array([[np.inf, 900.0]]))


def test_negative_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="negative depth -1 m"):
        check_metres(np.array([[2.0, -1.0]]))


def test_sizes() -> None:
    check_size(np.zeros((3, 4, 3)), (3, 4), "normal")
    with pytest.raises(ValueError, match=r"depth of 4 x 3 pixels .* has 3 x 4"):
        check_size(np.zeros((3, 4)), (4, 3), "depth")


def test_depth_in_metres_with_unknown_pixels(tmp_path: Path) -> None:
    found = read_depth_png(write_png(tmp_path / "d.png", ramp(5000)), 5000.0)
    assert found.dtype == np.float32
    assert np.isnan(found[:, 0]).all()
    assert found[0, 1:4].tolist() == [1.0, 2.0, 3.0]


def test_a_black_normal_is_unknown(tmp_path: Path) -> None:
    stored = np.zeros((24, 32, 3), np.uint8)
    stored[0, 0] = (255, 128, 128)
    found = read_normal_png(write_png(tmp_path / "n.png", stored))
    assert found[0, 0] == pytest.approx((1, 0, 0), abs=0.01)
    assert np.linalg.norm(found[0, 0]) == pytest.approx(1)
    assert not found[1].any()


def test_ids_are_taken_to_ours(tmp_path: Path) -> None:
    table = id_table({7: 0, 9: 1}, ignored=(0,))
    path = write_png(tmp_path / "s.png", np.array([[7, 9, 0]], np.uint8))
    assert read_segment_png(path, table).tolist() == [[0, 1, 255]]
    write_png(path, np.array([[7, 8]], np.uint8))
    with pytest.raises(ValueError, match=r"s\.png: class id 8 is not defined; known: 0, 7, 9"):
        read_segment_png(path, table)


def test_another_depth_of_bits_is_named(tmp_path: Path) -> None:
    path = write_png(tmp_path / "d.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="uint16 with 1 channels, found uint8 with 1 channels"):
        read_png(path, np.uint16)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "p.npy"
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"p\.npy: not a plain numpy array"):
        read_array(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"p\.npy: not a plain numpy array"):
        read_array(path)
    assert read_array(write_array(tmp_path / "a.npy", np.eye(2))).tolist() == [[1, 0], [0, 1]]

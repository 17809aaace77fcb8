"""Paths through the RGB cube against other implementations and against brute force."""

from itertools import pairwise

import hilbertmap
import hilbertmap.cubewalk
import matplotlib
import numpy as np
import pytest
from hilbertcurve.hilbertcurve import HilbertCurve
from hilbertmap.transform import normalized_to_depth

from teacher.colormaps import COLOR_MAPS, color_map
from teacher.cubewalk import cube_path, nearest_on_cube_walk
from teacher.depth import ColorMap, decode_depth, encode_depth
from teacher.hilbert import curve_colors, curve_index, curve_points, nearest_on_curve


def random_colors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3), dtype=np.uint8)


def test_cube_walk_reads_a_million_colours_as_hilbertmap_does() -> None:
    different = 0
    for rgb in np.split(random_colors(1_000_000), 20):
        steps, residual = nearest_on_cube_walk(rgb)
        theirs = hilbertmap.cubewalk.project(rgb / 255)
        np.testing.assert_allclose(distance_to_step(rgb, theirs * 1785), residual, atol=1e-3)
        same = np.abs(steps - theirs * 1785) < 1e-6
        with np.errstate(divide="ignore"):
            theirs_m = normalized_to_depth(theirs[same])
        np.testing.assert_allclose(decode_depth(rgb).depth_m[same], theirs_m, rtol=1e-5)
        different += (~same).sum()
    assert different < 1000, "only colours midway between two edges may differ"


def distance_to_step(rgb: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Distance in levels from colours to whole steps of the walk."""
    return np.linalg.norm(rgb - cube_path()[np.rint(steps).astype(int)].astype(float), axis=-1)


def test_cube_walk_paints_a_million_depths_as_hilbertmap_does() -> None:
    depth_m = np.random.default_rng(0).lognormal(1.5, 1.5, 1_000_000)
    theirs = np.rint(hilbertmap.depth_to_rgb(depth_m) * 255)
    ours = encode_depth(depth_m)
    assert (ours != theirs).mean() < 1e-6, "only ties of rounding may differ"
    assert np.abs(ours - theirs).max() <= 1


def test_cube_walk_takes_the_first_of_two_edges_at_one_distance() -> None:
    middle = np.array([[200, 55, 55], [55, 55, 55]], np.uint8)
    assert nearest_on_cube_walk(middle)[0].tolist() == [200, 55]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_hilbert_vertices_are_those_of_hilbertcurve(order: int) -> None:
    index = np.arange(8**order)
    points = np.array(HilbertCurve(order, 3).points_from_distances(index.tolist()))
    np.testing.assert_array_equal(np.stack(curve_points(index, order), axis=-1), points)
    np.testing.assert_array_equal(curve_index(points.T, order), index)


@pytest.mark.parametrize("order", [5, 6, 7, 8])
def test_fine_hilbert_curves_agree_with_hilbertcurve_at_random(order: int) -> None:
    index = np.random.default_rng(order).integers(0, 8**order, 10_000)
    points = np.array(HilbertCurve(order, 3).points_from_distances(index.tolist()))
    np.testing.assert_array_equal(np.stack(curve_points(index, order), axis=-1), points)
    np.testing.assert_array_equal(curve_index(points.T, order), index)


def test_order_8_is_read_by_tables_as_by_bits() -> None:
    rgb = random_colors(300_000)
    position, residual = nearest_on_curve(rgb, 8)
    np.testing.assert_array_equal(position, curve_index(rgb.T, 8))
    assert not residual.any()


def test_order_8_reads_colours_as_hilbertcurve_does() -> None:
    rgb = random_colors(100_000, seed=1)
    theirs = HilbertCurve(8, 3).distances_from_points(rgb.tolist())
    np.testing.assert_array_equal(nearest_on_curve(rgb, 8)[0], theirs)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_projection_on_a_hilbert_curve_is_the_nearest_of_all_its_colours(order: int) -> None:
    rgb = random_colors(300)
    vertices = curve_colors(np.arange(8.0**order), order).astype(int)
    path = np.concatenate([edge_colors(*edge) for edge in pairwise(vertices)])
    apart = np.linalg.norm(rgb[:, None].astype(np.float32) - path.astype(np.float32), axis=-1)
    position, residual = nearest_on_curve(rgb, order)
    np.testing.assert_allclose(residual, apart.min(axis=1), atol=1e-3)
    painted = curve_colors(position, order).astype(float)
    np.testing.assert_allclose(np.linalg.norm(rgb - painted, axis=-1), residual, atol=1e-3)


def edge_colors(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Every colour from one vertex to the next."""
    length = np.abs(end - start).max()
    return start + (end - start) * np.arange(length + 1)[:, None] // length


@pytest.mark.parametrize("name", COLOR_MAPS)
def test_colour_maps_are_matplotlibs(name: str) -> None:
    table = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    assert np.abs(color_map(name).astype(int) - table).max() <= 1


@pytest.mark.parametrize("name", COLOR_MAPS)
def test_colour_maps_are_read_as_the_nearest_entry(name: str) -> None:
    rgb = random_colors(2000)
    apart = np.linalg.norm(rgb[:, None].astype(float) - color_map(name), axis=-1)
    decoded = decode_depth(rgb, ColorMap(name, near_m=0, far_m=255))
    np.testing.assert_allclose(decoded.residual, apart.min(axis=1), atol=1e-3)
    np.testing.assert_allclose(decoded.depth_m, apart.argmin(axis=1), atol=1e-4)

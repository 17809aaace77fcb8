"""Evidence of each pixel, on surfaces and mistakes that are worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from teacher.ingredients import (
    FIELD_OF_VIEW_DEG,
    INGREDIENTS,
    Reading,
    depth_normal_angle_deg,
    depth_spread,
    evidence,
    known_pixels,
    normal_spread,
    normals_of_depth,
    segment_edge_px,
)

SIZE = (40, 60)


def plane_depth(normal: np.ndarray, distance_m: float = 3.0) -> np.ndarray:
    """Depth (40, 60) of the plane `distance_m` ahead of the camera with a normal, +z towards it."""
    height, width = SIZE
    focal_px = width / 2 / np.tan(np.radians(FIELD_OF_VIEW_DEG) / 2)
    x = (np.arange(width) + 0.5 - width / 2) / focal_px
    y = -(np.arange(height)[:, None] + 0.5 - height / 2) / focal_px
    # a point at depth d is (x d, y d, -d); the plane goes through (0, 0, -distance)
    depth_m = normal[2] * distance_m / (normal[2] - normal[0] * x - normal[1] * y)
    return depth_m.astype(np.float32)


def unit(*vector: float) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


@pytest.mark.parametrize(
    "normal", [unit(0, 0, 1), unit(0.5, 0, 1), unit(-0.4, 0.3, 1), unit(0.1, 0.7, 1)]
)
def test_normals_of_a_plane(normal: np.ndarray) -> None:
    found = normals_of_depth(plane_depth(normal))
    angles = np.degrees(np.arccos((found * normal).sum(axis=-1).clip(-1, 1)))
    assert angles[4:-4, 4:-4].max() < 0.5


def test_the_angle_between_depth_and_normals() -> None:
    depth_m = plane_depth(unit(0.5, 0, 1))
    normals = np.broadcast_to(unit(0.5, 0, 1).astype(np.float32), (*SIZE, 3)).copy()
    normals[20:] = (0, 0, 1)
    normals[0, 0] = 0
    angle_deg = depth_normal_angle_deg(depth_m, normals)
    assert angle_deg[4:20, 4:-4].max() < 0.5
    np.testing.assert_allclose(angle_deg[20:-4, 4:-4], np.degrees(np.arctan(0.5)), atol=0.5)
    assert angle_deg[0, 0] == pytest.approx(90)


def test_depth_spread_is_the_ratio_within_five_pixels() -> None:
    depth_m = np.full(SIZE, 2, np.float32)
    depth_m[:, 30:] = 6
    spread = depth_spread(depth_m)
    np.testing.assert_allclose(spread[:, 28:32], np.log(3), rtol=1e-5)
    assert spread[:, :28].max() == spread[:, 32:].max() == 0
    depth_m[:, 30:] = np.inf
    assert depth_spread(depth_m)[0, 30] == pytest.approx(np.log(120 / 2))


def test_normal_spread_is_zero_on_a_plane_and_large_at_an_edge() -> None:
    normal = np.zeros((*SIZE, 3), np.float32)
    normal[:, :30, 0], normal[:, 30:, 2] = 1, 1
    spread = normal_spread(normal)
    assert spread[:, :29].max() < 1e-6
    np.testing.assert_allclose(spread[:, 29:31], 1 - np.sqrt(5) / 3, rtol=1e-4)


def test_distance_to_the_edge_of_a_segment() -> None:
    segment = np.zeros(SIZE, np.uint8)
    segment[:, 30:] = 7
    distance = segment_edge_px(segment)
    np.testing.assert_allclose(distance[5, 24:36], [5, 4, 3, 2, 1, 0, 0, 1, 2, 3, 4, 5], atol=0.3)
    assert segment_edge_px(np.zeros(SIZE, np.uint8)).max() == 32


def test_sky_in_one_task_alone_is_a_conflict() -> None:
    depth_m = np.array([[np.inf, 3.0, np.inf, 3.0]], np.float32)
    segment = np.array([[1, 1, 0, 0]], np.uint8)
    reading = Reading(
        depth_m=depth_m,
        depth_residual=np.zeros((1, 4)),
        segment=segment,
        segment_margin=np.full((1, 4), np.inf),
        classes=("ground", "sky"),
    )
    found = evidence(reading)
    assert found["sky_conflict"].tolist() == [[0, 1, 1, 0]]
    assert found["segment_margin"].tolist() == [[442] * 4]
    without_sky = Reading(**{**vars(reading), "classes": ("ground", "wall")})
    assert "sky_conflict" not in evidence(without_sky)


def test_evidence_is_what_the_painted_tasks_allow() -> None:
    depth = {"depth_m": np.ones(SIZE, np.float32), "depth_residual": np.zeros(SIZE)}
    normal = {"normal": np.ones((*SIZE, 3), np.float32), "normal_length": np.zeros(SIZE)}
    assert set(evidence(Reading(**depth))) == {"depth_residual", "depth_spread"}
    voted = Reading(**depth, depth_votes=np.zeros(SIZE))
    assert set(evidence(voted)) == {"depth_residual", "depth_spread", "depth_votes"}
    both = evidence(Reading(**depth, **normal))
    assert "depth_normal_angle" in both
    for name in both:
        assert set(INGREDIENTS[name].tasks) <= {"depth", "normal"}


values = st.sampled_from([np.nan, np.inf, 0.001, 1000.0]) | st.floats(0.0625, 200, width=32)


@given(depth_m=arrays(np.float32, (6, 9), elements=values), seed=st.integers(0, 2**32 - 1))
def test_evidence_of_any_reading_is_finite_and_not_negative(depth_m: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(6, 9, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal[rng.random((6, 9)) < 0.2] = 0
    found = evidence(
        Reading(
            depth_m=depth_m,
            depth_residual=rng.random((6, 9)),
            normal=normal,
            normal_length=rng.random((6, 9)),
            segment=rng.integers(0, 3, (6, 9), dtype=np.uint8),
            segment_margin=rng.normal(size=(6, 9)),
            classes=("sky", "ground", "box"),
        )
    )
    assert set(found) == {name for name in INGREDIENTS if not name.endswith("_votes")}
    for name, plane in found.items():
        assert plane.shape == (6, 9), name
        assert plane.dtype == np.float32, name
        assert np.isfinite(plane).all(), name
        assert plane.min() >= 0, name


def test_known_pixels() -> None:
    depth_m = np.array([[1, np.nan, np.inf]], np.float32)
    normal = np.array([[[0, 0, 1], [0, 0, 0], [1, 0, 0]]], np.float32)
    reading = Reading(depth_m=depth_m, normal=normal, segment=np.zeros((1, 3), np.uint8))
    known = {task: plane.tolist() for task, plane in known_pixels(reading).items()}
    assert known == {
        "depth": [[True, False, True]],
        "normal": [[True, False, True]],
        "segment": [[True, True, True]],
    }
    assert list(known_pixels(Reading(normal=normal))) == ["normal"]

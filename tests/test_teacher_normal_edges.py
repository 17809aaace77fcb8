"""Normals at edges follow the edges of the photograph."""

import cv2
import numpy as np
import pytest

from teacher.normal_edges import sharpen_normals

LEFT, RIGHT = np.float32([-0.6, 0, 0.8]), np.float32([0.8, 0, 0.6])
EDGE_PX = 12


def corner(edge_px: int = EDGE_PX, blur_px: float = 0.0) -> np.ndarray:
    """Two walls of 24 x 24 px that meet at a column, as unit vectors."""
    normal = np.where(np.arange(24)[None, :, None] < edge_px, LEFT, RIGHT).repeat(24, axis=0)
    normal = normal.astype(np.float32)
    if blur_px:
        normal = cv2.GaussianBlur(normal, (0, 0), blur_px)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def photograph(edge_px: int = EDGE_PX) -> np.ndarray:
    """The walls in two colours."""
    colors = np.where(np.arange(24)[None, :, None] < edge_px, (200, 60, 40), (30, 90, 190))
    return colors.repeat(24, axis=0).astype(np.uint8)


def angle_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)))


def test_a_blurred_edge_becomes_sharp():
    blurred = corner(blur_px=1.0)
    assert angle_deg(blurred, corner()).max() > 20
    assert angle_deg(sharpen_normals(blurred, photograph()), corner()).max() < 3


def test_an_edge_that_was_painted_beside_its_place_moves_to_it():
    assert angle_deg(sharpen_normals(corner(EDGE_PX + 1), photograph()), corner()).max() < 3


def test_without_an_edge_in_the_photograph_the_sides_stay():
    plain = np.full((24, 24, 3), 128, np.uint8)
    sharpened = sharpen_normals(corner(), plain)
    sides = np.abs(np.arange(24) - EDGE_PX + 0.5) > 3
    assert np.array_equal(sharpened[:, sides], corner()[:, sides])


def test_a_curved_surface_stays_as_it_is_under_any_texture():
    y, x = np.mgrid[-1:1:48j, -1:1:48j] * 0.7
    sphere = np.stack([x, -y, np.sqrt(1 - x * x - y * y)], axis=-1).astype(np.float32)
    texture = np.random.default_rng(0).integers(0, 256, sphere.shape).astype(np.uint8)
    assert np.array_equal(sharpen_normals(sphere, texture), sphere)


def test_the_unknown_stays_unknown_and_lends_nothing():
    holed = corner(blur_px=1.0)
    holed[5:9] = 0
    sharpened = sharpen_normals(holed, photograph())
    assert not sharpened[5:9].any()
    known = np.ones(24, bool)
    known[5:9] = False
    np.testing.assert_allclose(np.linalg.norm(sharpened[known], axis=-1), 1, atol=1e-5)


def test_sizes_must_match():
    with pytest.raises(ValueError, match="one size, found"):
        sharpen_normals(corner(), photograph()[:-1])

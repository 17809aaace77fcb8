"""Procedural scenes: exact geometry against closed forms, and reproducibility."""

import math

import numpy as np
import pytest
import torch

from teacher.scenes.builder import Frame, SceneBuilder, pack, rotation
from teacher.scenes.layout import build_scene
from teacher.scenes.materials import Material
from teacher.scenes.objects import CLASSES, OBJECTS, SKY
from teacher.scenes.primitives import Kind, local_normal, nearest_hit, occluded
from teacher.scenes.render import render_scenes

WHITE = Material((1, 1, 1), (1, 1, 1))
PLACES = {
    Kind.BOX: {"half_m": (1.0, 0.5, 0.25)},
    Kind.ELLIPSOID: {"half_m": (1.0, 0.5, 0.25)},
    Kind.FRUSTUM: {"half_m": (0.5, 1.0, 0.5), "shape": 0.4},
    Kind.TORUS: {"half_m": (0.8, 0.8, 0.8), "shape": 0.3},
}


def single(kind: Kind, **where):
    scene = SceneBuilder()
    frame = Frame(0.3, -4.0, 25.0)
    scene.add(kind, 1, WHITE, center_m=(0, 0.2, 0), frame=frame, **{**PLACES[kind], **where})
    return pack([scene])


def fan_of_rays(count: int = 4000) -> torch.Tensor:
    """Directions (1, 3, R) around -z, not of unit length."""
    generator = torch.Generator().manual_seed(1)
    spread = torch.rand(1, 2, count, generator=generator) * 0.8 - 0.4
    return torch.cat([spread, -torch.ones(1, 1, count)], 1)


def implicit(kind: Kind, p: np.ndarray, shape: float) -> np.ndarray:
    """A function that is zero on the unit shape's surface, written apart from the caster."""
    x, y, z = p.T
    if kind is Kind.BOX:
        return np.abs(p).max(1) - 1
    if kind is Kind.ELLIPSOID:
        return np.sqrt(x**2 + y**2 + z**2) - 1
    if kind is Kind.FRUSTUM:
        radius = 1 + (shape - 1) * (y + 1) / 2
        return np.maximum(np.hypot(x, z) - radius, np.abs(y) - 1)
    return np.hypot(np.hypot(x, z) - 1, y) - shape


@pytest.mark.parametrize("kind", list(Kind))
def test_hits_lie_on_the_surface_and_nothing_lies_before_them(kind):
    primitives = single(kind)
    direction = fan_of_rays()
    t, _ = nearest_hit(primitives, torch.zeros(1, 3, 1), direction)
    seen = t[0].isfinite()
    assert 0.02 < seen.float().mean() < 0.9
    to_local = primitives.world_to_local[0, primitives.kinds[kind]][0].double().numpy()
    shape = PLACES[kind].get("shape", 1.0)

    def surface(at: np.ndarray) -> np.ndarray:
        world = (at * direction[0].double().numpy()[:, seen.numpy()]).T
        return implicit(kind, world @ to_local[:, :3].T + to_local[:, 3], shape)

    hit = t[0, seen].double().numpy()
    assert np.abs(surface(hit)).max() < 2e-4
    before = [surface(hit * share) for share in np.linspace(0.3, 0.99, 40)]
    assert np.min(before) > 0


@pytest.mark.parametrize("kind", list(Kind))
def test_a_ray_that_misses_passes_outside_everywhere(kind):
    primitives = single(kind)
    direction = fan_of_rays()
    t, _ = nearest_hit(primitives, torch.zeros(1, 3, 1), direction)
    missed = ~t[0].isfinite().numpy()
    to_local = primitives.world_to_local[0, primitives.kinds[kind]][0].double().numpy()
    ways = direction[0].double().numpy()[:, missed]
    nearest = min(
        implicit(
            kind,
            (at * ways).T @ to_local[:, :3].T + to_local[:, 3],
            PLACES[kind].get("shape", 1.0),
        ).min()
        for at in np.linspace(2.5, 6, 200)
    )
    assert nearest > -5e-3  # steps of the scan may graze the surface


def test_local_normals_are_the_gradient_of_the_surface():
    rng = np.random.default_rng(0)
    for kind in Kind:
        shape = PLACES[kind].get("shape", 1.0)
        direction = rng.normal(size=(300, 3))
        inner, outer = np.zeros(300), np.full(300, 3.0)
        start = np.array([1.0, 0, 0]) * (kind is Kind.TORUS)  # inside the tube
        for _ in range(60):  # bisection onto the surface
            middle = (inner + outer) / 2
            inside = implicit(kind, start + middle[:, None] * direction, shape) < 0
            inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
        points = start + inner[:, None] * direction
        eps = 1e-5
        gradient = np.stack(
            [
                implicit(kind, points + eps * axis, shape)
                - implicit(kind, points - eps * axis, shape)
                for axis in np.eye(3)
            ],
            1,
        )
        gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
        normal = local_normal(
            torch.full((300,), int(kind)),
            torch.from_numpy(points),
            torch.full((300,), shape, dtype=torch.float64),
        ).numpy()
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        agree = (normal * gradient).sum(1)
        assert np.mean(agree > 0.999) > 0.97, kind  # edges have no gradient


def test_shadow_rays_are_blocked_by_what_stands_between():
    primitives = single(Kind.ELLIPSOID, half_m=(0.5, 0.5, 0.5))
    target = torch.tensor([[[0.3], [0.2], [-8.0]]])
    origins = torch.tensor([[[0.3, 3.0], [0.2, 0.2], [0.0, 0.0]]])
    assert occluded(primitives, origins, target).tolist() == [[True, False]]


def test_ground_depth_follows_from_camera_height_and_pitch():
    """On a flat floor, depth along the axis is height / (slope of the ray below the horizon)."""
    for seed in range(40):
        scene = build_scene(seed)
        if scene.outdoor:
            break
    batch = render_scenes([seed], 64)
    ground = (batch.segment[0] == CLASSES.index("ground")) & (batch.instance[0] == 0)
    v, u = np.nonzero(ground)
    fx, fy, cx, cy = batch.intrinsics[0]
    ways = np.stack([(u + 0.5 - cx) / fx, -(v + 0.5 - cy) / fy, -np.ones(len(u))], 1)
    down = (ways @ scene.look.camera_to_world.T)[:, 1]
    expected = -scene.look.position_m[1] / down
    assert len(u) > 300
    np.testing.assert_allclose(batch.depth_m[0][ground], expected, rtol=2e-3)


def test_normals_agree_with_depth():
    """Cross products of neighbouring points give the same normals away from edges."""
    batch = render_scenes([11, 12, 13], 96)
    for depth, normal, (fx, fy, cx, cy) in zip(batch.depth_m, batch.normal, batch.intrinsics):
        v, u = np.indices(depth.shape) + 0.5
        depth = np.where(np.isfinite(depth), depth, 1e4)
        points = np.stack([(u - cx) / fx * depth, -(v - cy) / fy * depth, -depth], -1)
        right = points[1:-1, 2:] - points[1:-1, :-2]
        up = points[:-2, 1:-1] - points[2:, 1:-1]
        cross = np.cross(right, up)
        cross /= np.linalg.norm(cross, axis=-1, keepdims=True)
        inner = depth[1:-1, 1:-1]
        agree = (cross * normal[1:-1, 1:-1]).sum(-1)[inner < 20]
        assert np.median(agree) > 0.999
        assert np.mean(agree > 0.99) > 0.6


def test_a_scene_is_the_same_in_any_batch():
    alone = render_scenes([5], 48)
    together = render_scenes([3, 5, 8], 48)
    np.testing.assert_array_equal(alone.rgb[0], together.rgb[1])
    np.testing.assert_array_equal(alone.depth_m[0], together.depth_m[1])
    np.testing.assert_array_equal(alone.instance[0], together.instance[1])


def test_scenes_differ_and_use_every_class():
    batch = render_scenes(range(60), 32)
    assert len({image.tobytes() for image in batch.rgb}) == 60
    assert set(np.unique(batch.segment)) == set(range(len(CLASSES)))


def test_planes_have_their_stated_form():
    batch = render_scenes([0, 1], (24, 40), difficulty=1.0)
    assert batch.rgb.shape == (2, 24, 40, 3)
    assert batch.rgb.dtype == batch.segment.dtype == np.uint8
    assert batch.depth_m.dtype == batch.normal.dtype == np.float32
    assert batch.instance.dtype == np.uint16
    sky = batch.segment == SKY
    assert np.isinf(batch.depth_m[sky]).all()
    assert np.isfinite(batch.depth_m[~sky]).all()
    assert (batch.normal[sky] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(batch.normal[~sky], axis=-1), 1, atol=1e-5)
    assert batch.rgb.std() > 10


def test_surfaces_face_the_camera():
    batch = render_scenes(range(6), 48)
    for depth, normal, (fx, fy, cx, cy) in zip(batch.depth_m, batch.normal, batch.intrinsics):
        v, u = np.indices(depth.shape) + 0.5
        way = np.stack([(u - cx) / fx, -(v - cy) / fy, -np.ones_like(u)], -1)
        facing = (way * normal).sum(-1)[np.isfinite(depth)]
        assert (facing < 1e-3).all()


def test_difficulty_adds_objects():
    def objects(difficulty: float) -> float:
        return float(np.mean([build_scene(s, difficulty).builder.instance for s in range(80)]))

    assert objects(1.0) > objects(0.0) + 0.5


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_stand_on_the_ground_within_their_height(name):
    rng = np.random.default_rng(4)
    for _ in range(20):
        scene = SceneBuilder()
        OBJECTS[name](scene, Frame(0, 0), rng, lambda typical: typical(rng))
        primitives = pack([scene])
        centers, reaches = [], []
        for index in range(primitives.shape.shape[1]):
            linear = primitives.world_to_local[0, index, :, :3].double()
            center = -torch.linalg.solve(linear, primitives.world_to_local[0, index, :, 3].double())
            extent = torch.linalg.inv(linear)[1].abs()
            centers.append(center[1].item())
            reaches.append(extent.sum().item())
        lowest = min(c - r for c, r in zip(centers, reaches))
        assert -0.75 < lowest < 0.12  # corners of a leaning ring's bounding box may reach lower


def test_rotation_is_right_handed_with_y_up():
    np.testing.assert_allclose(rotation(90) @ [0, 0, -1], [-1, 0, 0], atol=1e-12)
    assert math.isclose(np.linalg.det(rotation(10, 20, 30)), 1)


@pytest.mark.parametrize(
    ("seeds", "size", "difficulty"), [([], 32, 0.5), ([1], 4, 0.5), ([1], 32, 1.5)]
)
def test_bad_requests_are_refused(seeds, size, difficulty):
    with pytest.raises(ValueError, match="difficulty"):
        render_scenes(seeds, size, difficulty)

"""Augmentation against analytic scenes: a plane and a sphere seen by a known camera."""

import math

import pytest
import torch
from torch import Tensor

from distill.augment import augment, flip, random_windows, vary_exposure, zoom
from distill.samples import Batch

SIZE_PX = 64
FOCAL_PX = 60.0


def rays(intrinsics: Tensor) -> Tensor:
    """Directions (B, 3, H, W) of the pixels' rays at z = -1 (x right, y up, z to the camera)."""
    centres = torch.arange(SIZE_PX) + 0.5
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    x = ((centres[None, None, :] - cx) / fx).expand(-1, SIZE_PX, -1)
    y = (-(centres[None, :, None] - cy) / fy).expand(-1, -1, SIZE_PX)
    return torch.stack([x, y, -torch.ones_like(x)], dim=1)


def camera(cx: float = 30.0, cy: float = 35.0) -> Tensor:
    return torch.tensor([[FOCAL_PX, FOCAL_PX, cx, cy]])


def plane_scene(intrinsics: Tensor) -> Batch:
    """The plane n.p = d: metres along the axis, and one normal everywhere."""
    normal = torch.tensor([0.4, 0.5, 0.768])
    normal = normal / normal.norm()
    offset_m = -2.0
    depth = offset_m / torch.einsum("c,bchw->bhw", normal, rays(intrinsics))
    normals = normal[None, :, None, None].expand(1, 3, SIZE_PX, SIZE_PX)
    return make_batch(depth, normals, intrinsics)


def sphere_scene(intrinsics: Tensor) -> Batch:
    """A sphere before a sky: depth inf and no normal where a ray passes it by."""
    centre, radius_m = torch.tensor([0.2, -0.1, -5.0]), 1.5
    direction = rays(intrinsics)
    a = direction.square().sum(1)
    b = torch.einsum("c,bchw->bhw", centre, direction)
    root = b.square() - a * (centre.square().sum() - radius_m**2)
    hit = root > 0
    depth = torch.where(hit, (b - root.clamp_min(0).sqrt()) / a, math.inf)
    points = direction * torch.where(hit, depth, 1.0)[:, None]
    normals = (points - centre[None, :, None, None]) / radius_m * hit[:, None]
    return make_batch(depth, normals, intrinsics)


def make_batch(depth: Tensor, normal: Tensor, intrinsics: Tensor) -> Batch:
    count = len(depth)
    return Batch(
        keys=tuple(f"k{i}" for i in range(count)),
        images=depth.nan_to_num(posinf=9.0)[:, None].expand(-1, 3, -1, -1) / 10,
        labels={
            "depth": depth,
            "normal": normal.clone(),
            "segment": depth.isfinite().long(),
        },
        confidence=torch.rand(count, 3, SIZE_PX // 4, SIZE_PX // 4),
        intrinsics=intrinsics,
    )


@pytest.mark.parametrize("scene", [plane_scene, sphere_scene])
def test_a_flipped_scene_is_the_scene_that_the_mirrored_camera_sees(scene) -> None:
    """Mirroring the world (x to -x) and flipping the picture give the same depth and normals."""
    flipped = flip(scene(camera()), torch.tensor([True]))
    assert flipped.intrinsics.tolist() == [[FOCAL_PX, FOCAL_PX, SIZE_PX - 30.0, 35.0]]
    mirrored_points = points_of(flipped) * torch.tensor([-1.0, 1.0, 1.0])[None, :, None, None]
    original = scene(camera())
    torch.testing.assert_close(mirrored_points.flip(-1), points_of(original), equal_nan=True)
    mirrored = original.labels["normal"].flip(-1) * torch.tensor([-1.0, 1, 1])[None, :, None, None]
    torch.testing.assert_close(flipped.labels["normal"], mirrored)


def points_of(batch: Batch) -> Tensor:
    """Points (B, 3, H, W) in metres, by depth and intrinsics; NaN in the sky."""
    depth = batch.labels["depth"]
    return rays(batch.intrinsics) * torch.where(depth.isfinite(), depth, math.nan)[:, None]


def test_flip_twice_is_nothing_and_only_the_chosen_are_flipped() -> None:
    batch = sphere_scene(camera())
    both = Batch(
        keys=("a", "b"),
        images=batch.images.repeat(2, 1, 1, 1),
        labels={task: torch.cat([plane, plane]) for task, plane in batch.labels.items()},
        confidence=batch.confidence.repeat(2, 1, 1, 1),
        intrinsics=batch.intrinsics.repeat(2, 1),
    )
    once = flip(both, torch.tensor([True, False]))
    assert torch.equal(once.images[1], both.images[1])
    assert torch.equal(once.images[0], both.images[0].flip(-1))
    twice = flip(once, torch.tensor([True, False]))
    assert torch.equal(twice.images, both.images)
    assert torch.equal(twice.labels["normal"], both.labels["normal"])
    assert torch.equal(twice.confidence, both.confidence)


@pytest.mark.parametrize("scene", [plane_scene, sphere_scene])
def test_a_zoomed_scene_is_the_same_scene_through_a_longer_lens(scene) -> None:
    """Labels of the window equal those rendered anew with the window's intrinsics."""
    factor, centre = torch.tensor([2.0]), torch.tensor([[0.4, 0.55]])
    zoomed = zoom(scene(camera()), factor, centre)
    assert zoomed.intrinsics[0, :2].tolist() == [2 * FOCAL_PX, 2 * FOCAL_PX]
    rendered = scene(zoomed.intrinsics)
    both = zoomed.labels["depth"].isfinite() & rendered.labels["depth"].isfinite()
    assert both.float().mean() > 0.2
    agree = zoomed.labels["depth"].isfinite() == rendered.labels["depth"].isfinite()
    assert agree.float().mean() > 0.97  # the outline moves by less than a pixel
    near = (zoomed.labels["depth"] / rendered.labels["depth"])[both]
    assert (near - 1).abs().median() < 0.01  # nearest pixel, half a pixel off
    cosine = (zoomed.labels["normal"] * rendered.labels["normal"]).sum(1)[both]
    assert cosine.median() > 0.999


def test_a_zoom_by_one_changes_nothing() -> None:
    batch = sphere_scene(camera())
    same = zoom(batch, torch.tensor([1.0]), torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(same.images, batch.images)
    for task, plane in batch.labels.items():
        assert torch.equal(same.labels[task], plane), task
        assert same.labels[task].dtype == plane.dtype
    assert torch.equal(same.intrinsics, batch.intrinsics)


def test_windows_stay_within_the_image_and_below_the_longest_lens() -> None:
    batch = plane_scene(camera())
    many = batch._replace(
        images=batch.images.expand(500, -1, -1, -1), intrinsics=batch.intrinsics.expand(500, -1)
    )
    longest = 1.5 * FOCAL_PX / SIZE_PX
    factor, centre = random_windows(many, 4.0, longest, torch.Generator().manual_seed(0))
    assert factor.min() >= 1
    assert 1.4 < factor.max() <= 1.5
    half = 0.5 / factor[:, None]
    assert ((centre - half) >= -1e-6).all()
    assert ((centre + half) <= 1 + 1e-6).all()


def test_a_photograph_of_an_unknown_camera_is_not_zoomed() -> None:
    batch = plane_scene(camera())._replace(intrinsics=torch.full((1, 4), math.nan))
    generator = torch.Generator().manual_seed(0)
    factor, centre = random_windows(batch, 4.0, math.nan, generator)
    assert factor.tolist() == [1.0]
    assert centre.tolist() == [[0.5, 0.5]]
    varied = augment(batch, jitter=0.0, max_zoom=4.0, longest_focal=math.nan, generator=generator)
    assert sorted(varied.labels["depth"].flatten().tolist()) == sorted(
        batch.labels["depth"].flatten().tolist()
    )


def test_exposure_varies_the_image_and_leaves_the_batch_s_labels_alone() -> None:
    batch = sphere_scene(camera())
    generator = torch.Generator().manual_seed(7)
    images = vary_exposure(batch.images, 0.5, generator)
    assert not torch.equal(images, batch.images)
    assert images.min() >= 0
    assert images.max() <= 1
    varied = augment(
        batch,
        jitter=0.5,
        max_zoom=1.0,
        longest_focal=1.0,
        generator=torch.Generator().manual_seed(1),
    )
    plain = augment(
        batch,
        jitter=0.0,
        max_zoom=1.0,
        longest_focal=1.0,
        generator=torch.Generator().manual_seed(1),
    )
    assert not torch.equal(varied.images, plain.images)
    for task in batch.labels:
        assert torch.equal(varied.labels[task], plain.labels[task])


def test_the_input_batch_is_not_changed() -> None:
    batch = sphere_scene(camera())
    before = {task: plane.clone() for task, plane in batch.labels.items()}
    flip(batch, torch.tensor([True]))
    zoom(batch, torch.tensor([2.0]), torch.tensor([[0.5, 0.5]]))
    assert all(torch.equal(before[task], batch.labels[task]) for task in before)


def test_the_same_generator_gives_the_same_batch() -> None:
    def once() -> Batch:
        generator = torch.Generator().manual_seed(5)
        return augment(
            sphere_scene(camera()),
            jitter=0.2,
            max_zoom=1.5,
            longest_focal=2.0,
            generator=generator,
        )

    assert torch.equal(once().images, once().images)
    assert torch.equal(once().labels["depth"], once().labels["depth"])

"""Augmentation against analytic scenes: a plane and a sphere seen by a known camera."""

import math

import pytest
import torch
from torch import Tensor

from distill.augment import DRAWS, augment, flip, rescale, rolls, vary_exposure, warp, windows
from distill.losses import IGNORE_INDEX
from distill.samples import Batch
from distill.settings import Augmentation

SIZE_PX = 64
FOCAL_PX = 60.0


def rays(intrinsics: Tensor, size_px: int = SIZE_PX) -> Tensor:
    """Directions (B, 3, H, W) of the pixels' rays at z = -1 (x right, y up, z to the camera)."""
    centres = torch.arange(size_px) + 0.5
    fx, fy, cx, cy = intrinsics[:, :, None, None].unbind(1)
    x = ((centres[None, None, :] - cx) / fx).expand(-1, size_px, -1)
    y = (-(centres[None, :, None] - cy) / fy).expand(-1, -1, size_px)
    return torch.stack([x, y, -torch.ones_like(x)], dim=1)


def camera(cx: float = 30.0, cy: float = 35.0) -> Tensor:
    return torch.tensor([[FOCAL_PX, FOCAL_PX, cx, cy]])


def rolled(vector: Tensor, roll_deg: float) -> Tensor:
    """A vector as a camera sees it whose picture is turned clockwise by the angle."""
    angle = math.radians(roll_deg)
    x, y, z = vector.tolist()
    cosine, sine = math.cos(angle), math.sin(angle)
    return torch.tensor([cosine * x + sine * y, cosine * y - sine * x, z])


def plane_scene(intrinsics: Tensor, *, roll_deg: float = 0, size_px: int = SIZE_PX) -> Batch:
    """The plane n.p = d: metres along the axis, and one normal everywhere."""
    normal = rolled(torch.tensor([0.4, 0.5, 0.768]), roll_deg)
    normal = normal / normal.norm()
    offset_m = -2.0
    depth = offset_m / torch.einsum("c,bchw->bhw", normal, rays(intrinsics, size_px))
    normals = normal[None, :, None, None].expand(1, 3, size_px, size_px)
    return make_batch(depth, normals, intrinsics)


def sphere_scene(intrinsics: Tensor, *, roll_deg: float = 0, size_px: int = SIZE_PX) -> Batch:
    """A sphere before a sky: depth inf and no normal where a ray passes it by."""
    centre, radius_m = rolled(torch.tensor([0.2, -0.1, -5.0]), roll_deg), 1.5
    direction = rays(intrinsics, size_px)
    a = direction.square().sum(1)
    b = torch.einsum("c,bchw->bhw", centre, direction)
    root = b.square() - a * (centre.square().sum() - radius_m**2)
    hit = root > 0
    depth = torch.where(hit, (b - root.clamp_min(0).sqrt()) / a, math.inf)
    points = direction * torch.where(hit, depth, 1.0)[:, None]
    normals = (points - centre[None, :, None, None]) / radius_m * hit[:, None]
    return make_batch(depth, normals, intrinsics)


def make_batch(depth: Tensor, normal: Tensor, intrinsics: Tensor) -> Batch:
    count, coarse = len(depth), depth.shape[-1] // 4
    return Batch(
        keys=tuple(f"k{i}" for i in range(count)),
        images=depth.nan_to_num(posinf=9.0)[:, None].expand(-1, 3, -1, -1) / 10,
        labels={
            "depth": depth,
            "normal": normal.clone(),
            "segment": depth.isfinite().long(),
        },
        confidence=torch.rand(count, 3, coarse, coarse),
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


def assert_same_scene(found: Batch, rendered: Batch, *, tolerance: float = 0.01) -> None:
    """Depth and normals agree where both know them, but for the nearest pixel being half off."""
    known = ~found.labels["depth"].isnan()
    assert known.float().mean() > 0.5
    hit = found.labels["depth"].isfinite() & rendered.labels["depth"].isfinite()
    assert hit.float().mean() > 0.15
    is_hit = (found.labels["depth"].isfinite() == rendered.labels["depth"].isfinite())[known]
    assert is_hit.float().mean() > 0.97  # the outline moves by less than a pixel
    near = (found.labels["depth"] / rendered.labels["depth"])[hit]
    assert (near - 1).abs().median() < tolerance
    cosine = (found.labels["normal"] * rendered.labels["normal"]).sum(1)[hit]
    assert cosine.median() > 0.999


def warped(batch: Batch, factor: float = 1.0, roll_deg: float = 0.0) -> Batch:
    roll = torch.tensor([math.radians(roll_deg)])
    return warp(batch, torch.tensor([factor]), torch.tensor([[0.45, 0.55]]), roll)


@pytest.mark.parametrize("scene", [plane_scene, sphere_scene])
def test_a_zoomed_scene_is_the_same_scene_through_a_longer_lens(scene) -> None:
    """Labels of the window equal those rendered anew with the window's intrinsics."""
    zoomed = warped(scene(camera()), 2.0)
    assert zoomed.intrinsics[0, :2].tolist() == [2 * FOCAL_PX, 2 * FOCAL_PX]
    assert_same_scene(zoomed, scene(zoomed.intrinsics))


@pytest.mark.parametrize("scene", [plane_scene, sphere_scene])
@pytest.mark.parametrize(("factor", "roll_deg"), [(1.0, 25.0), (1.0, -10.0), (1.4, 40.0)])
def test_a_turned_scene_is_the_scene_that_a_rolled_camera_sees(
    scene, factor: float, roll_deg: float
) -> None:
    """Around the window's centre, which is not the principal point: that one moves along."""
    turned = warped(scene(camera()), factor, roll_deg)
    assert_same_scene(turned, scene(turned.intrinsics, roll_deg=roll_deg))


def test_what_a_turned_picture_does_not_show_is_unknown() -> None:
    turned = warped(sphere_scene(camera()), roll_deg=45)
    unknown = turned.labels["depth"].isnan()
    assert 0.1 < unknown.float().mean() < 0.3
    assert unknown[0, 0, 0]
    assert (turned.labels["segment"] == IGNORE_INDEX).equal(unknown)
    assert not turned.labels["normal"].norm(dim=1)[unknown].any()
    assert not turned.confidence[0, :, 0, 0].any()
    assert turned.images.isfinite().all()


def test_a_picture_turned_forth_and_back_is_itself_in_the_middle() -> None:
    batch = plane_scene(camera())
    centre, roll = torch.tensor([[0.5, 0.5]]), torch.tensor([math.radians(30)])
    both = warp(warp(batch, torch.ones(1), centre, roll), torch.ones(1), centre, -roll)
    torch.testing.assert_close(both.intrinsics, batch.intrinsics)
    torch.testing.assert_close(
        both.labels["normal"][..., 32, 32], batch.labels["normal"][..., 0, 0]
    )


@pytest.mark.parametrize("scene", [plane_scene, sphere_scene])
@pytest.mark.parametrize("size_px", [32, 96])
def test_a_picture_of_another_size_has_the_same_field_of_view(scene, size_px: int) -> None:
    resized = rescale(scene(camera()), (size_px, size_px))
    assert resized.images.shape[-2:] == (size_px, size_px)
    assert resized.confidence.shape[-2:] == (size_px // 4, size_px // 4)
    assert resized.labels["segment"].dtype == torch.int64
    assert_same_scene(resized, scene(resized.intrinsics, size_px=size_px), tolerance=0.02)


def test_a_picture_of_oblong_pixels_is_not_turned() -> None:
    """Turning it would need a skewed camera. Pixels of an unknown camera count as square."""
    batch = plane_scene(camera())
    oblong = torch.tensor([[60.0, 66.0, 32.0, 32.0], [60.0, 60.0, 32.0, 32.0], [math.nan] * 4])
    many = batch._replace(intrinsics=oblong)
    angles = rolls(many, 90, torch.ones(3))
    assert angles.tolist() == pytest.approx([0, math.pi / 2, math.pi / 2])


def test_a_warp_by_nothing_changes_nothing() -> None:
    batch = sphere_scene(camera())
    same = warp(batch, torch.ones(1), torch.tensor([[0.5, 0.5]]), torch.zeros(1))
    torch.testing.assert_close(same.images, batch.images)
    for task, plane in batch.labels.items():
        assert torch.equal(same.labels[task], plane), task
        assert same.labels[task].dtype == plane.dtype
    assert torch.equal(same.confidence, batch.confidence)
    assert torch.equal(same.intrinsics, batch.intrinsics)


def test_windows_stay_within_the_image_and_below_the_longest_lens() -> None:
    batch = plane_scene(camera())
    many = batch._replace(
        images=batch.images.expand(500, -1, -1, -1), intrinsics=batch.intrinsics.expand(500, -1)
    )
    longest = 1.5 * FOCAL_PX / SIZE_PX
    draws = torch.rand(500, 3, generator=torch.Generator().manual_seed(0))
    factor, centre = windows(many, 4.0, longest, draws)
    assert factor.min() >= 1
    assert 1.4 < factor.max() <= 1.5
    half = 0.5 / factor[:, None]
    assert ((centre - half) >= -1e-6).all()
    assert ((centre + half) <= 1 + 1e-6).all()


def test_metric_depth_of_an_unknown_camera_is_not_zoomed_affine_depth_is() -> None:
    batch = plane_scene(camera())._replace(intrinsics=torch.full((1, 4), math.nan))
    draws = torch.tensor([[1.0, 0.2, 0.7]])
    for longest in (math.nan, 2.0):
        factor, centre = windows(batch, 4.0, longest, draws)
        assert factor.tolist() == [1.0]
        assert centre.tolist() == [[0.5, 0.5]]
    assert windows(batch, 4.0, math.inf, draws)[0].tolist() == [4.0]


def test_exposure_is_brightness_contrast_and_saturation() -> None:
    """The one matrix says what the three steps say, each worked out by itself."""
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    draws = torch.tensor([[0.9, 0.2, 0.7], [0.1, 0.6, 0.0], [0.5, 0.5, 0.5]])
    brightness, contrast, saturation = (1 + 0.3 * (2 * draws - 1)).T[..., None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    varied = (images - mean) * contrast + mean * brightness
    gray = (varied * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    expected = (gray + (varied - gray) * saturation).clamp(0, 1)
    found = vary_exposure(images, 0.3, draws)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found[2], images[2])


def test_exposure_stays_in_range_and_touches_no_label() -> None:
    batch, draws = sphere_scene(camera()), torch.tensor([[0.1] * 5 + [1.0, 0.9, 0.8]])
    varied = augment(batch, Augmentation(jitter=0.5), draws, 1.0)
    plain = augment(batch, Augmentation(jitter=0.0), draws, 1.0)
    assert not torch.equal(varied.images, plain.images)
    assert varied.images.min() >= 0
    assert varied.images.max() <= 1
    for task in batch.labels:
        assert torch.equal(varied.labels[task], plain.labels[task])
    assert torch.equal(varied.confidence, plain.confidence)


def test_the_draws_decide_everything() -> None:
    settings = Augmentation(max_zoom=1.5, max_roll_deg=20)
    draws = torch.rand(1, DRAWS, generator=torch.Generator().manual_seed(5))
    batch = sphere_scene(camera())
    one, other = (augment(batch, settings, draws, 2.0) for _ in range(2))
    assert torch.equal(one.images, other.images)
    torch.testing.assert_close(one.labels["depth"], other.labels["depth"], equal_nan=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"jitter": 1.0}, "--augmentation.jitter must be 0 to below 1, got 1.0"),
        ({"max_zoom": 0.5}, "--augmentation.max_zoom must be at least 1, got 0.5"),
        ({"max_roll_deg": -1.0}, "--augmentation.max_roll_deg must be 0 to 180, got -1.0"),
        ({"scales": ()}, r"--augmentation.scales: expected numbers above 0, got \[\]"),
        (
            {"scales": (1.0, 0.0)},
            r"--augmentation.scales: expected numbers above 0, got \[1.0, 0.0",
        ),
    ],
)
def test_settings_out_of_range_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**fields)


def test_the_input_batch_is_not_changed() -> None:
    batch = sphere_scene(camera())
    before = {task: plane.clone() for task, plane in batch.labels.items()}
    images = batch.images.clone()
    flip(batch, torch.tensor([True]))
    warped(batch, 2.0, 20.0)
    vary_exposure(batch.images, 0.2, torch.rand(1, 3))
    assert all(torch.equal(before[task], batch.labels[task]) for task in before)
    assert torch.equal(images, batch.images)

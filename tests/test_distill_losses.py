"""Losses: values by hand, reduction per image, and gradients that stay finite."""

import math

import pytest
import torch
from torch import Tensor

from distill import depth_losses, losses, normal_losses, segment_losses
from distill.losses import IGNORE_INDEX
from distill.settings import NORMAL_KINDS


def plane(*rows: list[float]) -> Tensor:
    """One image of these rows: (1, H, W)."""
    return torch.tensor([rows])


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def vector(angle_deg: float) -> Tensor:
    """A unit vector so far from the optical axis: (1, 3, 1, 1)."""
    angle = math.radians(angle_deg)
    return torch.tensor([math.sin(angle), 0.0, math.cos(angle)]).view(1, 3, 1, 1)


def test_image_mean_weighs_pixels_and_forgives_an_empty_image() -> None:
    values = torch.tensor([[[1.0, 5.0]], [[7.0, 9.0]]])
    weight = torch.tensor([[[3.0, 1.0]], [[0.0, 0.0]]])
    assert losses.image_mean(values, weight).tolist() == [2.0, 0.0]


def test_batch_mean_counts_only_images_that_have_a_valid_pixel() -> None:
    weight = torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.1]]])
    assert losses.batch_mean(torch.tensor([1.0, 0.0, 5.0]), weight).item() == 3.0
    assert losses.batch_mean(torch.zeros(3), 0 * weight).item() == 0.0


def test_an_image_counts_once_however_few_of_its_pixels_are_valid() -> None:
    """Pooled over pixels this would be 10/5 = 2; per image it is (0 + 10) / 2."""
    error = torch.tensor([[[0.0, 0.0, 0.0, 0.0]], [[10.0, 99.0, 99.0, 99.0]]])
    weight = torch.tensor([[[1.0, 1.0, 1.0, 1.0]], [[1.0, 0.0, 0.0, 0.0]]])
    mean = losses.batch_mean(losses.image_mean(error, weight), weight)
    assert mean.item() == pytest.approx(5.0)


def test_the_largest_values_of_each_image_are_dropped() -> None:
    """A quarter of each image by itself: the second one's values are all larger."""
    values = torch.tensor([[[1.0, 2.0, 3.0, 4.0]], [[10.0, 40.0, 30.0, 20.0]]])
    weight = torch.tensor([[[0.5, 1.0, 1.0, 1.0]], [[1.0, 1.0, 1.0, 1.0]]])
    kept = losses.drop_largest(values, weight, 0.25)
    assert kept.tolist() == [[[0.5, 1.0, 1.0, 0.0]], [[1.0, 0.0, 1.0, 1.0]]]


def test_only_valid_pixels_are_counted_and_dropped() -> None:
    values, weight = plane([9.0, 1.0, 2.0, math.nan]), plane([0.0, 1.0, 1.0, 0.0])
    assert losses.drop_largest(values, weight, 0.5).tolist() == [[[0.0, 1.0, 0.0, 0.0]]]
    assert losses.drop_largest(values, 0 * weight, 0.5).tolist() == [[[0.0] * 4]]
    assert losses.drop_largest(values, weight, 0.0) is weight


def test_of_equal_values_none_is_dropped() -> None:
    assert losses.drop_largest(ones(1, 2, 2), ones(1, 2, 2), 0.5).sum() == 4


def test_log_ratio_by_hand_with_sky_and_unknown_masked() -> None:
    target = plane([2.0, math.inf, math.nan])
    weight = plane([1.0, 0.0, 0.0])
    error = depth_losses.log_ratio(plane([4.0, 4.0, 4.0]), target, weight)
    assert error.tolist() == [[[pytest.approx(math.log(2)), 0.0, 0.0]]]


def test_silog_by_hand() -> None:
    """Errors 1 and 3: mean 2, mean of squares 5."""
    error = plane([1.0, 3.0])
    for focus, expected in ((0.0, 5.0), (0.5, 3.0), (1.0, 1.0)):
        value = depth_losses.silog(error, ones(1, 1, 2), focus).item()
        assert value == pytest.approx(math.sqrt(expected), abs=2e-3)


@pytest.mark.parametrize("focus", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_silog_of_perfect_shape_has_a_finite_gradient(focus: float, scale: float) -> None:
    """Rounding may leave a variance below zero when all of the mean is forgiven."""
    error = torch.full((1, 5, 7), math.log(scale), requires_grad=True)
    value = depth_losses.silog(error, ones(1, 5, 7), focus)
    value.sum().backward()
    assert value.item() == pytest.approx(math.sqrt(1 - focus) * math.log(scale), abs=1e-3)
    assert error.grad is not None
    assert error.grad.isfinite().all()


def test_silog_of_full_focus_ignores_the_scale_of_each_image_by_itself() -> None:
    """Two images, wrong by factors of 2 and 1/2: a mean over the batch would keep the error."""
    scales = torch.tensor([math.log(2), -math.log(2)])[:, None, None]
    error = scales.expand(2, 3, 3)
    weight = ones(2, 3, 3)
    assert depth_losses.silog(error, weight, 1.0).abs().max().item() < 1e-6
    pooled = (error.square().mean() - error.mean() ** 2).sqrt()
    assert pooled.item() == pytest.approx(math.log(2))


def test_relative_error_by_hand() -> None:
    error = depth_losses.log_ratio(plane([3.0, 1.0]), plane([2.0, 2.0]), ones(1, 1, 2))
    torch.testing.assert_close(depth_losses.relative_error(error), plane([0.5, 0.5]))


def test_sky_costs_nothing_from_100_m_on() -> None:
    error = depth_losses.sky_error(plane([10.0, 100.0, 900.0]))
    assert error.tolist() == [[[pytest.approx(math.log(10)), 0.0, 0.0]]]


def test_gradient_matching_by_hand() -> None:
    """One scale of a 2 x 2 map: |dx| = 2 and 4, |dy| = 1 and 3."""
    error = plane([0.0, 2.0], [1.0, 5.0])
    value = losses.gradient_matching(error, ones(1, 2, 2), scales=1)
    assert value.item() == pytest.approx((2 + 4) / 2 + (1 + 3) / 2)


def test_gradient_matching_ignores_a_constant_and_grows_with_scale() -> None:
    constant = torch.full((1, 16, 16), 3.0)
    assert losses.gradient_matching(constant, ones(1, 16, 16)).item() == 0
    ramp = torch.arange(16.0).expand(1, 16, 16)
    # steps of 1, 2, 4, 8 pixels along one axis
    assert losses.gradient_matching(ramp, ones(1, 16, 16)).item() == pytest.approx(15 / 4)


def test_gradient_matching_does_not_cross_into_pixels_without_a_label() -> None:
    error, weight = plane([1.0, 1.0, 99.0]), plane([1.0, 1.0, 0.0])
    assert losses.gradient_matching(error, weight, scales=1).item() == 0


@pytest.mark.parametrize("groups", [(1,), (1, 2, 4)])
def test_affine_losses_ignore_scale_and_shift_of_each_image(groups: tuple[int, ...]) -> None:
    target, weight = noise(2, 8, 8), ones(2, 8, 8)
    scales, shifts = torch.tensor([3.0, 0.1]), torch.tensor([-1.0, 5.0])
    predicted = target * scales[:, None, None] + shifts[:, None, None]
    assert depth_losses.hybrid_error(predicted, target, weight, groups).max().item() < 1e-4
    assert depth_losses.hybrid_error(1 - target, target, weight, groups).mean().item() > 0.5


def test_one_group_is_the_plain_affine_error() -> None:
    predicted, target, weight = noise(2, 6, 6), noise(2, 6, 6, seed=1), ones(2, 6, 6)
    plain = depth_losses.affine_error(predicted, target, weight).abs()
    torch.testing.assert_close(
        depth_losses.hybrid_error(predicted, target, weight, (1,)), plain, rtol=0, atol=0
    )


def test_groups_forgive_a_shift_of_far_against_near() -> None:
    """Near and far surfaces, each right by itself, at a wrong distance from one another."""
    target = plane([0.0, 0.1, 0.2, 0.8, 0.9, 1.0])
    predicted = plane([0.0, 0.1, 0.2, 1.8, 1.9, 2.0])
    weight = ones(1, 1, 6)
    whole, halves = (
        depth_losses.hybrid_error(predicted, target, weight, (count,)).mean().item()
        for count in (1, 2)
    )
    assert whole > 0.1
    assert halves < 1e-5
    both = depth_losses.hybrid_error(predicted, target, weight, (1, 2)).mean().item()
    assert both == pytest.approx(whole / 2, abs=1e-5)


def test_affine_error_of_flat_and_of_empty_maps_is_finite() -> None:
    flat = torch.full((1, 4, 4), 0.3)
    unknown = torch.full((1, 4, 4), math.nan)
    for groups in ((1,), (1, 2, 4)):
        same = depth_losses.hybrid_error(flat, flat, ones(1, 4, 4), groups)
        empty = depth_losses.hybrid_error(flat, unknown, torch.zeros(1, 4, 4), groups)
        assert same.abs().max() == empty.abs().max() == 0


@pytest.mark.parametrize("angle_deg", [0.0, 1.0, 20.0, 90.0, 180.0])
def test_normal_errors_by_hand(angle_deg: float) -> None:
    angle = math.radians(angle_deg)
    expected = {"chord": 2 * math.sin(angle / 2), "cosine": 1 - math.cos(angle), "angle": angle}
    assert set(expected) == set(NORMAL_KINDS)
    for kind, wanted in expected.items():
        value = normal_losses.normal_error(vector(angle_deg), vector(0), kind).item()
        assert value == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("kind", NORMAL_KINDS)
@pytest.mark.parametrize("angle_deg", [0.0, 180.0])
def test_equal_and_opposite_vectors_have_a_finite_gradient(kind: str, angle_deg: float) -> None:
    normal = (1.0000001 * vector(angle_deg)).requires_grad_()
    normal_losses.normal_error(normal, vector(0), kind).sum().backward()
    assert normal.grad is not None
    assert normal.grad.isfinite().all()


def test_normal_errors_are_taken_in_float32() -> None:
    """In bfloat16, the cosine of 3 degrees is 1."""
    half = vector(3).bfloat16().float()
    value = normal_losses.normal_error(vector(3).bfloat16(), vector(0).bfloat16(), "angle")
    exact = normal_losses.normal_error(half, vector(0), "angle")
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item())


def test_gradient_matching_of_normals_by_hand() -> None:
    normal, target = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    normal[0, 0, 0, 1], normal[0, 2, 0, 1] = 3.0, -6.0
    value = normal_losses.normal_gradient(normal, target, ones(1, 1, 2))
    assert value.item() == pytest.approx((3 + 0 + 6) / 3 / 4)  # of four scales, one has a pair


INTRINSICS = torch.tensor([[20.0, 25.0, 9.0, 8.0]])


def planar_depth(normal: Tensor, distance_m: float = 5.0) -> Tensor:
    """Depth (1, 16, 18) of a plane whose normal is given in our axes."""
    fx, fy, cx, cy = INTRINSICS[0]
    x = ((torch.arange(18) + 0.5 - cx) / fx)[None, None, :]
    y = ((torch.arange(16) + 0.5 - cy) / fy)[None, :, None]
    n = normal / normal.norm()
    return -distance_m / (n[0] * x - n[1] * y - n[2])  # rays are (x, -y, -1) in our axes


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (-0.4, 0.2, 0.8)])
def test_normals_of_planes_are_exact_whatever_their_distance(normal: tuple[float, ...]) -> None:
    wanted = torch.tensor(normal) / torch.tensor(normal).norm()
    depth_m = planar_depth(wanted)
    assert depth_m.min() > 0
    for scale in (1, 7):
        found = normal_losses.depth_normals(scale * depth_m, INTRINSICS)
        assert (found - wanted.view(1, 3, 1, 1)).norm(dim=1).max().item() < 1e-4


def test_a_plane_agrees_with_its_normal_and_not_with_another() -> None:
    wanted = torch.tensor([-0.4, 0.2, 0.8])
    depth_m = planar_depth(wanted)
    normals = (wanted / wanted.norm()).view(1, 3, 1, 1).expand(1, 3, 16, 18)
    weight = ones(1, 16, 18)
    error, counted = normal_losses.consistency_error(depth_m, normals, depth_m, weight, INTRINSICS)
    assert counted.min() == 1
    assert error.max().item() < 1e-3
    other, _ = normal_losses.consistency_error(
        depth_m, vector(0).expand(1, 3, 16, 18), depth_m, weight, INTRINSICS
    )
    assert other.min().item() > 0.3


def test_consistency_does_not_count_edges_unknown_cameras_or_unknown_depth() -> None:
    depth_m = torch.full((2, 8, 8), 4.0)
    depth_m[:, :, 4:] = 6.0
    target_m = depth_m.clone()
    target_m[:, 0, 0] = math.nan
    weight = target_m.isfinite().float()
    cameras = torch.cat([INTRINSICS, torch.full((1, 4), math.nan)])
    error, counted = normal_losses.consistency_error(
        depth_m.requires_grad_(), vector(0).expand(2, 3, 8, 8), target_m, weight, cameras
    )
    assert counted[1].sum() == 0
    assert counted[0].sum(0).tolist() == [6, 6, 0, 0, 6, 6]  # columns 3 and 4 are the edge
    (error * counted).sum().backward()
    assert depth_m.grad is not None
    assert depth_m.grad.isfinite().all()


def test_segment_loss_by_hand_with_ignore() -> None:
    logits = torch.tensor([[[[0.0, 5.0]], [[math.log(3), 0.0]]]])  # (1, 2, 1, 2)
    target = torch.tensor([[[1, IGNORE_INDEX]]])
    value = segment_losses.cross_entropy(logits, target)
    assert value.tolist() == [[[pytest.approx(-math.log(3 / 4)), 0.0]]]


def test_dice_by_hand() -> None:
    """Of two pixels one is certain and right, the other is half right; one class is not there."""
    certain = 50.0
    logits = torch.tensor([[[[certain, 0.0]], [[0.0, 0.0]], [[0.0, -certain]]]])
    target = torch.tensor([[[0, 1]]])
    value = segment_losses.dice(logits, target, ones(1, 1, 2))
    first, second = 1 - 2 * 1 / (1.5 + 1), 1 - 2 * 0.5 / (0.5 + 1)
    assert value.item() == pytest.approx((first + second) / 2, abs=1e-5)


def test_dice_passes_over_ignored_pixels_and_empty_images() -> None:
    logits = noise(2, 3, 4, 4).requires_grad_()
    target = torch.full((2, 4, 4), IGNORE_INDEX)
    target[0, :2] = 1
    weight = (target != IGNORE_INDEX).float()
    value = segment_losses.dice(logits, target, weight)
    value.sum().backward()
    assert value[1] == 0
    assert logits.grad is not None
    assert logits.grad[0, :, 2:].abs().max() == logits.grad[1].abs().max() == 0
    assert logits.grad[0, :, :2].abs().min() > 0
    alone = segment_losses.dice(logits[:1], target[:1], weight[:1])
    assert value[0].item() == pytest.approx(alone.item())


def test_binary_cross_entropy_is_finite_at_both_ends() -> None:
    said = torch.tensor([0.5, 0.0, 1.0, 1.0], requires_grad=True)
    value = losses.binary_cross_entropy(said, torch.tensor([1.0, 1.0, 0.0, 1.0]))
    value.sum().backward()
    assert value[0].item() == pytest.approx(math.log(2))
    assert value[3].item() == pytest.approx(0, abs=1e-5)
    assert value.isfinite().all()
    assert said.grad is not None
    assert said.grad.isfinite().all()


def test_nothing_flows_back_from_pixels_without_weight() -> None:
    depth = noise(1, 4, 4, seed=1).requires_grad_()
    normal = torch.nn.functional.normalize(noise(1, 3, 4, 4, seed=2), dim=1).requires_grad_()
    target_m = torch.full((1, 4, 4), math.nan)
    target_m[:, :2] = 3.0
    weight = target_m.isfinite().float()
    error = depth_losses.log_ratio(depth, target_m, weight)
    total = depth_losses.silog(error, weight, 0.3) + losses.gradient_matching(error, weight)
    angle = normal_losses.normal_error(normal, torch.zeros(1, 3, 4, 4))
    (total + losses.image_mean(angle, weight)).sum().backward()
    for gradient in (depth.grad, normal.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient[..., 2:, :].abs().max() == 0
    assert depth.grad is not None
    assert depth.grad[:, :2].abs().min() > 0

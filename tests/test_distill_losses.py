"""Losses: values by hand, reduction per image, and gradients that stay finite."""

import math

import pytest
import torch
from torch import Tensor

from distill import losses
from distill.losses import IGNORE_INDEX


def plane(*rows: list[float]) -> Tensor:
    """One image of these rows: (1, H, W)."""
    return torch.tensor([rows])


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


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
    mean = losses.batch_mean(losses.absolute_error(error, weight), weight)
    assert mean.item() == pytest.approx(5.0)


def test_log_ratio_by_hand_with_sky_and_unknown_masked() -> None:
    target = plane([2.0, math.inf, math.nan])
    weight = plane([1.0, 0.0, 0.0])
    error = losses.log_ratio(plane([4.0, 4.0, 4.0]), target, weight)
    assert error.tolist() == [[[pytest.approx(math.log(2)), 0.0, 0.0]]]


def test_silog_by_hand() -> None:
    """Errors 1 and 3: mean 2, mean of squares 5."""
    error = plane([1.0, 3.0])
    for focus, expected in ((0.0, 5.0), (0.5, 3.0), (1.0, 1.0)):
        value = losses.silog(error, ones(1, 1, 2), focus).item()
        assert value == pytest.approx(math.sqrt(expected), abs=2e-3)


def test_silog_is_zero_for_a_perfect_prediction_and_its_gradient_is_finite() -> None:
    error = torch.zeros(1, 2, 2, requires_grad=True)
    value = losses.silog(error, ones(1, 2, 2), 0.5)
    value.sum().backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert error.grad is not None
    assert error.grad.isfinite().all()


def test_silog_of_full_focus_ignores_the_scale_of_each_image_by_itself() -> None:
    """Two images, wrong by factors of 2 and 1/2: a mean over the batch would keep the error."""
    scales = torch.tensor([math.log(2), -math.log(2)])[:, None, None]
    error = scales.expand(2, 3, 3)
    weight = ones(2, 3, 3)
    assert losses.silog(error, weight, 1.0).abs().max().item() < 1e-6
    pooled = (error.square().mean() - error.mean() ** 2).sqrt()
    assert pooled.item() == pytest.approx(math.log(2))


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


def test_affine_error_ignores_scale_and_shift_of_each_image() -> None:
    target = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    weight = ones(2, 8, 8)
    scales, shifts = torch.tensor([3.0, 0.1]), torch.tensor([-1.0, 5.0])
    predicted = target * scales[:, None, None] + shifts[:, None, None]
    assert losses.affine_error(predicted, target, weight).abs().max().item() < 1e-4
    assert losses.affine_error(1 - target, target, weight).abs().mean().item() > 0.5


def test_affine_error_of_flat_and_of_empty_maps_is_finite() -> None:
    flat = torch.full((1, 4, 4), 0.3)
    assert losses.affine_error(flat, flat, ones(1, 4, 4)).tolist() == torch.zeros(1, 4, 4).tolist()
    empty = losses.affine_error(flat, torch.full((1, 4, 4), math.nan), torch.zeros(1, 4, 4))
    assert empty.tolist() == torch.zeros(1, 4, 4).tolist()


@pytest.mark.parametrize("angle_deg", [0.0, 1.0, 20.0, 90.0, 180.0])
def test_normal_error_is_the_chord_of_the_angle(angle_deg: float) -> None:
    angle = math.radians(angle_deg)
    normal = torch.tensor([math.sin(angle), 0.0, math.cos(angle)]).view(1, 3, 1, 1)
    target = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    value = losses.normal_error(normal, target, ones(1, 1, 1)).item()
    assert value == pytest.approx(2 * math.sin(angle / 2), abs=0.01)


def test_normal_error_of_equal_vectors_has_a_finite_gradient() -> None:
    normal = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).requires_grad_()
    losses.normal_error(normal, normal.detach(), ones(1, 1, 1)).sum().backward()
    assert normal.grad is not None
    assert normal.grad.isfinite().all()


def test_segment_loss_by_hand_with_ignore() -> None:
    logits = torch.tensor([[[[0.0, 5.0]], [[math.log(3), 0.0]]]])  # (1, 2, 1, 2)
    target = torch.tensor([[[1, IGNORE_INDEX]]])
    value = losses.cross_entropy(logits, target, (target != IGNORE_INDEX).float())
    assert value.item() == pytest.approx(-math.log(3 / 4))


def test_nothing_flows_back_from_pixels_without_weight() -> None:
    generator = torch.Generator().manual_seed(1)
    depth = torch.rand(1, 4, 4, generator=generator).requires_grad_()
    normal = torch.randn(1, 3, 4, 4, generator=generator).requires_grad_()
    target_m = torch.full((1, 4, 4), math.nan)
    target_m[:, :2] = 3.0
    weight = target_m.isfinite().float()
    error = losses.log_ratio(depth, target_m, weight)
    total = losses.silog(error, weight, 0.3) + losses.gradient_matching(error, weight)
    (total + losses.normal_error(normal, torch.zeros(1, 3, 4, 4), weight)).sum().backward()
    for gradient in (depth.grad, normal.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient[..., 2:, :].abs().max() == 0
    assert depth.grad is not None
    assert depth.grad[:, :2].abs().min() > 0

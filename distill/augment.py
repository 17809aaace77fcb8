"""Augmentation that stays true to geometry: every label remains right for the picture it meets.

A mirrored camera sees mirrored normals (n_x changes its sign). A zoomed crop is the same scene
through a longer lens: metres along the optical axis and normals stay, the focal length in pixels
grows. How a picture was exposed changes no label at all.
"""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from distill.samples import Batch

GRAY_WEIGHTS = (0.299, 0.587, 0.114)


def augment(
    batch: Batch, *, jitter: float, max_zoom: float, longest_focal: float, generator: Generator
) -> Batch:
    """Mirror half of the images, zoom into those whose camera is known, and vary exposure.

    jitter: strength of `vary_exposure`, 0 = none. max_zoom: largest factor of a zoom, 1 = none.
    longest_focal: focal length over image width of the longest lens among the photographs; no zoom
    goes beyond it, so that the student meets no camera that the photographs do not have.
    """
    count = len(batch.images)
    batch = flip(batch, torch.rand(count, generator=generator) < 0.5)
    if max_zoom > 1:
        batch = zoom(batch, *random_windows(batch, max_zoom, longest_focal, generator))
    if jitter > 0:
        batch = batch._replace(images=vary_exposure(batch.images, jitter, generator))
    return batch


def flip(batch: Batch, chosen: Tensor) -> Batch:
    """Mirror the chosen (B,) images left to right, with all their labels.

    Its own inverse. n_x changes its sign, and the principal point moves to W - cx.
    """
    width = batch.images.shape[-1]
    labels = {task: _mirror(plane, chosen) for task, plane in batch.labels.items()}
    if "normal" in labels:
        labels["normal"][:, 0] *= torch.where(chosen, -1.0, 1.0)[:, None, None]
    fx, fy, cx, cy = batch.intrinsics.unbind(1)
    return batch._replace(
        images=_mirror(batch.images, chosen),
        labels=labels,
        confidence=_mirror(batch.confidence, chosen),
        intrinsics=torch.stack([fx, fy, torch.where(chosen, width - cx, cx), cy], dim=1),
    )


def _mirror(plane: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (plane.ndim - 1)), plane.flip(-1), plane)


def random_windows(
    batch: Batch, max_zoom: float, longest_focal: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Factors (B,) >= 1 and centres (B, 2) in 0..1 (x, y) of windows that lie within the image.

    A photograph whose camera is not known keeps the factor 1: its depth belongs to the lens that it
    was taken with, and how far it may be zoomed cannot be told.
    """
    count = len(batch.images)
    focal = batch.intrinsics[:, 0] / batch.images.shape[-1]
    limit = (longest_focal / focal).nan_to_num(1.0).clamp(1.0, max_zoom)
    factor = 1 + (limit - 1) * torch.rand(count, generator=generator)
    half = 0.5 / factor[:, None]
    return factor, half + (1 - 2 * half) * torch.rand(count, 2, generator=generator)


def zoom(batch: Batch, factor: Tensor, centre: Tensor) -> Batch:
    """Crop a window of 1/factor of each side around the centre, and enlarge it to the full size.

    factor: (B,) >= 1; centre: (B, 2) as (x, y) in 0..1. Photographs are interpolated, labels are
    taken from the nearest pixel, so that no two surfaces blend. Intrinsics follow the window.
    """
    height, width = batch.images.shape[-2:]
    matrix = _window_matrix(factor, centre)
    fx, fy, cx, cy = batch.intrinsics.unbind(1)
    left = (centre[:, 0] - 0.5 / factor) * width
    top = (centre[:, 1] - 0.5 / factor) * height
    intrinsics = torch.stack(
        [fx * factor, fy * factor, (cx - left) * factor, (cy - top) * factor], dim=1
    )
    return batch._replace(
        images=_sample(batch.images, matrix, "bilinear"),
        labels={task: _sample(plane, matrix, "nearest") for task, plane in batch.labels.items()},
        confidence=_sample(batch.confidence, matrix, "nearest"),
        intrinsics=intrinsics,
    )


def _window_matrix(factor: Tensor, centre: Tensor) -> Tensor:
    """Affine maps from the window to the image in coordinates -1..1: (B, 2, 3)."""
    scale, zero = 1 / factor, torch.zeros_like(factor)
    shift = 2 * centre - 1
    rows = [scale, zero, shift[:, 0], zero, scale, shift[:, 1]]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _sample(plane: Tensor, matrix: Tensor, mode: str) -> Tensor:
    """Read a plane (B, H, W) or (B, C, H, W) through the windows, keeping its dtype."""
    source = plane.float() if plane.ndim == 4 else plane[:, None].float()
    grid = F.affine_grid(matrix, list(source.shape), align_corners=False)
    read = F.grid_sample(source, grid, mode=mode, padding_mode="border", align_corners=False)
    return (read if plane.ndim == 4 else read[:, 0]).to(plane.dtype)


def vary_exposure(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Vary brightness, contrast and saturation of each image by up to +-strength; stays in 0..1."""
    shape = (3, len(images), 1, 1, 1)
    spread = (2 * torch.rand(shape, generator=generator) - 1) * strength + 1
    brightness, contrast, saturation = spread
    gray = images.new_tensor(GRAY_WEIGHTS).view(1, 3, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    varied = (images - mean) * contrast + mean * brightness
    luma = (varied * gray).sum(1, keepdim=True)
    return ((varied - luma) * saturation + luma).clamp(0, 1)

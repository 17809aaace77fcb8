"""Augmentation that stays true to geometry: every label remains right for the picture it meets.

- A mirrored camera sees mirrored normals: n_x changes its sign.
- A zoomed crop is the same scene through a longer lens: metres along the optical axis and normals
  stay, the focal length in pixels grows. So a picture with metric depth is zoomed only when its
  camera is known, and no further than the longest lens among the photographs: the student learns
  metres from pictures of no other camera than theirs. Affine depth has no metres to lose, and any
  picture of it is zoomed.
- A turned picture is a camera that rolled around its optical axis: depth along that axis stays,
  normals turn with the picture. What the picture did not show is unknown. It takes square pixels.
- A picture of another size has the same field of view: nothing changes but the pixels.
- How a picture was exposed changes no label at all.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.losses import IGNORE_INDEX
from distill.samples import Batch
from distill.settings import Augmentation
from teacher.sample import CONFIDENCE_STRIDE

GRAY_WEIGHTS = (0.299, 0.587, 0.114)
DRAWS = 8
"""Random numbers that the augmentation of one image takes."""
SQUARE = 0.01
"""Pixels count as square when their sides differ by less than this share."""
UNKNOWN = {"depth": math.nan, "normal": 0, "segment": IGNORE_INDEX}
"""What a label says of a pixel that it does not know."""


def augment(batch: Batch, augmentation: Augmentation, draws: Tensor, longest_focal: float) -> Batch:
    """Mirror half of the images, zoom into and turn those that may be, and vary exposure.

    draws: (B, DRAWS) random numbers in 0..1, which decide everything. longest_focal: focal length
    over image width beyond which no zoom goes; inf for affine depth.
    """
    batch = flip(batch, draws[:, 0] < 0.5)
    if augmentation.max_zoom > 1 or augmentation.max_roll_deg > 0:
        factor, centre = windows(batch, augmentation.max_zoom, longest_focal, draws[:, 1:4])
        batch = warp(batch, factor, centre, rolls(batch, augmentation.max_roll_deg, draws[:, 4]))
    if augmentation.jitter > 0:
        images = vary_exposure(batch.images, augmentation.jitter, draws[:, 5:8])
        batch = batch._replace(images=images)
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
    """One by one: several times as fast as mirroring all and choosing."""
    mirrored = torch.empty_like(plane)
    for row, is_chosen in enumerate(chosen.tolist()):
        mirrored[row] = plane[row].flip(-1) if is_chosen else plane[row]
    return mirrored


def windows(
    batch: Batch, max_zoom: float, longest_focal: float, draws: Tensor
) -> tuple[Tensor, Tensor]:
    """Factors (B,) >= 1 and centres (B, 2) in 0..1 (x, y) of windows that lie within the image.

    draws: (B, 3) in 0..1. With a finite longest_focal a photograph whose camera is not known keeps
    the factor 1: its depth belongs to the lens that it was taken with, and how far it may be zoomed
    cannot be told.
    """
    focal = batch.intrinsics[:, 0] / batch.images.shape[-1]
    if math.isinf(longest_focal):
        limit = torch.full_like(focal, max_zoom)
    else:
        limit = (longest_focal / focal).nan_to_num(1.0).clamp(1.0, max_zoom)
    factor = 1 + (limit - 1) * draws[:, 0]
    half = 0.5 / factor[:, None]
    return factor, half + (1 - 2 * half) * draws[:, 1:]


def rolls(batch: Batch, max_roll_deg: float, draws: Tensor) -> Tensor:
    """Angles (B,) in radians, evenly to either side; 0 where pixels are known not to be square."""
    fx, fy = batch.intrinsics[:, 0], batch.intrinsics[:, 1]
    oblong = (fx / fy - 1).abs() > SQUARE  # not where the camera is unknown: NaN
    return torch.where(oblong, 0.0, (2 * draws - 1) * math.radians(max_roll_deg))


def warp(batch: Batch, factor: Tensor, centre: Tensor, roll: Tensor) -> Batch:
    """Turn the picture around a window's centre, and enlarge the window to the full size.

    factor: (B,) >= 1, the window has 1/factor of each side; centre: (B, 2) as (x, y) in 0..1; roll:
    (B,) radians, clockwise. Photographs are interpolated, labels are taken from the nearest pixel,
    so that no two surfaces blend. Intrinsics follow. Beyond the edges the photograph's border is
    repeated, labels are unknown and confidence is 0.
    """
    height, width = batch.images.shape[-2:]
    matrix = _matrix(factor, centre, roll, width / height)
    grid = _grid(matrix, (height, width))
    labels = {task: _nearest(plane, grid, UNKNOWN[task]) for task, plane in batch.labels.items()}
    if "normal" in labels:
        labels["normal"] = _turn(labels["normal"], roll)
    coarse = _grid(matrix, tuple(batch.confidence.shape[-2:]))
    return batch._replace(
        images=_interpolate(batch.images, grid),
        labels=labels,
        confidence=_nearest(batch.confidence, coarse, 0),
        intrinsics=_window_intrinsics(batch.intrinsics, factor, centre, roll, (height, width)),
    )


def _matrix(factor: Tensor, centre: Tensor, roll: Tensor, aspect: float) -> Tensor:
    """Affine maps (B, 2, 3) from the new picture to the old, in coordinates -1..1 (y down)."""
    cosine, sine = roll.cos() / factor, roll.sin() / factor
    x, y = (2 * centre - 1).unbind(1)
    rows = [cosine, sine / aspect, x, -sine * aspect, cosine, y]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _grid(matrix: Tensor, size: tuple[int, ...]) -> Tensor:
    """Where each pixel of the new picture lies in the old one: (B, H, W, 2)."""
    return F.affine_grid(matrix, [len(matrix), 1, *size], align_corners=False)


def _interpolate(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _nearest(plane: Tensor, grid: Tensor, outside: float) -> Tensor:
    """Read a plane (B, H, W) or (B, C, H, W), keeping its dtype."""
    source = plane.float() if plane.ndim == 4 else plane[:, None].float()
    read = F.grid_sample(source, grid, mode="nearest", padding_mode="border", align_corners=False)
    read = torch.where((grid.abs() <= 1).all(-1)[:, None], read, outside)
    return (read if plane.ndim == 4 else read[:, 0]).to(plane.dtype)


def _turn(normal: Tensor, roll: Tensor) -> Tensor:
    """Turn vectors (B, 3, H, W) (y up) clockwise around the optical axis."""
    cosine, sine = roll.cos()[:, None, None], roll.sin()[:, None, None]
    x, y, z = normal.unbind(1)
    return torch.stack([cosine * x + sine * y, cosine * y - sine * x, z], dim=1)


def _window_intrinsics(
    intrinsics: Tensor, factor: Tensor, centre: Tensor, roll: Tensor, size: tuple[int, int]
) -> Tensor:
    """The lens is longer, and the principal point turns around the window's centre."""
    fx, fy, cx, cy = intrinsics.unbind(1)
    x, y = cx - centre[:, 0] * size[1], cy - centre[:, 1] * size[0]
    cosine, sine = roll.cos() * factor, roll.sin() * factor
    moved = [size[1] / 2 + cosine * x - sine * y, size[0] / 2 + sine * x + cosine * y]
    return torch.stack([fx * factor, fy * factor, *moved], dim=1)


def rescale(batch: Batch, size: tuple[int, int]) -> Batch:
    """The batch at another (height, width), each a multiple of CONFIDENCE_STRIDE.

    Photographs are averaged or interpolated; labels and confidence are those of the nearest pixel.
    """
    old = batch.images.shape[-2:]
    if tuple(old) == size:
        return batch
    coarse = (size[0] // CONFIDENCE_STRIDE, size[1] // CONFIDENCE_STRIDE)
    images = F.interpolate(batch.images, size, mode="bilinear", antialias=True, align_corners=False)
    y, x = size[0] / old[0], size[1] / old[1]
    return batch._replace(
        images=images.clamp(0, 1),
        labels={task: _resize_nearest(plane, size) for task, plane in batch.labels.items()},
        confidence=_resize_nearest(batch.confidence, coarse),
        intrinsics=batch.intrinsics * batch.intrinsics.new_tensor([x, y, x, y]),
    )


def _resize_nearest(plane: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = (
        (2 * torch.arange(wanted) + 1) * found // (2 * wanted)
        for wanted, found in zip(size, plane.shape[-2:], strict=True)
    )
    return plane[..., rows[:, None], columns]


def vary_exposure(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    """Vary brightness, contrast and saturation of each image by up to +-strength; stays in 0..1.

    draws: (B, 3) in 0..1.
    """
    spread = (2 * draws - 1) * strength + 1
    brightness, contrast, saturation = spread.T[..., None, None]
    # Saturation mixes a colour with its gray, contrast scales it, brightness moves the mean: in all
    # one matrix and one shift for each image.
    gray = images.new_tensor(GRAY_WEIGHTS)
    matrix = contrast * (saturation * torch.eye(3) + (1 - saturation) * gray)  # (B, 3, 3)
    shift = images.mean(dim=(1, 2, 3))[:, None, None] * (brightness - contrast)
    return torch.baddbmm(shift, matrix, images.flatten(2)).clamp_(0, 1).view_as(images)

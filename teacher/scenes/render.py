"""Photographs of scenes with exact depth, normals, class ids and instance ids.

Colour takes five samples per pixel (its centre and its four corners, shared with the neighbours),
geometry exactly one, at the centre: labels are never blended.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from teacher.scenes.builder import pack
from teacher.scenes.layout import Look, Scene, build_scene
from teacher.scenes.materials import albedo, noise
from teacher.scenes.objects import SKY
from teacher.scenes.primitives import Primitives, local_normal, nearest_hit, occluded

CPU_RAYS = 8192
"""Rays traced at once on a CPU: the working set of a chunk stays in the cache."""
GPU_RAYS = 1 << 18
GPU_SCENES = 16
HIT_OFFSET_M = 2e-3
"""Shadow rays start this far off the surface along its normal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneBatch:
    """B rendered scenes, numpy.

    rgb (B, H, W, 3) uint8 sRGB; depth_m (B, H, W) float32 metres along the optical axis, inf =
    sky; normal (B, H, W, 3) float32 unit, camera space (+x right, +y up, +z to the camera), zero
    on sky; segment (B, H, W) uint8; instance (B, H, W) uint16, 0 = none; intrinsics (B, 4):
    fx, fy, cx, cy in pixels.
    """

    rgb: np.ndarray
    depth_m: np.ndarray
    normal: np.ndarray
    segment: np.ndarray
    instance: np.ndarray
    intrinsics: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Hits:
    """What B x R rays met: t, position (B, R, 3), world normal, albedo, gloss, indices, height."""

    t: Tensor
    position_m: Tensor
    normal: Tensor
    albedo: Tensor
    gloss: Tensor
    segment: Tensor
    instance: Tensor


def render_scenes(
    seeds: Sequence[int],
    size_px: int | tuple[int, int],
    difficulty: float = 0.5,
    device: str | torch.device = "cpu",
) -> SceneBatch:
    """Render one scene for each seed.

    size_px: side, or (height, width). Every pixel follows from the seed, the size and the
    difficulty alone, whatever the batch. Raises ValueError for an empty list of seeds, a size
    below 8 px or a difficulty outside 0..1.
    """
    height, width = (size_px, size_px) if isinstance(size_px, int) else size_px
    if not seeds or min(height, width) < 8 or not 0 <= difficulty <= 1:
        raise ValueError(
            f"scenes need seeds, sides of at least 8 px and a difficulty in 0..1; got "
            f"{len(seeds)} seeds, {height} x {width} px, difficulty {difficulty}"
        )
    group = GPU_SCENES if torch.device(device).type == "cuda" else 1
    parts = [
        _render_group([build_scene(seed, difficulty) for seed in some], height, width, device)
        for some in _chunks(seeds, group)
    ]
    names = SceneBatch.__dataclass_fields__
    return SceneBatch(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def _chunks(items: Sequence, size: int) -> Iterator[Sequence]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


@torch.inference_mode()
def _render_group(
    scenes: list[Scene], height: int, width: int, device: str | torch.device
) -> SceneBatch:
    primitives = pack([scene.builder for scene in scenes]).to(device)
    looks = [scene.look for scene in scenes]
    direction = _camera_rays(looks, height, width).to(device)  # (B, R, 3), z = -1 in the camera
    origin = _stack([look.position_m for look in looks], device)[:, :, None]  # (B, 3, 1)
    hits, color = [], []
    rays = GPU_RAYS if direction.is_cuda else CPU_RAYS
    for part in direction.split(rays, dim=1):
        met = _trace(primitives, origin, part)
        hits.append(met)
        color.append(_shade(primitives, scenes, met, part))
    centers = height * width
    linear = _combine_samples(torch.cat(color, 1), height, width)
    rgb = torch.stack([_sense(image, scene) for image, scene in zip(linear, scenes)])

    def at_centers(name: str) -> Tensor:
        whole = torch.cat([getattr(met, name) for met in hits], 1)[:, :centers]
        return whole.unflatten(1, (height, width)).cpu()

    to_camera = _stack([look.camera_to_world for look in looks], "cpu")
    normal = torch.einsum("bhwi,bij->bhwj", at_centers("normal"), to_camera)
    focal = np.array([look.focal_widths * width for look in looks])
    middle = np.ones_like(focal)
    return SceneBatch(
        rgb=rgb.cpu().numpy(),
        depth_m=at_centers("t").numpy(),
        normal=normal.numpy(),
        segment=at_centers("segment").to(torch.uint8).numpy(),
        instance=at_centers("instance").numpy().astype(np.uint16),
        intrinsics=np.column_stack([focal, focal, middle * width / 2, middle * height / 2]),
    )


def _stack(arrays: Sequence[np.ndarray], device: str | torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).float().to(device)


def _camera_rays(looks: Sequence[Look], height: int, width: int) -> Tensor:
    """World directions (B, R, 3) through pixel centres, then through pixel corners.

    In the camera their z is -1, so that the ray parameter is the depth along the optical axis.
    """

    def grid(start: float, rows: int, columns: int) -> Tensor:
        v, u = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        offset = torch.tensor([start - width / 2, start - height / 2])
        return (torch.stack([u, v], -1) + offset).view(-1, 2)

    plane = torch.cat([grid(0.5, height, width), grid(0.0, height + 1, width + 1)])
    rays = []
    for look in looks:
        x, y = (plane / (look.focal_widths * width)).unbind(1)
        rays.append(torch.stack([x, -y, -torch.ones_like(x)], 1))
    pose = _stack([look.camera_to_world for look in looks], "cpu")
    return torch.einsum("bij,brj->bri", pose, torch.stack(rays))


def _trace(primitives: Primitives, origin: Tensor, direction: Tensor) -> _Hits:
    """Nearest surfaces along rays: origin (B, 3, 1), direction (B, R, 3)."""
    t, index = nearest_hit(primitives, origin, direction.mT)
    batch = torch.arange(len(t), device=t.device)[:, None].expand_as(index)
    rows = (batch.reshape(-1), index.reshape(-1))
    seen = t.isfinite()
    reach = torch.where(seen, t, 1.0)
    position = origin.mT + reach[..., None] * direction  # (B, R, 3)
    flat = position.reshape(-1, 3)
    to_local = primitives.world_to_local[rows]  # (N, 3, 4)
    local = (to_local[..., :3] @ flat[..., None]).squeeze(-1) + to_local[..., 3]
    kind = _kind_of(primitives, rows[1])
    local_n = local_normal(kind, local, primitives.shape[rows])
    normal = F.normalize((to_local[..., :3].mT @ local_n[..., None]).squeeze(-1), dim=1)
    material = primitives.material[rows]
    color = albedo(material, local * primitives.scale_m[rows], local_n, (local[:, 1] + 1) / 2)
    zero = torch.zeros_like(index)
    return _Hits(
        t=t,
        position_m=position,
        normal=torch.where(seen[..., None], normal.view_as(position), 0.0),
        albedo=color.view_as(position),
        gloss=material[:, 8].view_as(t),
        segment=torch.where(seen, primitives.segment[rows].view_as(index), zero + SKY),
        instance=torch.where(seen, primitives.instance[rows].view_as(index), zero),
    )


def _kind_of(primitives: Primitives, index: Tensor) -> Tensor:
    """Kind of each primitive index, as int64."""
    starts = torch.tensor([part.stop for part in primitives.kinds.values()], device=index.device)
    return torch.bucketize(index, starts, right=True)


def _light_jitter(rays: int, light: int, device: torch.device) -> Tensor:
    """Points in the unit ball, one for each ray: the same for every scene (soft shadows)."""
    generator = torch.Generator().manual_seed(1000 + light)
    direction = F.normalize(torch.randn(rays, 3, generator=generator), dim=1)
    radius = torch.rand(rays, 1, generator=generator) ** (1 / 3)
    return (direction * radius).to(device)


def _shade(primitives: Primitives, scenes: list[Scene], hits: _Hits, direction: Tensor) -> Tensor:
    """Linear RGB (B, R, 3): ambient from above and below, lamps with soft shadow, gloss, haze."""
    device = direction.device
    view = F.normalize(direction, dim=2)
    sky = _sky(scenes, view)
    above = _stack([s.lights.ambient_above for s in scenes], device)[:, None]
    below = _stack([s.lights.ambient_below for s in scenes], device)[:, None]
    share = 0.5 + 0.5 * hits.normal[..., 1:2]
    color = hits.albedo * (below + (above - below) * share)
    start = hits.position_m + HIT_OFFSET_M * hits.normal
    for light in range(max(len(s.lights.position_m) for s in scenes)):
        color = color + _lamp(primitives, scenes, hits, view, start, light)
    haze_per_m = _stack([np.array([[s.look.haze_per_m]]) for s in scenes], device)
    clear = torch.exp(-haze_per_m * torch.where(hits.t.isfinite(), hits.t, 0.0)[..., None])
    color = color * clear + sky * (1 - clear)
    return torch.where(hits.t.isfinite()[..., None], color, sky)


def _lamp(
    primitives: Primitives,
    scenes: list[Scene],
    hits: _Hits,
    view: Tensor,
    start: Tensor,
    light: int,
) -> Tensor:
    """What one lamp adds: Lambert plus Blinn-Phong gloss, dark where it is occluded."""
    device = view.device

    def of_light(name: str) -> Tensor:
        values = [getattr(s.lights, name) for s in scenes]
        return _stack([v[light] if light < len(v) else np.zeros_like(v[0]) for v in values], device)

    jitter = _light_jitter(start.shape[1], light, device)
    radius = of_light("radius_m")[:, None, None]
    lamp = of_light("position_m")[:, None] + radius * jitter
    way = lamp - start
    distance_m = way.norm(dim=2, keepdim=True)
    way = way / distance_m
    facing = (way * hits.normal).sum(2, keepdim=True).clamp(min=0)
    half = F.normalize(way - view, dim=2)
    shine = (half * hits.normal).sum(2, keepdim=True).clamp(min=0) ** 40 * hits.gloss[..., None]
    lit = ~occluded(primitives, start.mT, lamp.mT)[..., None]
    falloff = torch.tensor([s.lights.falloff for s in scenes], device=device)[:, None, None]
    strength = torch.where(falloff, 1 / (0.5 + 0.35 * distance_m.square()), 1.0)
    return (
        of_light("color")[:, None] * strength * lit * (facing * hits.albedo + facing.sign() * shine)
    )


def _sky(scenes: list[Scene], view: Tensor) -> Tensor:
    """A gradient from the horizon up, with clouds; view (B, R, 3) unit -> (B, R, 3)."""
    low = _stack([s.sky_low for s in scenes], view.device)[:, None]
    high = _stack([s.sky_high for s in scenes], view.device)[:, None]
    up = view[..., 1:2].clamp(min=0)
    blue = low + (high - low) * up.sqrt()
    drift = torch.tensor([(s.seed % 997) / 997 for s in scenes], device=view.device)
    cloud_point = view / (up + 0.15) * 0.12 + drift[:, None, None]
    cloud = noise(cloud_point.reshape(-1, 3)).view_as(up)
    return blue + (0.9 - blue) * ((cloud - 0.55) * 2.5).clamp(0, 0.8)


def _combine_samples(color: Tensor, height: int, width: int) -> Tensor:
    """Half the centre plus an eighth of each corner: (B, R, 3) -> (B, 3, H, W)."""
    centers, corners = color.split([height * width, (height + 1) * (width + 1)], 1)
    image = centers.unflatten(1, (height, width)).permute(0, 3, 1, 2)
    grid = corners.unflatten(1, (height + 1, width + 1)).permute(0, 3, 1, 2)
    return 0.5 * image + 0.5 * F.avg_pool2d(grid, 2, stride=1)


def _sense(linear: Tensor, scene: Scene) -> Tensor:
    """Camera response: exposure, white balance, blur, sRGB curve, noise. (3, H, W) -> uint8 HWC."""
    look = scene.look
    gain = torch.from_numpy(look.exposure * look.white_balance).float().to(linear.device)
    image = linear * gain[:, None, None]
    image = image / (1 + 0.35 * image)  # soft shoulder instead of hard clipping
    image = _blur(image, look.blur_px_at_128 * linear.shape[-1] / 128)
    image = torch.where(
        image <= 0.0031308, 12.92 * image, 1.055 * image.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    )
    generator = torch.Generator().manual_seed(scene.seed)
    grain = torch.randn(image.shape, generator=generator).to(image.device)
    image = image + look.noise * grain * (0.4 + image.clamp(0, 1).sqrt())
    return (image * 255 + 0.5).clamp(0, 255).to(torch.uint8).permute(1, 2, 0)


def _blur(image: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur of (3, H, W); below 0.2 px there is nothing to do."""
    if sigma_px < 0.2:
        return image
    reach = max(1, round(3 * sigma_px))
    x = torch.arange(-reach, reach + 1, device=image.device)
    kernel = torch.exp(-0.5 * (x / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image[:, None], (reach, reach, reach, reach), mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1))
    return F.conv2d(across, kernel.view(1, 1, -1, 1))[:, 0]

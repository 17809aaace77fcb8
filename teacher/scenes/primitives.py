"""Ray against primitive, in closed form, for a whole batch of scenes at once.

A primitive is a unit shape and an affine map from the world into the space where the shape is
unit. Rays are mapped, their direction is left un-normalised, so the ray parameter t is the same
in both spaces. All shapes but the torus are convex: a hit is where an interval of t begins.
"""

from dataclasses import dataclass, fields
from enum import IntEnum

import torch
from torch import Tensor

NEAREST_T = 1e-4
"""Hits nearer than this along a ray are the ray's own origin."""
MARCH_STEPS = 96
TORUS_TOLERANCE = 1e-5


class Kind(IntEnum):
    """Unit shapes. `shape` (one number per primitive) is used by the last two."""

    BOX = 0  # [-1, 1]^3
    ELLIPSOID = 1  # the unit ball
    FRUSTUM = 2  # |y| <= 1, radius 1 at y = -1 and `shape` at y = 1: cylinder 1, cone 0
    TORUS = 3  # ring radius 1 around y, tube radius `shape`; needs a uniform scale


@dataclass(frozen=True, kw_only=True)
class Primitives:
    """All primitives of B scenes, padded to the same number of each kind.

    world_to_local (B, P, 3, 4); scale_m (B, P, 3) half sizes; shape (B, P); material (B, P, M);
    segment and instance (B, P) int64. `kinds` gives the slice of P that each kind fills.
    A padding primitive stands far below the ground, where no ray meets it.
    """

    world_to_local: Tensor
    scale_m: Tensor
    shape: Tensor
    material: Tensor
    segment: Tensor
    instance: Tensor
    kinds: dict[Kind, slice]

    def to(self, device: torch.device | str) -> "Primitives":
        """The same primitives on another device."""
        moved = {
            f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "kinds"
        }
        return Primitives(**moved, kinds=self.kinds)


def local_rays(
    primitives: Primitives, kind: Kind, origin: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor]:
    """Map rays (B, 3, R) into the space of each primitive of a kind: two (B, P, 3, R)."""
    to_local = primitives.world_to_local[:, primitives.kinds[kind]]  # (B, P, 3, 4)
    batch, count = to_local.shape[:2]
    linear = to_local[..., :3].reshape(batch, count * 3, 3)
    shift = to_local[..., 3].reshape(batch, count * 3, 1)
    mapped = torch.bmm(linear, origin) + shift  # (B, 3P, R or 1)
    turned = torch.bmm(linear, direction)
    return mapped.view(batch, count, 3, -1), turned.view(batch, count, 3, -1)


def _safe_inverse(x: Tensor) -> Tensor:
    """1/x, large instead of infinite, so that 0 * (1/x) stays 0."""
    return torch.where(x.abs() < 1e-8, 1e-8, x).reciprocal_()


def _box_interval(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Enter and leave of [-1, 1]^3 (slab method); empty where enter > leave."""
    inverse = _safe_inverse(direction)
    middle = -origin * inverse
    half = inverse.abs_()
    return (middle - half).amax(2), middle.add_(half).amin(2)


def _ellipsoid_interval(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Enter and leave of the unit ball; empty where the discriminant is negative."""
    a = direction.square().sum(2)
    b = (origin * direction).sum(2)
    c = origin.square().sum(2) - 1
    discriminant = b * b - a * c
    root = discriminant.clamp(min=0).sqrt_()
    miss = torch.where(discriminant < 0, torch.inf, 0.0)
    return (-b - root) / a + miss, (-b + root) / a - miss


def _frustum_interval(origin: Tensor, direction: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """Enter and leave of the capped cone: the slab |y| <= 1 cut with x^2 + z^2 <= r(y)^2."""
    slope = ((shape - 1) / 2)[..., None]  # r(y) = middle + slope * y
    middle = ((shape + 1) / 2)[..., None]
    ox, oy, oz = origin.unbind(2)
    dx, dy, dz = direction.unbind(2)
    r0, r1 = middle + slope * oy, slope * dy
    a = dx * dx + dz * dz - r1 * r1
    b = ox * dx + oz * dz - r0 * r1
    c = ox * ox + oz * oz - r0 * r0
    a = torch.where(a.abs() < 1e-8, 1e-8, a)
    discriminant = b * b - a * c
    root = discriminant.clamp(min=0).sqrt_()
    t1, t2 = (-b - root) / a, (-b + root) / a
    inverse = _safe_inverse(dy)
    slab = (-oy * inverse - inverse.abs(), -oy * inverse + inverse.abs())
    # a > 0: inside between the roots. a < 0 (ray steeper than the cone): inside outside of them,
    # one piece on each nappe, and the slab meets the piece of the lower nappe alone.
    low, high = torch.minimum(t1, t2), torch.maximum(t1, t2)
    before = torch.minimum(slab[1], low)
    steep_enter = torch.where(before > slab[0], slab[0], torch.maximum(slab[0], high))
    steep_leave = torch.where(before > slab[0], before, slab[1])
    inside_all = (a < 0) & (discriminant < 0)
    enter = torch.where(a > 0, torch.maximum(slab[0], low), steep_enter)
    leave = torch.where(a > 0, torch.minimum(slab[1], high), steep_leave)
    enter = torch.where(inside_all, slab[0], enter)
    leave = torch.where(inside_all, slab[1], leave)
    return torch.where((a > 0) & (discriminant < 0), torch.inf, enter), leave


def _torus_distance(point: Tensor, tube: Tensor) -> Tensor:
    """Signed distance of points (N, 3) to a torus around y with ring radius 1."""
    ring = torch.hypot(point[:, 0], point[:, 2]) - 1
    return torch.hypot(ring, point[:, 1]) - tube


def _torus_enter(origin: Tensor, direction: Tensor, shape: Tensor) -> Tensor:
    """First hit by sphere tracing, only for the rays that meet the bounding ball; else inf.

    The step is divided by the direction's length, as t counts un-normalised directions.
    Rays start outside of a torus, or on it when they leave its surface (NEAREST_T ahead).
    """
    bound = 1 + shape[..., None, None]
    enter, leave = _ellipsoid_interval(origin / bound, direction / bound)
    rays = ((enter < leave) & (leave > 0)).nonzero(as_tuple=True)
    t_all = torch.full_like(enter, torch.inf)
    if rays[0].numel() == 0:
        return t_all
    o = origin.expand_as(direction).permute(0, 1, 3, 2)[rays]
    d = direction.permute(0, 1, 3, 2)[rays]
    tube = shape[rays[0], rays[1]]
    speed = d.norm(dim=1)
    t = enter[rays].clamp(min=NEAREST_T)
    for _ in range(MARCH_STEPS):
        t = t + _torus_distance(o + t[:, None] * d, tube) / speed
    missed = _torus_distance(o + t[:, None] * d, tube).abs() > TORUS_TOLERANCE * 10
    t_all[rays] = torch.where(missed | (t > leave[rays]), torch.inf, t)
    return t_all


def enter_t(primitives: Primitives, kind: Kind, origin: Tensor, direction: Tensor) -> Tensor:
    """Parameter t of the first surface of each primitive of a kind; inf where there is none.

    origin (B, 3, R or 1), direction (B, 3, R) -> (B, P, R). A ray that starts inside a convex
    shape does not meet it.
    """
    o, d = local_rays(primitives, kind, origin, direction)
    shape = primitives.shape[:, primitives.kinds[kind]]
    if kind is Kind.TORUS:
        return _torus_enter(o, d, shape)
    if kind is Kind.BOX:
        enter, leave = _box_interval(o, d)
    elif kind is Kind.ELLIPSOID:
        enter, leave = _ellipsoid_interval(o, d)
    else:
        enter, leave = _frustum_interval(o, d, shape)
    return torch.where((enter < leave) & (enter > NEAREST_T), enter, torch.inf)


def nearest_hit(primitives: Primitives, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The first primitive along each ray.

    origin (B, 3, R or 1), direction (B, 3, R) -> t (B, R), inf where nothing is met, and the
    primitive's index (B, R) int64.
    """
    best_t: Tensor | None = None
    best_index = torch.zeros(0)
    for kind, part in primitives.kinds.items():
        if part.stop == part.start:
            continue
        t, index = enter_t(primitives, kind, origin, direction).min(1)
        index += part.start
        if best_t is None:
            best_t, best_index = t, index
        else:
            best_index = torch.where(t < best_t, index, best_index)
            best_t = torch.minimum(t, best_t)
    assert best_t is not None, "a scene without primitives"
    return best_t, best_index


def occluded(primitives: Primitives, origin: Tensor, target: Tensor) -> Tensor:
    """Whether anything stands between points (B, 3, R) and targets (B, 3, R or 1): (B, R) bool."""
    direction = target - origin
    blocked = torch.zeros(direction.shape[0], direction.shape[2], dtype=torch.bool)
    blocked = blocked.to(direction.device)
    for kind, part in primitives.kinds.items():
        if part.stop > part.start:
            blocked |= (enter_t(primitives, kind, origin, direction) < 1).any(1)
    return blocked


def local_normal(kind: Tensor, point: Tensor, shape: Tensor) -> Tensor:
    """Outward normals (not unit) in local space at surface points.

    kind (N,) int64, point (N, 3), shape (N,) -> (N, 3).
    """
    x, y, z = point.unbind(1)
    largest = point.abs().argmax(1, keepdim=True)
    box = torch.zeros_like(point).scatter_(1, largest, point.gather(1, largest).sign())
    slope = (shape - 1) / 2
    radius = (shape + 1) / 2 + slope * y
    side = torch.stack([x, -slope * radius, z], 1)
    cap = torch.stack([torch.zeros_like(x), y.sign(), torch.zeros_like(x)], 1)
    on_cap = (1 - y.abs()).abs() < (radius - torch.hypot(x, z)).abs()
    frustum = torch.where(on_cap[:, None], cap, side)
    ring = torch.hypot(x, z).clamp(min=1e-9)
    torus = torch.stack([x - x / ring, y, z - z / ring], 1)
    shapes = torch.stack([box, point, frustum, torus])  # in the order of Kind
    return shapes[kind, torch.arange(len(kind), device=kind.device)]

"""Random scenes: a room or an outdoor place, furnished, lit and looked at; all from one seed."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from teacher.scenes.builder import Frame, SceneBuilder, rotation
from teacher.scenes.materials import Material, Pattern, gray
from teacher.scenes.objects import (
    CEILING,
    FOOTPRINT_M,
    GROUND,
    OBJECTS,
    WALL,
    any_material,
    dimmed,
    random_color,
)

GROUND_HALF_M = 400.0
INDOOR_SHARE = 0.6


@dataclass(frozen=True, kw_only=True)
class Lights:
    """One to three lamps: positions (L, 3) metres, colours (L, 3), radii (L,), and the ambient."""

    position_m: np.ndarray
    color: np.ndarray
    radius_m: np.ndarray
    ambient_above: np.ndarray
    ambient_below: np.ndarray
    falloff: bool


@dataclass(frozen=True, kw_only=True)
class Look:
    """Camera and sensor: pose, focal length over image width, exposure, blur, noise."""

    position_m: np.ndarray
    camera_to_world: np.ndarray
    focal_widths: float
    exposure: float
    white_balance: np.ndarray
    blur_px_at_128: float
    noise: float
    haze_per_m: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One scene, ready to be packed and rendered."""

    seed: int
    builder: SceneBuilder
    lights: Lights
    look: Look
    outdoor: bool
    sky_low: np.ndarray
    sky_high: np.ndarray


def scene_rng(seed: int) -> np.random.Generator:
    """The one source of chance of a scene."""
    return np.random.default_rng([seed, 0x5CE4E5])


def build_scene(seed: int, difficulty: float = 0.5) -> Scene:
    """Invent a scene.

    difficulty 0..1 sets the number of objects, how often an object wears a material that is not
    typical of its class, how far the camera strays, and the noise of the sensor.
    """
    rng = scene_rng(seed)
    builder = SceneBuilder()
    outdoor = bool(rng.uniform() > INDOOR_SHARE)
    choose = partial(_choose, rng, difficulty)
    bounds = _outdoor_place(builder, rng, choose) if outdoor else _room(builder, rng, choose)
    look = _look(rng, difficulty, outdoor)
    _furnish(builder, rng, choose, difficulty, bounds, look, outdoor)
    sky_high = np.array([0.18, 0.35, 0.75]) * rng.uniform(0.6, 1.2)
    gray = rng.uniform(0.0, 0.8)
    sky_high = sky_high * (1 - gray) + gray * sky_high.mean() * 1.6
    return Scene(
        seed=seed,
        builder=builder,
        lights=_sun(rng) if outdoor else _lamps(rng, bounds),
        look=look,
        outdoor=outdoor,
        sky_low=np.clip(sky_high * 1.3 + 0.25, 0, 1.2),
        sky_high=sky_high,
    )


def _choose(rng: np.random.Generator, difficulty: float, typical) -> Material:
    return any_material(rng) if rng.uniform() < 0.3 * difficulty else typical(rng)


def _floor_material(rng: np.random.Generator) -> Material:
    base = random_color(rng, (0.2, 0.6), 0.3)
    second = dimmed(rng, base, 0.3, 0.7)
    pattern = Pattern(rng.choice([Pattern.CHECKER, Pattern.WOOD, Pattern.TILES, Pattern.NOISE]))
    tile_m = float(rng.choice([0.3, 0.5]))
    period_m = {Pattern.WOOD: 0.12, Pattern.NOISE: 0.3}.get(pattern, tile_m)
    return Material(base, second, pattern, period_m=period_m, gloss=rng.uniform(0, 0.3))


def _wall_material(rng: np.random.Generator) -> Material:
    base = random_color(rng, (0.45, 0.85), 0.25)
    second = dimmed(rng, base, 0.6, 0.9)
    pattern = Pattern(rng.choice([Pattern.PLAIN, Pattern.STRIPES, Pattern.BRICK, Pattern.GRADIENT]))
    period_m = {Pattern.BRICK: 0.08, Pattern.STRIPES: 0.25}.get(pattern, 1.0)
    return Material(base, second, pattern, period_m=period_m, mottle=0.1)


def _brick_material(rng: np.random.Generator) -> Material:
    if rng.uniform() < 0.4:
        return _wall_material(rng)
    level = rng.uniform(0.6, 1.0)
    return Material(
        (0.45 * level, 0.18 * level, 0.11 * level), (0.5, 0.48, 0.44), Pattern.BRICK, period_m=0.08
    )


def _grass(rng: np.random.Generator) -> Material:
    if rng.uniform() < 0.4:  # paved
        level = rng.uniform(0.25, 0.5)
        pattern = Pattern(rng.choice([Pattern.TILES, Pattern.NOISE, Pattern.BRICK]))
        return Material(gray(level), gray(0.6 * level), pattern, period_m=rng.choice([0.3, 0.5]))
    level = rng.uniform(0.6, 1.1)
    green = (0.20 * level, 0.30 * level, 0.08 * level)
    soil = (0.20 * level, 0.17 * level, 0.08 * level)
    return Material(green, soil, Pattern.NOISE, period_m=0.4, mottle=0.4)


Bounds = tuple[float, float, float, float]
"""Free floor: x from, x to, z from (far, negative), z to (near), metres."""


def _room(scene: SceneBuilder, rng: np.random.Generator, choose) -> Bounds:
    """Floor, ceiling and four walls around the camera, the far wall perhaps with a window."""
    width_m, near_m, far_m = rng.uniform(4, 8), rng.uniform(0.6, 1.2), rng.uniform(4, 9)
    left = -width_m * rng.uniform(0.35, 0.65)
    right, height_m = left + width_m, rng.uniform(2.5, 3.2)
    middle_x, middle_z = (left + right) / 2, (near_m - far_m) / 2
    flat = (width_m / 2 + 0.2, 0.05, (near_m + far_m) / 2 + 0.2)
    place = {"background": True}
    floor = (middle_x, -0.05, middle_z)
    scene.box(GROUND, choose(_floor_material), center_m=floor, half_m=flat, **place)
    level = rng.uniform(0.6, 0.9)
    plaster = Material(gray(level), gray(level * 0.9), Pattern.TILES, period_m=rng.choice([0.6, 9]))
    top = (middle_x, height_m + 0.05, middle_z)
    scene.box(CEILING, plaster, center_m=top, half_m=flat, **place)
    cladding = choose(_wall_material)
    side = (0.05, height_m / 2, flat[2])
    for x in (left - 0.05, right + 0.05):
        center = (x, height_m / 2, middle_z)
        scene.box(WALL, cladding, center_m=center, half_m=side, **place)
    back = {"center_m": (middle_x, height_m / 2, near_m + 0.05)}
    scene.box(WALL, cladding, half_m=(flat[0], height_m / 2, 0.05), **back, **place)
    _far_wall(scene, rng, choose(_wall_material), (left, right, height_m, -far_m - 0.05))
    return left, right, -far_m, 0.0


def _far_wall(
    scene: SceneBuilder,
    rng: np.random.Generator,
    material: Material,
    extent: tuple[float, float, float, float],
) -> None:
    """A wall at z across the room; one in three has a window onto the sky or onto a meadow."""
    left, right, height_m, z = extent
    place = {"background": True}

    def panel(x0: float, x1: float, y0: float, y1: float) -> None:
        center, half = ((x0 + x1) / 2, (y0 + y1) / 2, z), ((x1 - x0) / 2, (y1 - y0) / 2, 0.05)
        scene.box(WALL, material, center_m=center, half_m=half, **place)

    if rng.uniform() > 0.33:
        panel(left - 0.1, right + 0.1, 0, height_m)
        return
    w0 = rng.uniform(left + 0.4, right - 2.0)
    w1, sill, lintel = w0 + rng.uniform(1.0, 1.5), rng.uniform(0.7, 1.1), rng.uniform(1.9, 2.3)
    panel(left - 0.1, w0, 0, height_m)
    panel(w1, right + 0.1, 0, height_m)
    panel(w0, w1, 0, sill)
    panel(w0, w1, lintel, height_m)
    meadow = {"center_m": (0, -0.3, z - 60), "half_m": (80.0, 0.1, 59.0)}
    scene.box(GROUND, _grass(rng), **meadow, **place)


def _outdoor_place(scene: SceneBuilder, rng: np.random.Generator, choose) -> Bounds:
    """Open ground with up to three houses and perhaps a garden wall behind the objects."""
    ground = {"center_m": (0, -0.5, 0), "half_m": (GROUND_HALF_M, 0.5, GROUND_HALF_M)}
    scene.box(GROUND, choose(_grass), background=True, **ground)
    for _ in range(rng.integers(0, 4)):
        distance_m, x = rng.uniform(11, 28), rng.uniform(-14, 14)
        half = (rng.uniform(2, 5), rng.uniform(1.6, 4.5), rng.uniform(2, 4))
        frame = Frame(x, -distance_m - half[2], rng.uniform(-40, 40))
        where = {"center_m": (0, half[1], 0), "half_m": half}
        scene.box(WALL, choose(_brick_material), frame=frame, background=True, **where)
    if rng.uniform() < 0.4:
        half = (rng.uniform(2, 9), rng.uniform(0.4, 0.9), 0.12)
        frame = Frame(rng.uniform(-5, 5), -rng.uniform(8, 11), rng.uniform(-25, 25))
        where = {"center_m": (0, half[1], 0), "half_m": half}
        scene.box(WALL, choose(_brick_material), frame=frame, background=True, **where)
    return -7.0, 7.0, -10.0, 0.0


def _look(rng: np.random.Generator, difficulty: float, outdoor: bool) -> Look:
    """A hand-held camera at eye height that looks ahead and a little down."""
    stray = 0.5 + difficulty
    pose = rotation(
        rng.uniform(-12, 12) * stray,
        rng.uniform(-14, 0) * stray + (3.0 if outdoor else 0.0),
        rng.normal() * 2 * stray,
    )
    fov_deg = 60 + rng.uniform(-8, 8) * stray
    return Look(
        position_m=np.array([0.0, rng.uniform(1.35, 1.75), 0.0]),
        camera_to_world=pose,
        focal_widths=0.5 / np.tan(np.radians(fov_deg) / 2),
        exposure=np.exp(rng.normal() * 0.25 * stray),
        white_balance=np.exp(rng.normal(size=3) * 0.06 * stray),
        blur_px_at_128=rng.uniform(0.0, 0.45) * stray,
        noise=rng.uniform(0.0, 0.02) * stray,
        haze_per_m=rng.choice([0.0, rng.uniform(0.002, 0.02)]) if outdoor else 0.0,
    )


def _furnish(builder, rng, choose, difficulty, bounds: Bounds, look: Look, outdoor: bool) -> None:
    """Put objects on free floor inside the view; what finds no place in 12 tries is left out."""
    names = list(OBJECTS)
    weights = np.array([1.0 if outdoor or name != "tree" else 0.35 for name in names])
    weights[names.index("toy")] = 1.6  # small in the picture, so more of them
    if outdoor:
        weights[names.index("tree")] = 2.0
    wanted = int(rng.integers(3, 5 + round(4 * difficulty)))
    taken: list[tuple[float, float, float]] = []
    for name in rng.choice(names, size=wanted, p=weights / weights.sum()):
        spot = _free_spot(rng, FOOTPRINT_M[name], bounds, taken, look)
        if spot is None:
            continue
        taken.append((*spot, FOOTPRINT_M[name]))
        builder.begin_instance()
        facing_deg = 0.0 if name in ("shelf", "stairs") else rng.uniform(0, 360)
        frame = Frame(*spot, facing_deg + rng.uniform(-50, 50))
        OBJECTS[name](builder, frame, rng, choose)


def _free_spot(rng, radius_m: float, bounds: Bounds, taken, look: Look):
    """A point (x, z) inside the bounds and the horizontal view, clear of what is there, or None."""
    left, right, far, _ = bounds
    ahead = look.camera_to_world @ np.array([0.0, 0.0, -1.0])
    heading = np.arctan2(ahead[0], -ahead[2])
    half_view = np.arctan(0.5 / look.focal_widths)
    for _ in range(12):
        angle = heading + rng.uniform(-0.9, 0.9) * half_view
        distance_m = radius_m + 1.2 + (min(-far, 7.5) - 1.5) * rng.uniform() ** 1.3
        x, z = distance_m * np.sin(angle), -distance_m * np.cos(angle)
        inside = left + radius_m < x < right - radius_m and z > far + radius_m
        if inside and all(np.hypot(x - a, z - b) > radius_m + r for a, b, r in taken):
            return float(x), float(z)
    return None


def _lamps(rng: np.random.Generator, bounds: Bounds) -> Lights:
    """One to three lamps below the ceiling."""
    left, right, far, _ = bounds
    count = int(rng.integers(1, 4))
    x, z = rng.uniform(left + 0.5, right - 0.5, count), rng.uniform(far * 0.8, -0.5, count)
    warm = np.array([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.5, 1.0)])
    power = rng.uniform(2.5, 5.0, (count, 1)) / count
    ambient = np.array([0.30, 0.31, 0.33]) * rng.uniform(0.6, 1.4)
    return Lights(
        position_m=np.column_stack([x, np.full(count, 2.35), z]),
        color=power * warm,
        radius_m=rng.uniform(0.08, 0.3, count),
        ambient_above=ambient,
        ambient_below=ambient * rng.uniform(0.4, 0.8),
        falloff=True,
    )


def _sun(rng: np.random.Generator) -> Lights:
    """The sun (a disc of about two degrees: haze) and the sky's blue ambient."""
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(25, 70))
    direction = np.array(
        [np.cos(azimuth) * np.cos(height), np.sin(height), np.sin(azimuth) * np.cos(height)]
    )
    ambient = np.array([0.32, 0.38, 0.48]) * rng.uniform(0.7, 1.3)
    return Lights(
        position_m=300 * direction[None],
        color=rng.uniform(0.4, 1.3) * np.array([[1.0, 0.93, 0.8]]),
        radius_m=np.array([rng.uniform(3.0, 15.0)]),
        ambient_above=ambient,
        ambient_below=np.array([0.20, 0.19, 0.15]),
        falloff=False,
    )

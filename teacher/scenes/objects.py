"""What stands in a scene: furniture, columns, trees, boxes and toys, built of primitives.

Each function adds one object whose foot is at the frame's origin and returns nothing; its
footprint radius is in FOOTPRINT_M, for placement. Sizes are those of real things: they are what
makes metric depth learnable from one picture.
"""

from collections.abc import Callable

import numpy as np

from teacher.scenes.builder import Frame, SceneBuilder, rotation
from teacher.scenes.materials import Color, Material, Pattern, gray
from teacher.scenes.primitives import Kind

CLASSES = (
    "sky",
    "ground",
    "wall",
    "ceiling",
    "table",
    "shelf",
    "stairs",
    "column",
    "tree",
    "box",
    "toy",
)
SKY, GROUND, WALL, CEILING, TABLE, SHELF, STAIRS, COLUMN, TREE, BOX, TOY = range(len(CLASSES))


def random_color(rng: np.random.Generator, value: tuple[float, float], saturation: float) -> Color:
    """A linear RGB colour of random hue, brightness in `value`, saturation up to `saturation`."""
    hue, level = rng.uniform(), rng.uniform(*value)
    amount = saturation * rng.uniform(0.4, 1.0)
    ramp = np.abs(np.mod(hue + np.array([0.0, 2 / 3, 1 / 3]), 1.0) * 6 - 3) - 1
    red, green, blue = (level * (1 - amount + amount * np.clip(ramp, 0, 1))).tolist()
    return red, green, blue


def dimmed(rng: np.random.Generator, color: Color, low: float, high: float) -> Color:
    """Each channel of a colour times a factor of its own in low..high."""
    red, green, blue = (channel * rng.uniform(low, high) for channel in color)
    return red, green, blue


def wood(rng: np.random.Generator) -> Material:
    """Planks between pale and dark brown."""
    level = rng.uniform(0.25, 1.0)
    light = (0.55 * level, 0.33 * level, 0.16 * level)
    dark = (0.25 * level, 0.13 * level, 0.06 * level)
    return Material(light, dark, Pattern.WOOD, period_m=rng.uniform(0.08, 0.2), gloss=0.15)


def stone(rng: np.random.Generator) -> Material:
    """Pale, mottled stone or plaster."""
    level = rng.uniform(0.4, 0.75)
    color = (level, level * rng.uniform(0.92, 1.0), level * rng.uniform(0.82, 1.0))
    second = gray(0.6 * level)
    return Material(color, second, Pattern.NOISE, period_m=rng.uniform(0.2, 0.5), gloss=0.05)


def concrete(rng: np.random.Generator) -> Material:
    """Gray concrete."""
    level = rng.uniform(0.25, 0.5)
    return Material(gray(level), gray(0.8 * level), Pattern.NOISE, period_m=0.3)


def painted(rng: np.random.Generator) -> Material:
    """Saturated, glossy paint, in one or two colours."""
    pattern = Pattern(rng.choice([Pattern.PLAIN, Pattern.STRIPES, Pattern.CHECKER]))
    color, second = (random_color(rng, (0.45, 0.9), 0.95) for _ in range(2))
    return Material(color, second, pattern, period_m=rng.uniform(0.08, 0.2), gloss=0.5, mottle=0.05)


def cardboard(rng: np.random.Generator) -> Material:
    """Brown card, sometimes painted over."""
    if rng.uniform() < 0.35:
        color = random_color(rng, (0.3, 0.7), 0.7)
        return Material(color, color, Pattern.PLAIN)
    level = rng.uniform(0.7, 1.1)
    color, tape = (0.45 * level, 0.30 * level, 0.16 * level), (0.6, 0.5, 0.35)
    return Material(color, tape, Pattern.TILES, period_m=rng.uniform(0.3, 0.6))


def any_material(rng: np.random.Generator) -> Material:
    """Any pattern in any two colours: what a hard scene is clad in."""
    color, second = (random_color(rng, (0.15, 0.85), 0.8) for _ in range(2))
    return Material(
        color,
        second,
        Pattern(rng.integers(len(Pattern))),
        period_m=rng.uniform(0.1, 0.5),
        gloss=rng.uniform(0, 0.5),
        phase=rng.uniform(),
    )


Choose = Callable[[Callable[[np.random.Generator], Material]], Material]
"""Picks the class's own material, or any, as the scene's difficulty has it."""


def table(scene: SceneBuilder, frame: Frame, rng: np.random.Generator, choose: Choose) -> None:
    """A table with four legs, or a round one on a foot."""
    top, leg = choose(wood), choose(wood)
    height_m, thick_m = rng.uniform(0.68, 0.8), rng.uniform(0.025, 0.05)
    if rng.uniform() < 0.3:
        radius_m = rng.uniform(0.4, 0.7)
        disc, foot = (radius_m, thick_m, radius_m), (0.06, height_m / 2, 0.06)
        scene.cylinder(TABLE, top, center_m=(0, height_m, 0), half_m=disc, frame=frame)
        scene.cylinder(TABLE, leg, center_m=(0, height_m / 2, 0), half_m=foot, frame=frame)
        return
    half_x, half_z = rng.uniform(0.5, 0.9), rng.uniform(0.3, 0.45)
    slab = (half_x, thick_m, half_z)
    scene.box(TABLE, top, center_m=(0, height_m, 0), half_m=slab, frame=frame)
    for x in (-half_x + 0.06, half_x - 0.06):
        for z in (-half_z + 0.06, half_z - 0.06):
            where = {"center_m": (x, height_m / 2, z), "half_m": (0.045, height_m / 2, 0.045)}
            scene.box(TABLE, leg, frame=frame, **where)


def shelf(scene: SceneBuilder, frame: Frame, rng: np.random.Generator, choose: Choose) -> None:
    """An open shelf with a back and three to five boards."""
    material = choose(wood)
    half_x, height_m, half_z = rng.uniform(0.4, 0.75), rng.uniform(1.5, 2.1), rng.uniform(0.15, 0.2)
    for x in (-half_x, half_x):
        side = {"center_m": (x, height_m / 2, 0), "half_m": (0.02, height_m / 2, half_z)}
        scene.box(SHELF, material, frame=frame, **side)
    back = {"center_m": (0, height_m / 2, -half_z), "half_m": (half_x, height_m / 2, 0.01)}
    scene.box(SHELF, material, frame=frame, **back)
    for y in np.linspace(0.08, height_m, rng.integers(4, 6)):
        scene.box(SHELF, material, center_m=(0, y, 0), half_m=(half_x, 0.02, half_z), frame=frame)


def stairs(scene: SceneBuilder, frame: Frame, rng: np.random.Generator, choose: Choose) -> None:
    """Four to seven solid steps that rise away from the frame's front (+z)."""
    material = choose(concrete)
    steps, half_x = int(rng.integers(4, 8)), rng.uniform(0.6, 1.0)
    rise_m, run_m = rng.uniform(0.15, 0.2), rng.uniform(0.26, 0.32)
    for i in range(steps):
        height_m = rise_m * (i + 1)
        half = (half_x, height_m / 2, run_m / 2)
        center = (0, height_m / 2, run_m * (steps / 2 - i - 0.5))
        scene.box(STAIRS, material, center_m=center, half_m=half, frame=frame)


def column(scene: SceneBuilder, frame: Frame, rng: np.random.Generator, choose: Choose) -> None:
    """A round column on a square base with a square capital."""
    material = choose(stone)
    height_m, radius_m = rng.uniform(2.3, 3.2), rng.uniform(0.13, 0.25)
    base = (radius_m * 1.4, 0.08, radius_m * 1.4)
    scene.box(COLUMN, material, center_m=(0, 0.08, 0), half_m=base, frame=frame)
    scene.box(COLUMN, material, center_m=(0, height_m, 0), half_m=base, frame=frame)
    shaft = {"center_m": (0, height_m / 2, 0), "half_m": (radius_m, height_m / 2, radius_m)}
    scene.cylinder(COLUMN, material, frame=frame, shape=rng.uniform(0.75, 1.0), **shaft)


def tree(scene: SceneBuilder, frame: Frame, rng: np.random.Generator, choose: Choose) -> None:
    """A conifer of two cones, or a round crown, on a trunk."""
    bark = choose(wood)
    level = rng.uniform(0.5, 1.0)
    leaf_color = (0.12 * level, 0.32 * level, 0.08 * level)
    leaf_dark = (0.03 * level, 0.10 * level, 0.02 * level)
    leaves = Material(leaf_color, leaf_dark, Pattern.NOISE, period_m=0.15, mottle=0.5)
    trunk_m, size_m = rng.uniform(0.5, 1.2), rng.uniform(0.5, 0.9)
    trunk = {"center_m": (0, trunk_m / 2, 0), "half_m": (0.1, trunk_m / 2, 0.1)}
    scene.cylinder(TREE, bark, frame=frame, **trunk)
    if rng.uniform() < 0.5:
        for lift, shrink in ((0.6, 1.0), (1.3, 0.7)):
            half = (size_m * shrink, 0.7 * size_m, size_m * shrink)
            center = (0, trunk_m + lift * size_m, 0)
            scene.add(
                Kind.FRUSTUM, TREE, leaves, center_m=center, half_m=half, frame=frame, shape=0.05
            )
        return
    half = (size_m, size_m * rng.uniform(0.9, 1.3), size_m)
    center = (0, trunk_m + 0.85 * half[1], 0)
    scene.add(Kind.ELLIPSOID, TREE, leaves, center_m=center, half_m=half, frame=frame)


def box(scene: SceneBuilder, frame: Frame, rng: np.random.Generator, choose: Choose) -> None:
    """A crate, sometimes with a smaller one on it."""
    half = rng.uniform(0.2, 0.42, 3)
    scene.box(BOX, choose(cardboard), center_m=(0, half[1], 0), half_m=half, frame=frame)
    if rng.uniform() < 0.4:
        upper = half * rng.uniform(0.5, 0.8)
        turn = rotation(rng.uniform(0, 90))
        center = (0, 2 * half[1] + upper[1], 0)
        scene.box(BOX, choose(cardboard), center_m=center, half_m=upper, frame=frame, turn=turn)


def toy(scene: SceneBuilder, frame: Frame, rng: np.random.Generator, choose: Choose) -> None:
    """A ball, a cone, or a ring that lies, leans or stands."""
    material = choose(painted)
    what = rng.choice(["ball", "cone", "ring"])
    if what == "ball":
        r = rng.uniform(0.22, 0.45)
        where = {"center_m": (0, r, 0), "half_m": (r, r, r)}
        scene.add(Kind.ELLIPSOID, TOY, material, frame=frame, **where)
    elif what == "cone":
        r, half_y = rng.uniform(0.22, 0.36), rng.uniform(0.3, 0.5)
        where = {"center_m": (0, half_y, 0), "half_m": (r, half_y, r), "shape": 0.08}
        scene.add(Kind.FRUSTUM, TOY, material, frame=frame, **where)
    else:
        r, tube = rng.uniform(0.28, 0.45), rng.uniform(0.28, 0.42)
        tilt_deg = rng.choice([0.0, rng.uniform(20, 90)])
        height_m = r * (tube + abs(np.sin(np.radians(tilt_deg))))
        where = {"center_m": (0, height_m, 0), "half_m": (r, r, r), "shape": tube}
        turn = rotation(pitch_deg=tilt_deg)
        scene.add(Kind.TORUS, TOY, material, frame=frame, turn=turn, **where)


OBJECTS = {
    "table": table,
    "shelf": shelf,
    "stairs": stairs,
    "column": column,
    "tree": tree,
    "box": box,
    "toy": toy,
}
FOOTPRINT_M = {
    "table": 0.95,
    "shelf": 0.75,
    "stairs": 1.25,
    "column": 0.35,
    "tree": 0.85,
    "box": 0.6,
    "toy": 0.55,
}

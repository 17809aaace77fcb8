"""The pool of instructions that a generator is tuned on: tasks, colour maps, random legends.

A generator that knows one legend has learned colours, not the prompt: with the colours changed, an
open reproduction of the paper fell from 54.3 to 7.1 mIoU. So the legend changes from row to row,
and its wording too.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from teacher.colormaps import COLOR_MAPS
from teacher.colors import ColorForm
from teacher.depth import CUBE_WALK, ColorMap, DepthCodec, Gray, encode_depth
from teacher.legend import LegendForm
from teacher.normals import encode_normals
from teacher.painters.card import segment_instruction, task_of
from teacher.palette import MAX_DISTINCT, Palette, distinct_colors, encode_segments
from teacher.prompts import depth_prompt, normal_prompt, segment_prompt
from teacher.sample import Labels

GRAY = "gray"
MAPS: dict[str, DepthCodec] = {GRAY: Gray(0, 1), **{n: ColorMap(n, 0, 1) for n in COLOR_MAPS}}
"""Further colours of depth; they paint the cube walk's own scale, 0 = 0 m and 1 = infinity."""


@dataclass(frozen=True)
class Instruction:
    """One thing to ask a generator for, and how its answer is painted."""

    name: str
    """depth, depth-plasma, normal, segment, segment@2."""
    text: str
    palette: Palette | None = None
    """The legend, for segmentation."""

    @property
    def task(self) -> str:
        """depth, normal or segment."""
        return task_of(self.name).partition("-")[0]

    @property
    def is_map(self) -> bool:
        """Whether it asks for depth in other colours than the codec's."""
        return self.name.startswith("depth-")

    def paint(self, labels: Labels) -> np.ndarray:
        """The labels as (H, W, 3) uint8; they must have the task."""
        if self.palette is not None:
            assert labels.segment is not None
            return encode_segments(labels.segment, self.palette)
        if self.task == "normal":
            assert labels.normal is not None
            return encode_normals(labels.normal)
        assert labels.depth_m is not None
        if self.is_map:
            codec = MAPS[self.name.removeprefix("depth-")]
            return encode_depth(CUBE_WALK.fraction(labels.depth_m), codec)
        return encode_depth(labels.depth_m)


def depth_map_prompt(name: str) -> str:
    """Asks for metric depth in gray, plasma, inferno or viridis, on the cube walk's scale."""
    quarters = (f"{float(CUBE_WALK.metres(np.float64(f))):.1f} m" for f in (0.25, 0.5, 0.75))
    colors = "gray levels" if name == GRAY else f"the colormap {name}"
    ends = "black is 0 m and white" if name == GRAY else "its first color is 0 m and its last"
    return (
        f"Generate a visualization image of metric depth in {colors}: {ends} is infinitely far,"
        f" and the quarters in between are {', '.join(quarters)}."
    )


def random_legend(palette: Palette, rng: np.random.Generator) -> Palette:
    """The same classes in colours drawn from a set twice as large (150 at most)."""
    count = len(palette)
    colors = distinct_colors(min(2 * count, MAX_DISTINCT)) if count <= MAX_DISTINCT else []
    if len(colors) < count:
        return palette.permuted(int(rng.integers(2**31)))
    return Palette(palette.names, colors[rng.permutation(len(colors))[:count]])


def instruction_pool(
    palette: Palette | None,
    tasks: Collection[str],
    legends: int,
    random_legends: int,
    seed: int,
) -> tuple[Instruction, ...]:
    """All that a generator is asked for in tuning; those with a name of TeacherCard come first.

    palette: of the classes; None where there are none.
    legends: those that the teacher is asked for later. random_legends: further ones, in other
    colours and forms (JSON or prose; RGB or hex).
    """
    pool = []
    if "depth" in tasks:
        pool.append(Instruction("depth", depth_prompt()))
    if "normal" in tasks:
        pool.append(Instruction("normal", normal_prompt()))
    if palette and "segment" in tasks:
        for number, legend in enumerate(palette.legends(legends)):
            pool.append(Instruction(segment_instruction(number), segment_prompt(legend), legend))
    if "depth" in tasks:
        pool += [Instruction(f"depth-{name}", depth_map_prompt(name)) for name in MAPS]
    if palette and "segment" in tasks:
        pool += _random_legends(palette, range(legends, legends + random_legends), seed)
    return tuple(pool)


def _random_legends(palette: Palette, numbers: Sequence[int], seed: int) -> list[Instruction]:
    rng = np.random.default_rng([seed, len(palette)])
    forms: list[tuple[LegendForm, ColorForm]] = [
        (form, colors) for form in ("json", "prose") for colors in ("rgb", "hex")
    ]
    found = []
    for number in numbers:
        legend = random_legend(palette, rng)
        form, colors = forms[rng.integers(len(forms))]
        text = segment_prompt(legend, form=form, colors=colors)
        found.append(Instruction(segment_instruction(number), text, legend))
    return found


def draw_instructions(
    pool: Sequence[Instruction], tasks: Collection[str], legend_draws: int, rng: np.random.Generator
) -> list[int]:
    """Rows of the pool in which one picture is painted: depth in its codec and in one other map,
    normals, and a few legends."""

    def some(fits: list[int], count: int) -> list[int]:
        return [int(row) for row in rng.permutation(fits)[:count]]

    rows = {name: [] for name in ("depth", "map", "normal", "segment")}
    for row, instruction in enumerate(pool):
        if instruction.task in tasks:
            rows["map" if instruction.is_map else instruction.task].append(row)
    legends = some(rows["segment"], legend_draws)
    return [*rows["depth"], *some(rows["map"], 1), *rows["normal"], *legends]

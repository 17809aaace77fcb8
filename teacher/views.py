"""The views of a photograph that are painted for a vote, and how each is undone.

A generator errs differently when it starts from another seed, sees the photograph mirrored, or is
given another legend; what it says each time is more likely true. Undone views lie pixel on pixel.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from teacher.painters import Painter
from teacher.painters.card import TeacherCard, segment_instruction
from teacher.predictors.card import PredictorCard


@dataclass(frozen=True, kw_only=True)
class View:
    """One way in which a photograph is painted."""

    number: int
    """0 is the photograph as it is, in the first legend, with the sample's own seed."""
    mirrored: bool
    """Painted left to right."""
    legend: int
    """Which of the card's legends the classes are painted in."""
    tasks: tuple[str, ...]
    """What to paint: not what an earlier view would show alike."""

    def instruction(self, task: str) -> str:
        """The painter's name for a task in this view."""
        return segment_instruction(self.legend) if task == "segment" else task


def plan_views(
    card: TeacherCard | PredictorCard, tasks: Sequence[str], votes: int
) -> tuple[View, ...]:
    """The first `votes` views: every second one mirrored, the legends in turn.

    A teacher without noise at the start ignores seeds, so that it has only two views of depth and
    normals, and two for each legend of the classes: what would be painted twice is left out.
    Raises ValueError for fewer than one vote and for more votes than there are different views.
    """
    legends = card.legend_count if "segment" in tasks else 1
    if votes < 1:
        raise ValueError(f"--votes must be at least 1, found {votes}")
    if not card.seeded and votes > 2 * legends:
        raise ValueError(
            f"--votes {votes}: the teacher {card.name} answers the same to every seed, so it has "
            f"only {2 * legends} different views: as it is and mirrored, for each legend"
        )
    painted: set[tuple] = set()
    views = []
    for number in range(votes):
        mirrored = number % 2 == 1
        legend = (number // 2 + mirrored * (legends // 2)) % legends
        alike = {
            task: (task, mirrored, number * card.seeded, legend * (task == "segment"))
            for task in tasks
        }
        new = tuple(task for task in tasks if alike[task] not in painted)
        painted.update(alike.values())
        views.append(View(number=number, mirrored=mirrored, legend=legend, tasks=new))
    return tuple(views)


def view_seed(seed: int, number: int) -> int:
    """The seed of a view: the sample's own for the first, 64 bits that follow from it for others.

    Batch, rank and retry do not enter, as in teacher.manifest.sample_seed.
    """
    if number == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:8])


def paint_view(
    painter: Painter, photographs: np.ndarray, seeds: Sequence[int], view: View
) -> Iterator[tuple[str, np.ndarray]]:
    """Paint one view of a batch and undo it -> (task, painting (B, H, W, 3) float32) each.

    photographs: (B, H, W, 3) uint8 at the teacher's size; seeds: one per photograph.
    """
    shown = np.ascontiguousarray(photographs[:, :, ::-1]) if view.mirrored else photographs
    names = [view.instruction(task) for task in view.tasks]
    painted = painter.paint(shown, names, [view_seed(seed, view.number) for seed in seeds])
    for task, name in zip(view.tasks, names, strict=True):
        yield task, unmirror(painted[name], task) if view.mirrored else painted[name]


def unmirror(painting: np.ndarray, task: str) -> np.ndarray:
    """The painting of a mirrored photograph as that of the photograph: (..., H, W, 3) floats.

    Normals turn with the mirror: x changes its sign, and R = (1 - x) / 2.
    """
    turned = painting[..., ::-1, :]
    if task != "normal":
        return turned
    return np.concatenate([1 - turned[..., :1], turned[..., 1:]], axis=-1)

"""A labeller as the job sees it: photographs in, labels out, in two halves.

`paint` needs the device and is for one thread; `read` needs nothing but a core and is for many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from teacher.painters import Teacher
from teacher.painters.card import TeacherCard
from teacher.painters.runtime import Runtime
from teacher.predictors.card import PredictorCard
from teacher.sample import Labels, Record


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelPlanes:
    """What was found for one photograph: Labels without their record."""

    depth_m: np.ndarray | None = None
    """(H, W) float32; metres, or relative depth if depth_kind says so; NaN = unknown, +inf = sky"""
    depth_kind: str = "metric"
    """Kind of depth_m, where there is any: metric or affine."""
    normal: np.ndarray | None = None
    """(H, W, 3) float32 unit vectors; (0, 0, 0) = unknown"""
    segment: np.ndarray | None = None
    """(H, W) uint8 or uint16 class ids"""
    classes: tuple[str, ...] = ()
    confidence: np.ndarray
    """(ceil(H / 4), ceil(W / 4), 3) uint8, in the order of TASKS; 0 = no label, 255 = certain"""

    def with_record(self, record: Record) -> Labels:
        """The labels, ready to be stored."""
        return Labels(
            depth_m=self.depth_m,
            depth_kind=None if self.depth_m is None else self.depth_kind,
            normal=self.normal,
            segment=self.segment,
            classes=self.classes,
            confidence=self.confidence,
            record=record,
        )


class Labeller(Protocol):
    """Anything that labels photographs for a job: a painter's labels, or a network's own."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it labels, in the order of TASKS."""
        ...

    def fit(self, photograph: np.ndarray) -> np.ndarray:
        """A photograph (H, W, 3) uint8 at the size in which it is labelled, and its labels stored.

        Raises ValueError for one that cannot be used.
        """
        ...

    def paint(self, photographs: Sequence[np.ndarray], seeds: Sequence[int]) -> Sequence[Any]:
        """All that needs the device, for photographs of one size that `fit` returned.

        seeds: one per photograph. Returns one item for each, in host memory, for `read`.
        """
        ...

    def read(self, painted: Any, /) -> LabelPlanes:
        """The labels of one photograph from its item. Raises ValueError if there are none."""
        ...

    def provenance(self) -> Mapping[str, Any]:
        """How the labels come about: `teacher` and, where they apply, `prompts`, `steps`, `votes`,
        `depth_codec` and `palette`, as fields of a Record."""
        ...


def require_tasks(card: TeacherCard | PredictorCard, tasks: Sequence[str]) -> None:
    """Raise ValueError for a task that a teacher does not label, and say what would change that."""
    for task in tasks:
        if task not in card.tasks:
            classes = ", classes and their palette" if task == "segment" else ""
            advice = f", or write an instruction{classes} for it into its teacher.json"
            raise ValueError(
                f"the teacher {card.name} does not label {task}: {', '.join(card.tasks)}; give "
                f"--tasks {','.join(card.tasks)}"
                + (advice if isinstance(card, TeacherCard) else "")
            )


def build_labeller(
    teacher: Teacher,
    tasks: Sequence[str],
    votes: int = 1,
    **runtime: Any,
) -> Labeller:
    """Load a teacher's networks and label with them.

    A painter's paintings are read as labels; a predictor answers with labels itself.
    runtime: fields of teacher.painters.runtime.Runtime: device, dtype, compile, ...
    Raises ValueError for tasks, votes, a device or a dtype that are not there.
    """
    from teacher.label import TeacherLabeller
    from teacher.predictors.labeller import PredictorLabeller

    options = Runtime(**runtime)
    if isinstance(teacher.card, PredictorCard):
        return PredictorLabeller(teacher.predictor(options), tasks, votes)
    return TeacherLabeller(teacher.painter(options), tasks, votes)

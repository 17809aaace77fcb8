"""Painters: photograph + instruction + seed -> painted RGB; one file for each generator family."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from teacher.model_folder import read_layout, refuse_unsafe_files
from teacher.painters.adapter import Adapter, open_adapter
from teacher.painters.card import TeacherCard, read_card
from teacher.painters.hub import EMBEDDED, locate
from teacher.painters.runtime import ON_CPU, Runtime
from teacher.predictors import PREDICTORS, read_predictor_card
from teacher.predictors.card import PredictorCard
from teacher.predictors.protocol import Predictor

if TYPE_CHECKING:
    from teacher.painters.editor import Editor

__all__ = ["EMBEDDED", "FAMILIES", "Family", "Painter", "Teacher", "load_painter", "open_teacher"]


class Painter(Protocol):
    """An image generator that paints labels."""

    card: TeacherCard

    def paint(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> Mapping[str, np.ndarray]:
        """Paint each task for each photograph of a batch.

        photographs: (B, H, W, 3) uint8 sRGB; H and W multiples of card.multiple_px.
        seeds: one per photograph; the same for every task.
        Returns task -> (B, H, W, 3) float32, 0 to 1. All tasks in one call, so that a photograph
        is encoded once. Floats, so that a row that overflowed shows as NaN instead of as black.
        Raises ValueError for a task without an instruction and for a size that does not fit.
        """
        ...


class Family(NamedTuple):
    """Where the code of a family is; imported when it is needed."""

    module: str
    name: str
    editor: bool = False
    """An Editor, which FlowPainter paints with; else a painter:
    name(folder, card, runtime, adapter)."""


FAMILIES = {
    "FluxControlPipeline": Family("teacher.painters.flux_control", "FluxControlEditor", True),
    "FluxKontextPipeline": Family("teacher.painters.flux_kontext", "FluxKontextEditor", True),
    "Flux2KleinPipeline": Family("teacher.painters.flux2_klein", "Flux2KleinEditor", True),
    "QwenImageEditPipeline": Family("teacher.painters.qwen_edit", "QwenEditEditor", True),
    "QwenImageEditPlusPipeline": Family("teacher.painters.qwen_edit", "QwenEditPlusEditor", True),
    **dict.fromkeys(
        ("StableDiffusionInstructPix2PixPipeline", "StableDiffusionXLInstructPix2PixPipeline"),
        Family("teacher.painters.instruct_pix2pix", "InstructPix2PixPainter"),
    ),
}
"""Class of a diffusers pipeline -> what drives it."""


@dataclass(frozen=True)
class Teacher:
    """A teacher folder that was checked, but whose networks are not loaded yet."""

    folder: Path
    card: TeacherCard | PredictorCard
    adapter: Adapter | None = None
    """A LoRA adapter, for painters."""

    def painter(self, runtime: Runtime = ON_CPU) -> Painter:
        """Load the networks. Raises ValueError for a device that is not there, an adapter that
        does not fit, and a teacher that predicts labels instead of painting them."""
        card, family = self._painted()
        if not family.editor:
            return _imported(family)(self.folder, card, runtime, self.adapter)
        from teacher.painters.flow import FlowPainter
        from teacher.painters.instructions import teacher_prompts

        editor = self.editor(runtime)
        return FlowPainter(editor, card, teacher_prompts(editor, card, self.adapter))

    def editor(self, runtime: Runtime = ON_CPU) -> "Editor":
        """Load the networks of a flow-matching generator, without instructions.

        Raises ValueError as painter does, and for a generator of another kind.
        """
        card, family = self._painted()
        if not family.editor:
            raise ValueError(f"{card.name} is a {card.layout}, no flow-matching generator")
        weights = self.adapter.weights if self.adapter else None
        return _imported(family).load(self.folder, runtime, weights)

    @property
    def painter_card(self) -> TeacherCard:
        """The card of a painter. Raises ValueError for a teacher that is none."""
        return self._painted()[0]

    def _painted(self) -> tuple[TeacherCard, Family]:
        if isinstance(self.card, PredictorCard):
            raise ValueError(
                f"{self.card.name} is a {self.card.layout}, which predicts labels and does not "
                "paint them"
            )
        return self.card, FAMILIES[self.card.layout]

    def predictor(self, runtime: Runtime) -> Predictor:
        """Load a network that labels without painting. Raises ValueError as painter does."""
        if not isinstance(self.card, PredictorCard):
            raise ValueError(f"{self.card.name} is a {self.card.layout}, which paints labels")
        family = PREDICTORS[self.card.layout]
        predictor_class = getattr(importlib.import_module(family.module), family.predictor)
        return predictor_class(self.folder, self.card, runtime)


def open_teacher(
    path_or_hub_id: str | Path,
    *,
    revision: str | None = None,
    lora: str | Path | None = None,
    steps: int | None = None,
) -> Teacher:
    """Check a teacher and read its card; loads neither torch nor weights.

    path_or_hub_id: a folder, OWNER/NAME on the Hugging Face hub with a `revision`, or "embedded".
    lora: a LoRA adapter for it, a safetensors file or a folder; see teacher.painters.adapter.
    steps: denoising steps of a painting, in place of the teacher's own.
    Raises FileNotFoundError for what is missing; ValueError for pickled weights, code, an unknown
    family, another schema.
    """
    adapter = None if lora is None else open_adapter(Path(lora))
    folder, commit = locate(str(path_or_hub_id), revision, adapter)
    refuse_unsafe_files(folder)
    layout = read_layout(folder)
    if layout not in FAMILIES | PREDICTORS:
        known = ", ".join(sorted(FAMILIES | PREDICTORS))
        raise ValueError(f"{folder}: unknown generator family {layout!r}; known: {known}")
    where: dict[str, Any] = {"path_or_hub_id": str(path_or_hub_id), "revision": commit}
    if layout in FAMILIES:
        card = read_card(folder, adapter=adapter, **where)
    elif adapter is not None:
        raise ValueError(f"{adapter.path}: a {layout} takes no adapter here; leave lora out")
    else:
        card = read_predictor_card(folder, **where)
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, found {steps}")
    return Teacher(folder, card if steps is None else replace(card, steps=steps), adapter)


def load_painter(
    path_or_hub_id: str | Path,
    *,
    revision: str | None = None,
    lora: str | Path | None = None,
    steps: int | None = None,
    **runtime: Any,
) -> Painter:
    """Open a teacher (see open_teacher) and load its networks.

    runtime: fields of teacher.painters.runtime.Runtime: device, dtype, compile, ...
    """
    options = Runtime(**runtime)
    teacher = open_teacher(path_or_hub_id, revision=revision, lora=lora, steps=steps)
    return teacher.painter(options)


def _imported(family: Family) -> Any:
    return getattr(importlib.import_module(family.module), family.name)

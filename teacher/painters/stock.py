"""A generator as its authors publish it: text encoders, but no teacher.json and no instructions.

It is asked for depth and normals with the texts of teacher.prompts, in the cube walk's colours. For
segmentation somebody has to say which classes there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacher.depth import CUBE_WALK, codec_to_json
from teacher.model_folder import read_json, readme_licence
from teacher.painters.adapter import INSTRUCTIONS, Adapter
from teacher.prompts import depth_prompt, normal_prompt

TEXT = ("text_encoder", "tokenizer")
"""How the names of the components begin that embed instructions."""


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How a family is used if nobody says otherwise."""

    resolution_px: int = 1024
    """Short side: all of these pipelines work at about one megapixel."""
    multiple_px: int = 16
    """What the published autoencoders and transformers need."""
    steps: int
    """Denoising steps."""


HABITS = {
    "FluxControlPipeline": Habits(steps=28),
    "FluxKontextPipeline": Habits(steps=28),
    "Flux2KleinPipeline": Habits(steps=4),
    "QwenImageEditPipeline": Habits(steps=1),
    "QwenImageEditPlusPipeline": Habits(steps=1),
    "StableDiffusionInstructPix2PixPipeline": Habits(resolution_px=512, steps=100),
    "StableDiffusionXLInstructPix2PixPipeline": Habits(steps=100),
}
"""Steps: the pipelines' own defaults; for FLUX.2-klein those of its step-distilled weights, and for
Qwen-Image-Edit the one of Marigold V2, since it has to be tuned anyway (see qwen_edit.py)."""


def stock_fields(folder: Path, layout: str, name: str) -> dict[str, Any]:
    """Fields of TeacherCard for a folder without teacher.json."""
    habits = HABITS[layout]
    return {
        "name": name,
        "licence": readme_licence(folder),
        "resolution_px": habits.resolution_px,
        "multiple_px": habits.multiple_px,
        "steps": habits.steps,
        "start": "noise",
        "classes": (),
        "palette": (),
        "legends": (),
        "depth_codec": codec_to_json(CUBE_WALK),
        "instructions": {"depth": depth_prompt(), "normal": normal_prompt()},
    }


def text_parts(folder: Path) -> list[str]:
    """Names of the components that embed instructions, of those that the folder has.

    A model of transformers is one network, not a pipeline of components: it has none of them.
    """
    path = folder / "model_index.json"
    index: Mapping[str, Any] = read_json(path) if path.is_file() else {}
    return [
        name
        for name, value in index.items()
        if name.startswith(TEXT) and isinstance(value, list) and value[0] is not None
    ]


def embeds_instructions(folder: Path, adapter: Adapter | None) -> bool:
    """Whether the text encoders are needed: no file of embedded instructions lies with the card."""
    card_folder = (adapter and adapter.card_folder) or folder
    return not (card_folder / INSTRUCTIONS).is_file() and bool(text_parts(folder))

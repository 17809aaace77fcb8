"""The tuned teacher on disk: an adapter beside its base, or a whole generator; card and README."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from teacher.atomic import write_atomically
from teacher.depth import CUBE_WALK, codec_to_json
from teacher.painters.adapter import CARD, INSTRUCTIONS
from teacher.painters.card import TEACHER_SCHEMA, TeacherCard, legend_of
from teacher.painters.editor import Editor
from teacher.painters.instructions import write_prompts
from teacher.painters.stock import text_parts
from teacher.tuning.editors.adapters import save_adapter
from teacher.tuning.editors.config import EditorTuneConfig
from teacher.tuning.editors.instructions import Instruction
from teacher.tuning.editors.prepare import TuningData
from teacher.tuning.editors.retention import Retention

KEPT = ("vae", "scheduler")
"""Parts of a generator that tuning leaves as they are."""

README = """\
---
library_name: diffusers
base_model: {base}
license: {licence}
tags: [{tags}depth-estimation, surface-normals, image-segmentation]
---

# {name}, tuned to paint labels

Paints depth, surface normals and segmentation of a photograph as pictures that decode to labels:

    potstill label {command} --images photographs/ --out labels/

| | |
|---|---|
{table}

It is asked with these instructions; their embeddings lie in instructions.safetensors:

{prompts}

It was trained on {maps} further colour maps of depth and on {legends} random legends besides.
"""


def write_weights(editor: Editor, config: EditorTuneConfig, folder: Path) -> None:
    """The adapter; or, where all was trained, a whole folder without text encoders."""
    if not config.full:
        save_adapter(editor.transformer, folder)
        return
    editor.transformer.bfloat16().save_pretrained(folder / "transformer")
    for part in KEPT:
        shutil.copytree(editor.folder / part, folder / part, dirs_exist_ok=True)
    index = json.loads((editor.folder / "model_index.json").read_text())
    index |= {key: [None, None] for key in text_parts(editor.folder)}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_card(
    editor: Editor, base: TeacherCard, data: TuningData, config: EditorTuneConfig, folder: Path
) -> None:
    """teacher.json and instructions.safetensors: what a teacher is asked for when it labels."""
    asked = _asked(data.pool, config)
    rows = {one.name: torch.tensor([data.pool.index(one)]) for one in asked}
    write_prompts(folder / INSTRUCTIONS, {n: data.prompts.rows(row) for n, row in rows.items()})
    palettes = [one.palette.colors.tolist() for one in asked if one.palette]
    card = {
        "schema": TEACHER_SCHEMA,
        "name": f"{base.name}, tuned",
        "licence": base.licence,
        "resolution_px": min(config.buckets()[0]),
        "multiple_px": editor.multiple_px,
        "steps": config.painting_steps,
        "start": config.start,
        "classes": list(data.classes),
        "palette": palettes[0] if palettes else [],
        "legends": palettes[1:],
        "depth_codec": codec_to_json(CUBE_WALK),
        "instructions": {one.name: one.text for one in asked},
    }
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n")


def _asked(pool: Sequence[Instruction], config: EditorTuneConfig) -> list[Instruction]:
    """The instructions for labelling; maps and random legends serve training alone."""
    return [one for one in pool if not one.is_map and legend_of(one.name) < config.legends]


def write_readme(
    base: TeacherCard,
    data: TuningData,
    config: EditorTuneConfig,
    retention: Retention,
    folder: Path,
) -> None:
    """The model card: data, prompts, codec, objective, retention."""
    kept = retention
    rows = {
        "base": f"{base.path_or_hub_id}, revision {base.revision or 'none'} ({base.layout})",
        "weights of the base": f"sha256 {base.weights_sha256}",
        "trained": _training(config),
        "paints in": f"{config.painting_steps} step(s) from {config.start}",
        "data": f"{data.photographs} photographs labelled in {_paths(config.labels)}",
        "depth codec": json.dumps(codec_to_json(CUBE_WALK)),
        "sizes": f"{', '.join(config.sizes)} (height x width, px)",
        "replay": f"{config.mixture.replay:.0%} of the batches: {_replay(data, config)}",
        "retention": f"generation loss {kept.base_loss:.4f} before, {kept.tuned_loss:.4f} after "
        f"(x {kept.ratio:.3f}), on {kept.pictures} held-out pictures",
    }
    text = README.format(
        name=base.name,
        base=base.path_or_hub_id,
        licence=base.licence or "unknown",
        tags="" if config.full else "lora, ",
        command="--teacher ." if config.full else f"{_base(base)} --lora .",
        table="\n".join(f"| {name} | {value} |" for name, value in rows.items()),
        prompts="\n".join(f"- `{one.name}`: {one.text}" for one in _asked(data.pool, config)),
        maps=sum(one.is_map for one in data.pool),
        legends=sum(legend_of(one.name) >= config.legends for one in data.pool),
    )
    write_atomically(folder / "README.md", text.encode())  # the last file: the run is finished


def _base(base: TeacherCard) -> str:
    """The options of `potstill label` that name the base."""
    revision = f" --revision {base.revision}" if base.revision else ""
    return f"--teacher {base.path_or_hub_id}{revision}"


def _training(config: EditorTuneConfig) -> str:
    what = "all of the transformer" if config.full else f"LoRA, rank {config.lora_rank}"
    rows = config.batch_size * config.accumulate * config.devices
    return f"{what}; objective {config.objective}; {config.steps} steps of {rows} rows"


def _replay(data: TuningData, config: EditorTuneConfig) -> str:
    if config.replay.images:
        return f"captioned photographs of {config.replay.images}"
    prompts = f"{len(data.own_prompts.embeds)} prompt(s)"
    if config.replay.prompts:
        prompts += f" of {config.replay.prompts}"
    return f"{config.replay.pictures} pictures that the base itself made, asked with {prompts}"


def _paths(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))

"""Tune an existing image generator to paint labels, so that it stays a generator.

    labelled shards, instructions -> latents, embeddings --> Lightning -> adapter, card, previews
    captions, or its own pictures -> latents, embeddings -/            -> retention

Every stage leaves files in the run's folder, and training leaves checkpoints, so that a run that
was stopped goes on where it was.
"""

import os
from pathlib import Path

import torch

from teacher.painters import Teacher, open_teacher
from teacher.painters.card import TeacherCard
from teacher.painters.editor import Editor
from teacher.painters.opening import find_device
from teacher.painters.runtime import Runtime
from teacher.progress import console
from teacher.provenance import claim_run
from teacher.tuning.editors.config import EditorTuneConfig
from teacher.tuning.editors.folder import write_card, write_readme, write_weights
from teacher.tuning.editors.loaders import split
from teacher.tuning.editors.prepare import prepare_data
from teacher.tuning.editors.retention import measure_base, measure_tuned
from teacher.tuning.editors.training import precision_of, train


def tune_editor(config: EditorTuneConfig) -> Path:
    """Run all stages and return the folder of the tuned teacher.

    Raises ValueError and FileNotFoundError for a base, data or settings that do not fit.
    """
    base = open_teacher(config.base, revision=config.revision)
    card, out, folder = base.card, config.out, config.out / "teacher"
    if not isinstance(card, TeacherCard):
        raise ValueError(f"{config.base} is a {card.layout}, and no generator to be tuned")
    if _is_main_process():
        claim_run(out, config, free=("device",), base=card.identity())
    if (folder / "README.md").exists():
        console.log(f"teacher: {folder} (was there)")
        return folder
    editor = _load(base, config)
    data = prepare_data(editor, card, config)
    own, kept = split(data.own, config.replay.held_out)
    measured = (editor, kept, data.own_prompts, config.replay.steps, out)
    measure_base(*measured)
    average = train(editor, data, own, config)
    if _is_main_process():
        average.swap()
        retention = measure_tuned(*measured)
        write_weights(editor, config, folder)
        write_card(editor, card, data, config, folder)
        write_readme(card, data, config, retention, folder)
        console.log(f"generation loss x {retention.ratio:.3f}; teacher: {folder}")
    return folder


def _load(base: Teacher, config: EditorTuneConfig) -> Editor:
    """The generator on this process's device; frozen weights in half the memory where bf16 is."""
    cuda = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    if cuda:
        find_device(f"cuda:{config.devices - 1}")  # refuses what is not there, before any work
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    halved = precision_of(config) == "bf16-mixed" and not config.full
    runtime = Runtime(
        device=f"cuda:{rank}" if cuda else "cpu", dtype="bfloat16" if halved else "float32"
    )
    return base.editor(runtime)


def _is_main_process() -> bool:
    """Lightning starts the command again for each further device."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0

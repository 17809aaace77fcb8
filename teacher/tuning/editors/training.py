"""Training: Lightning with checkpoints that carry on exactly, averaging, previews and logs."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from teacher.painters.editor import Editor
from teacher.tuning.editors.adapters import prepare_training
from teacher.tuning.editors.averaging import AveragedParameters
from teacher.tuning.editors.bar import StepBar
from teacher.tuning.editors.batches import Mix
from teacher.tuning.editors.checkpoints import (
    LastCheckpoint,
    SafetensorsCheckpoints,
    checkpoint_step,
)
from teacher.tuning.editors.config import EditorTuneConfig
from teacher.tuning.editors.latent_files import Examples
from teacher.tuning.editors.loaders import Batches, split, validation_batches
from teacher.tuning.editors.module import EditorModule
from teacher.tuning.editors.pictures import Previews
from teacher.tuning.editors.prepare import TuningData

DDP = "ddp_find_unused_parameters_true"
"""The text's side of Qwen-Image's last block leads nowhere: its weights get no gradient."""


def train(
    editor: Editor, data: TuningData, own: Sequence[Examples], config: EditorTuneConfig
) -> AveragedParameters:
    """Train from the last checkpoint on; returns the average, which the caller may swap in.

    own: the pictures to replay. Raises ValueError when there is nothing to learn, and when the loss
    is not finite.
    """
    learned, held_out = split(data.painted, config.held_out)
    mix = Mix(learned, data.pool, data.prompts, own, data.own_prompts, config)
    checkpoint = config.out / "checkpoints" / "last.safetensors"
    step = checkpoint_step(checkpoint)
    trained = prepare_training(editor.transformer, config)
    module = EditorModule(editor, trained, config.optimisation, config.steps)
    average = AveragedParameters(trained, config.optimisation.averaging)
    validation = validation_batches(held_out, data.pool, data.prompts, config)
    callbacks = [
        Previews(editor, held_out[0], data.pool, data.prompts, config),
        average,
        StepBar(),
        LastCheckpoint(checkpoint, config.every),
    ]
    trainer = _trainer(config, callbacks, step, editor.device.type)
    trainer.fit(
        module,
        datamodule=Batches(mix, step * config.accumulate, validation, editor.dtype),
        ckpt_path=checkpoint if step else None,
        weights_only=True,
    )
    editor.transformer.to(editor.device)  # Lightning leaves it in host memory
    return average


def _trainer(
    config: EditorTuneConfig, callbacks: list[Any], step: int, accelerator: str
) -> lightning.Trainer:
    _quieten_lightning()
    return lightning.Trainer(
        accelerator=accelerator,
        devices=config.devices,
        strategy=DDP if config.devices > 1 else "auto",
        precision=precision_of(config),
        max_steps=config.steps,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.optimisation.clip_norm,
        val_check_interval=config.every * config.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=min(20, config.every),
        plugins=[SafetensorsCheckpoints()],
        logger=[
            TensorBoardLogger(config.out, name="tensorboard", version=""),
            CSVLogger(config.out, name="metrics", version=f"from_step_{step}"),
        ],
        callbacks=callbacks,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def precision_of(config: EditorTuneConfig) -> Any:
    """The arithmetic that is asked for; auto is bf16 on a GPU that has it."""
    if config.precision != "auto":
        return config.precision
    cuda = config.device != "cpu" and torch.cuda.is_available()
    return "bf16-mixed" if cuda and torch.cuda.is_bf16_supported() else "32-true"


def _quieten_lightning() -> None:
    """Keep advertisements, and what only Lightning's authors can mend, off the screen."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*treespec, LeafSpec.*",
        "Checkpoint directory .* exists",
        ".*does not have many workers.*",
        ".*in eval mode at the start of training.*",
    ):
        warnings.filterwarnings("ignore", message, module="lightning")

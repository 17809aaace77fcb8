"""The Lightning Trainer of a run: devices, precision, loggers, and what happens beside a step."""

import importlib.util
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from distill.callbacks import AveragedWeights, EarlyStop, ProgressBar, StopAtBudget
from distill.checkpoints import CHECKPOINTS, Checkpoints
from distill.config import TrainConfig
from distill.pace import Pace
from distill.previews import Previews
from teacher.atomic import atomic_file

METRICS = "metrics"
"""Folder of the CSV files, one for each start of a run: from_step_N/metrics.csv."""


def build_trainer(config: TrainConfig, start_step: int, pace: Pace) -> lightning.Trainer:
    """A Trainer that ends with the budget; a checkpoint in CHECKPOINTS is all that it leaves."""
    _quieten_lightning()
    return lightning.Trainer(
        accelerator="auto" if config.device == "auto" else config.device,
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        precision=choose_precision(config),
        accumulate_grad_batches=config.accumulate,
        max_epochs=1,
        val_check_interval=config.validate_every * config.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=config.optimisation.clip_norm,
        logger=_loggers(config, start_step),
        callbacks=_callbacks(config, pace),
        plugins=[AtomicCheckpointIO()],
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def choose_precision(config: TrainConfig) -> Any:
    """The precision that is asked for; "auto" is bf16 where the processor multiplies it."""
    if config.precision != "auto":
        return config.precision
    if torch.cuda.is_available() and config.device != "cpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.cpu.get_capabilities().get("avx512_bf16") else "32-true"


def _callbacks(config: TrainConfig, pace: Pace) -> list[Callback]:
    """In the order in which they are called: what a checkpoint holds comes before Checkpoints."""
    averaged = AveragedWeights(config.averaging) if config.averaging else None
    callbacks = [
        averaged,
        pace,
        StopAtBudget(),
        EarlyStop(config.patience) if config.patience else None,
        Previews(config.out),
        ProgressBar(),
        Checkpoints(
            config.out / CHECKPOINTS,
            every_steps=config.validate_every,
            keep_best=config.keep_best,
            averaged=averaged,
        ),
    ]
    return [callback for callback in callbacks if callback is not None]


def _loggers(config: TrainConfig, start_step: int) -> list[Logger]:
    loggers: list[Logger] = [
        CSVLogger(
            config.out,
            name=METRICS,
            version=f"from_step_{start_step}",
            flush_logs_every_n_steps=1,
        )
    ]
    if "tensorboard" in config.logger:
        loggers.append(TensorBoardLogger(config.out, name="tensorboard", version=""))
    if "wandb" in config.logger:
        if importlib.util.find_spec("wandb") is None:
            raise ValueError("--logger wandb: the package is missing: install potstill[wandb]")
        loggers.append(WandbLogger(name=config.out.name, save_dir=config.out))
    return loggers


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, also when the machine stops."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(Path(path)) as file:
            torch.save(checkpoint, file)


def _quieten_lightning() -> None:
    """Keep advertisements, and what only Lightning's authors can mend, off the screen."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (".*treespec, LeafSpec.*", "Checkpoint directory .* exists", ".*num_workers.*"):
        warnings.filterwarnings("ignore", message, module="lightning")

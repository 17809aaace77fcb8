"""Training of the denoiser on cached latents: first as a generator, then on instructions."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from teacher.progress import console, progress_bar
from teacher.tuning.batches import GENERATE, Source, draw_batch
from teacher.tuning.denoiser import (
    Batch,
    Ema,
    Generator,
    build_optimizers,
    cosine,
    generation_rows,
    painting_rows,
    velocity_loss,
)
from teacher.tuning.latents import LatentSet
from teacher.tuning.parallel import Replicas

CHECKPOINT_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One stretch of training of the denoiser."""

    minutes: float = 10.0
    """Training time; the cosine schedule ends with it."""
    replay: float = 0.2
    """Share of a batch in which the model generates photographs; 1 trains a plain generator."""
    batch_size: int = 28
    """Rows of a step for each worker (core); see TASK_SHARES for the tasks."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 0.01
    """On the matrices of the blocks alone."""
    ema_decay: float = 0.999
    """Of the averaged weights, which are the ones that are kept."""
    validation_samples: int = 256
    """So many of the last samples of each set, at most an eighth of it, are kept out of training,
    for the validation loss."""


@torch.no_grad()
def validate(model: Generator, kept: Sequence[LatentSet]) -> dict[str, float]:
    """Mean squared latent error of each instruction, and of generation at fixed noise and t."""
    model.eval()
    names = model.instructions.names
    losses: dict[str, list[float]] = {}
    for latents in kept:
        chance = torch.Generator().manual_seed(0)
        photo = latents.photographs.float()
        which = torch.full((len(photo),), names.index(GENERATE))
        batches = {GENERATE: generation_rows(photo, which, chance)}
        for name, painting in latents.paintings.items():
            which = torch.full((len(photo),), names.index(name))
            batches[name] = painting_rows(photo, painting.float(), latents.known[name], which)
        for name, batch in batches.items():
            with torch.autocast("cpu", torch.bfloat16):
                error = (velocity_loss(model, batch) / batch.weight).mean().item()
            losses.setdefault(name, []).append(error)
    model.train()
    return {name: sum(errors) / len(errors) for name, errors in losses.items()}


def train_stage(
    model: Generator,
    sets: Sequence[tuple[LatentSet, float]],
    config: StageConfig,
    folder: Path,
    name: str,
    seed: int = 0,
    workers: int = 1,
) -> Generator:
    """Train in place for `minutes` and return the model with its averaged weights.

    sets: latents, and how often a batch comes from each. Resumes from `folder`/NAME.checkpoint.*,
    written every two minutes; the seconds already spent count. One replica trains on each of the
    `workers` cores. NAME.jsonl in the folder keeps the validation losses.
    """
    trainer = _Trainer(model, config, folder, name, workers)
    trainer.resume()
    rng = np.random.default_rng([seed, trainer.step])
    chance = torch.Generator().manual_seed(seed + trainer.step)
    names = model.instructions.names
    split = [_split(latents, config.validation_samples) for latents, _ in sets]
    sources = [Source(train, weight) for (train, _), (_, weight) in zip(split, sets)]
    kept = [latents for _, latents in split if len(latents)]
    with progress_bar() as bar:
        task = bar.add_task(name, total=round(config.minutes * 60))
        while trainer.share < 1:
            shares = [
                draw_batch(sources, names, config.batch_size, config.replay, rng, chance)
                for _ in range(workers)
            ]
            loss = trainer.advance(shares)
            bar.update(task, completed=int(trainer.seconds), description=f"{name} {loss:.3f}")
            if trainer.checkpoint_is_due:
                trainer.checkpoint(lambda averaged: validate(averaged, kept))
    trainer.checkpoint(lambda averaged: validate(averaged, kept))
    trainer.ema.load_into(model)
    return model.eval()


def run_stage(
    model: Generator,
    sets: Sequence[tuple[LatentSet, float]],
    config: StageConfig,
    folder: Path,
    name: str,
    seed: int,
    workers: int,
) -> None:
    """Train a stage in place, or load what it left: `folder`/NAME.safetensors."""
    finished = folder / f"{name}.safetensors"
    if not finished.exists():
        train_stage(model, sets, config, folder, name, seed, workers)
        save_file(model.state_dict(), finished)
    model.load_state_dict(load_file(finished))


def _split(latents: LatentSet, kept: int) -> tuple[LatentSet, LatentSet]:
    """The training part of a set, and its validation part."""
    cut = len(latents) - min(kept, len(latents) // 8)
    return latents[slice(0, cut)], latents[slice(cut, None)]


def _mean_loss(model: Generator, share: Batch) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return velocity_loss(model, share).mean()


class _Trainer:
    """Optimiser, average, clock and checkpoints of one stage."""

    def __init__(
        self, model: Generator, config: StageConfig, folder: Path, name: str, workers: int
    ) -> None:
        self.model, self.config, self.folder, self.name = model, config, folder, name
        self.optimizers = build_optimizers(model, config.weight_decay, workers)
        self.replicas = Replicas(model.train(), workers)
        self.ema = Ema(model, config.ema_decay)
        self.step, self.spent, self.smooth = 0, 0.0, 0.0
        self.started = self.saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time so far, over all resumes."""
        return self.spent + time.monotonic() - self.started

    @property
    def share(self) -> float:
        """How far the stage is, 0..1."""
        return self.seconds / (self.config.minutes * 60)

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether the last checkpoint is two minutes old."""
        return time.monotonic() - self.saved > CHECKPOINT_SECONDS

    def advance(self, shares: Sequence[Batch]) -> float:
        """One step; returns the smoothed loss."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * cosine(self.share)
        loss = self.replicas.backward(_mean_loss, shares)
        if not math.isfinite(loss):
            raise ValueError(f"{self.name}: the loss is {loss} at step {self.step}")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.replicas.step(self.optimizers)
        self.ema.update()
        self.step += 1
        self.smooth = loss if self.step == 1 else 0.98 * self.smooth + 0.02 * loss
        return self.smooth

    def checkpoint(self, judge: Callable[[Generator], dict[str, float]]) -> None:
        """Write weights, average and optimiser state; log the losses of the averaged model."""
        state = {"step": self.step, "seconds": self.seconds}
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.average.items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{index}.{k}": v for k, v in moments.items()}
        unfinished = self._path("tmp")
        save_file({k: v.contiguous() for k, v in tensors.items()}, unfinished, _metadata(state))
        unfinished.replace(self._path("safetensors"))
        trained = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.ema.load_into(self.model)
        losses = judge(self.model)
        self.model.load_state_dict(trained)
        with (self.folder / f"{self.name}.jsonl").open("a") as log:
            log.write(json.dumps({**state, "train": self.smooth, **losses}) + "\n")
        shown = ", ".join(f"{k} {v:.4f}" for k, v in losses.items())
        console.log(f"{self.name} step {self.step}: validation {shown}")
        self.saved = time.monotonic()

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one."""
        path = self._path("safetensors")
        if not path.exists():
            return
        tensors = load_file(path)
        self.model.load_state_dict(_under(tensors, "model."))
        self.ema.average = _under(tensors, "ema.")
        for number, optimizer in enumerate(self.optimizers):
            state_dict = optimizer.state_dict()
            for name, value in _under(tensors, f"optimizer.{number}.").items():
                index, moment = name.split(".")
                state_dict["state"].setdefault(int(index), {})[moment] = value
            optimizer.load_state_dict(state_dict)
        state = _read_metadata(path)
        self.step = self.ema.steps = int(state["step"])
        self.spent = float(state["seconds"])
        self.started = time.monotonic()

    def _path(self, suffix: str) -> Path:
        return self.folder / f"{self.name}.checkpoint.{suffix}"


def _metadata(state: dict[str, float]) -> dict[str, str]:
    return {key: str(value) for key, value in state.items()}


def _read_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

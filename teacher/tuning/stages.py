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
from teacher.sample import TASKS
from teacher.tuning.denoiser import (
    Batch,
    Ema,
    Generator,
    build_optimizers,
    cosine,
    generation_rows,
    join,
    painting_rows,
    velocity_loss,
)
from teacher.tuning.paintings import PICTURES
from teacher.tuning.parallel import Replicas

INSTRUCTIONS = (*TASKS, "generate")
GENERATE = INSTRUCTIONS.index("generate")
CHECKPOINT_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One stretch of training of the denoiser."""

    minutes: float = 10.0
    """Training time; the cosine schedule ends with it."""
    replay: float = 0.1
    """Share of a batch in which the model generates photographs; 1 trains a plain generator."""
    batch_size: int = 28
    """Rows of a step for each worker (core); the tasks are drawn evenly."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 0.01
    """On the matrices of the blocks alone."""
    ema_decay: float = 0.999
    """Of the averaged weights, which are the ones that are kept."""
    validation_scenes: int = 256
    """The last scenes of the training set are kept out of it, for the validation loss."""


def draw_batch(
    latents: Tensor, config: StageConfig, rng: np.random.Generator, chance: torch.Generator
) -> Batch:
    """Random samples, views and tasks: latents (N, views, 4, 16, h, w) -> a mixed batch."""
    replayed = round(config.replay * config.batch_size)
    samples = rng.integers(len(latents), size=config.batch_size)
    views = rng.integers(latents.shape[1], size=config.batch_size)
    photo = latents[samples, views, 0].float()
    tasks = torch.from_numpy(rng.integers(len(TASKS), size=config.batch_size - replayed))
    generated = torch.full((replayed,), GENERATE)
    generation = generation_rows(photo[:replayed], generated, chance)
    if replayed == config.batch_size:
        return generation
    painting = latents[samples[replayed:], views[replayed:], tasks + 1].float()
    return join(generation, painting_rows(photo[replayed:], painting, tasks))


@torch.no_grad()
def validate(model: Generator, latents: Tensor) -> dict[str, float]:
    """Mean squared latent error of each task, and of generation at fixed noise and t."""
    model.eval()
    photo = latents[:, 0, 0].float()
    chance = torch.Generator().manual_seed(0)
    rows = {"generate": generation_rows(photo, torch.full((len(photo),), GENERATE), chance)}
    for index, task in enumerate(TASKS):
        painting = latents[:, 0, PICTURES.index(task)].float()
        rows[task] = painting_rows(photo, painting, torch.full((len(photo),), index))
    with torch.autocast("cpu", torch.bfloat16):
        losses = {n: (velocity_loss(model, b) / b.weight).mean().item() for n, b in rows.items()}
    model.train()
    return losses


def train_stage(
    model: Generator,
    latents: Tensor,
    config: StageConfig,
    folder: Path,
    name: str,
    seed: int = 0,
    workers: int = 1,
) -> Generator:
    """Train in place for `minutes` and return the model with its averaged weights.

    Resumes from `folder`/NAME.checkpoint.*, written every two minutes; the seconds already spent
    count. One replica trains on each of the `workers` cores. NAME.jsonl in the folder keeps the
    validation losses.
    """
    trainer = _Trainer(model, config, folder, name, workers)
    trainer.resume()
    rng = np.random.default_rng([seed, trainer.step])
    chance = torch.Generator().manual_seed(seed + trainer.step)
    kept = latents[-config.validation_scenes :]
    train = latents[: -config.validation_scenes]
    with progress_bar() as bar:
        task = bar.add_task(name, total=round(config.minutes * 60))
        while trainer.share < 1:
            shares = [draw_batch(train, config, rng, chance) for _ in range(workers)]
            loss = trainer.advance(shares)
            bar.update(task, completed=int(trainer.seconds), description=f"{name} {loss:.3f}")
            if trainer.checkpoint_is_due:
                trainer.checkpoint(lambda averaged: validate(averaged, kept))
    trainer.checkpoint(lambda averaged: validate(averaged, kept))
    trainer.ema.load_into(model)
    return model.eval()


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

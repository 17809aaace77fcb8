"""What a run leaves on disk while it lasts: the last checkpoint, and the best students."""

import shutil
from pathlib import Path
from typing import Any, cast

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from distill.callbacks import AveragedWeights
from distill.module import DistillModule
from student.model import Student, save_student

CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
LAST_EVERY_S = 300.0
"""Seconds after which a checkpoint is written even if no validation is due."""


class Checkpoints(Callback):
    """Writes last.ckpt, and keeps the students with the best scores in validation.

    last.ckpt holds all that a resumed run needs, and is written after each validation, every five
    minutes, on SIGTERM and at the end. A student, with its averaged weights, is a folder
    best-step_NNNNNN that load_student opens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every_steps: int,
        keep_best: int,
        averaged: AveragedWeights | None,
    ) -> None:
        self.folder = folder
        self.every_steps = every_steps
        self.keep_best = keep_best
        self.averaged = averaged
        self.best: list[list[float]] = []
        """[score, step] of the students that are kept, the best one first."""
        self._saved_s = 0.0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save after a step, if it is time and no validation follows, which saves."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        module = cast(DistillModule, pl_module)
        if trainer.should_stop or trainer.global_step % self.every_steps == 0:
            due = not trainer.enable_validation
        else:
            due = module.elapsed_s - self._saved_s > LAST_EVERY_S
        if due:
            self._save(trainer, module)

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Keep the student if it is one of the best; drop another when a checkpoint knows it."""
        module = cast(DistillModule, pl_module)
        if module.score is not None and trainer.is_global_zero:
            self._consider(module, module.score, trainer.global_step)
        self._save(trainer, module)
        if trainer.is_global_zero:
            self._drop_displaced()

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        if isinstance(exception, SIGTERMException):
            self._save(trainer, cast(DistillModule, pl_module))

    def _save(self, trainer: lightning.Trainer, module: DistillModule) -> None:
        trainer.save_checkpoint(self.folder / LAST)
        self._saved_s = module.elapsed_s

    def _consider(self, module: DistillModule, score: float, step: int) -> None:
        """Store the student if it is among the best."""
        ranked = sorted([*self.best, [score, step]], reverse=True)[: self.keep_best]
        if ranked != self.best:
            student = self.averaged.student if self.averaged else module.student
            _store(student, self.folder / _name(step))
            self.best = ranked

    def _drop_displaced(self) -> None:
        kept = {_name(int(step)) for _, step in self.best}
        for folder in self.folder.glob("best-step_*"):
            if folder.name not in kept:
                shutil.rmtree(folder)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


def _name(step: int) -> str:
    return f"best-step_{step:06d}"


def _store(student: Student, folder: Path) -> None:
    """Write a student's folder so that it is there whole or not at all."""
    unfinished = folder.with_name(f".{folder.name}")
    for old in (unfinished, folder):
        shutil.rmtree(old, ignore_errors=True)
    save_student(student, unfinished).rename(folder)

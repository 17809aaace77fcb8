"""The LightningModule: a training step, the optimiser, and validation by the project's metrics."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from distill.evaluate import read_outputs
from distill.metrics import Scores
from distill.objective import Objective
from distill.optimisation import Optimisation
from distill.samples import Batch
from distill.schedule import Budget, cosine
from student import Student


@dataclass(frozen=True, kw_only=True, eq=False)
class _Target:
    """The labels of one image of a batch, as metrics.Truth."""

    depth_m: np.ndarray | None
    depth_kind: str | None
    normal: np.ndarray | None
    segment: np.ndarray | None
    classes: tuple[str, ...]


class DistillModule(lightning.LightningModule):
    """Trains a student on labels. `validation` holds the scores of the last validation."""

    def __init__(
        self, student: Student, objective: Objective, optimisation: Optimisation, budget: Budget
    ) -> None:
        super().__init__()
        self.student = student
        self.objective = objective
        self.optimisation = optimisation
        self.budget = budget
        self.validation: dict[str, dict] = {}
        self._scores = Scores()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """What the settings build."""
        return self.optimisation.build(self.student)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate by the share of the budget that is spent."""
        fraction = self.budget.fraction(self.global_step)
        factor = cosine(fraction, self.optimisation.warmup_fraction)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["peak"] * factor

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The weighted sum of the losses. Raises ValueError when it is not finite."""
        parts = self._losses(batch)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise ValueError(
                f"the loss is not finite at step {self.global_step}, photographs "
                f"{', '.join(batch.keys)}: lower "
                "--optimisation.learning_rate, or use --precision 32-true"
            )
        values = {f"loss/{name}": value.detach() for name, value in parts.items()}
        self.log_dict({"loss": total.detach(), **values}, batch_size=len(batch.keys))
        return total

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        images = batch.images.contiguous(memory_format=torch.channels_last)
        affine = self.student.config.depth_kind == "affine"
        return self.objective.losses(self.student(images), batch, affine)

    def on_validation_epoch_start(self) -> None:
        """Start new scores."""
        self._scores = Scores()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score predictions of the averaged weights against held-out labels."""
        predictions = read_outputs(self.student(batch.images), self.student)
        for prediction, target in zip(predictions, self._targets(batch), strict=True):
            self._scores.update(prediction, target)

    def _targets(self, batch: Batch) -> Iterator[_Target]:
        """The labels of each image; IGNORE_INDEX becomes an id that is no class."""
        config = self.student.config
        arrays = {task: plane.cpu().numpy() for task, plane in batch.labels.items()}
        if "normal" in arrays:
            arrays["normal"] = arrays["normal"].transpose(0, 2, 3, 1)
        if "segment" in arrays:
            arrays["segment"] = arrays["segment"].astype(np.uint32)
        for row in range(len(batch.keys)):
            planes = {task: plane[row] for task, plane in arrays.items()}
            yield _Target(
                depth_m=planes.get("depth"),
                depth_kind=config.depth_kind,
                normal=planes.get("normal"),
                segment=planes.get("segment"),
                classes=config.classes,
            )

    def on_validation_epoch_end(self) -> None:
        """Keep the scores, and log those that are numbers."""
        self.validation = self._scores.result()
        for task, scores in self.validation.items():
            for name, value in scores.items():
                if isinstance(value, float):
                    self.log(f"val/{task}/{name}", value)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the time that is spent."""
        checkpoint["spent_s"] = self.budget.elapsed_s

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the time that was spent."""
        self.budget.spent_s = checkpoint["spent_s"]

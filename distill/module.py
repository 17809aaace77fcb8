"""The LightningModule: a training step, the optimiser, and validation by the project's metrics."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

import lightning
import torch
from torch import Tensor

from distill.balance import Uncertainty
from distill.feature_alignment import FeatureAligner
from distill.labellers import read_outputs
from distill.metrics import Prediction, Scores
from distill.objective import Losses
from distill.optimisation import build_optimiser
from distill.order import mix
from distill.samples import Batch
from distill.schedule import Budget, cosine
from distill.settings import Objective, Optimisation
from distill.targets import batch_targets
from student.model import Student

SCORED = {"depth": "delta1", "normal": "within_11_25", "segment": "miou"}
"""Task -> the metric that counts when students of one run are ranked; higher is better."""


class DistillModule(lightning.LightningModule):
    """Trains a student on labels.

    aligner, balance: further losses, and what weighs them, learned together with the student and
    not stored with it. pretrained: the backbone's weights were loaded. seed: of whatever is drawn
    at random in a step, such as dropout. log_every: steps between two logged losses.
    `validation` holds the scores of the last validation, `score` its one number.
    """

    def __init__(
        self,
        student: Student,
        objective: Objective,
        optimisation: Optimisation,
        budget: Budget,
        *,
        aligner: FeatureAligner | None = None,
        balance: Uncertainty | None = None,
        pretrained: bool = False,
        seed: int = 0,
        log_every: int = 20,
    ) -> None:
        super().__init__()
        self.student = student
        self.objective = Losses(objective)
        self.optimisation = optimisation
        self.budget = budget
        self.aligner = aligner
        self.balance = balance
        self.pretrained = pretrained
        self.seed = seed
        self.log_every = log_every
        self.elapsed_s = 0.0
        self.spent = 0.0
        """Share of the budget that is spent, the same in all processes."""
        self.validation: dict[str, dict] = {}
        self.validation_images = 0
        self.score: float | None = None
        self._scores = Scores()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """What the settings build."""
        inside = {id(parameter) for parameter in self.student.parameters()}
        beside = [parameter for parameter in self.parameters() if id(parameter) not in inside]
        return build_optimiser(self.optimisation, self.student, beside, pretrained=self.pretrained)

    def spend(self) -> None:
        """Look at the budget, by the clock of the first process."""
        self.elapsed_s = self.trainer.strategy.broadcast(self.budget.elapsed_s)
        self.spent = self.budget.fraction(self.global_step, self.elapsed_s)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate by the share of the budget that is spent.

        What is random in a step is drawn anew from the seed, the batch and the process, so that a
        resumed run draws what an uninterrupted one would have drawn.
        """
        factor = cosine(self.spent, self.optimisation.warmup_fraction)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["peak"] * factor
        number = batch_idx * self.trainer.world_size + self.trainer.global_rank
        torch.manual_seed(mix(self.seed + 1, number))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The weighted sum of the losses. Raises ValueError when it is not finite."""
        parts = self._losses(batch)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise ValueError(self._not_finite(parts, batch))
        step = self.global_step + 1
        if (
            step % self.log_every == 0
            and (batch_idx + 1) % self.trainer.accumulate_grad_batches == 0
        ):
            self._log_losses(parts | {"total": total}, step)
        return total

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        images = batch.images.contiguous(memory_format=torch.channels_last)
        affine = self.student.config.depth_kind == "affine"
        parts = self.objective.losses(self.student(images), batch, affine)
        if self.aligner is not None:
            parts["alignment"] = self.aligner(images)
        return parts if self.balance is None else self.balance(parts)

    def _not_finite(self, parts: Mapping[str, Tensor], batch: Batch) -> str:
        names = ", ".join(name for name, part in parts.items() if not torch.isfinite(part))
        return (
            f"the loss is not finite ({names}) at step {self.global_step}, photographs "
            f"{', '.join(batch.keys)}: lower --optimisation.learning_rate, or use --precision "
            "32-true"
        )

    def _log_losses(self, parts: Mapping[str, Tensor], step: int) -> None:
        """Log the means over all processes, and the learning rate of the decoder."""
        names, values = list(parts), torch.stack([part.detach() for part in parts.values()])
        means = self.trainer.strategy.reduce(values, reduce_op="mean").tolist()
        rate = self.trainer.optimizers[0].param_groups[-1]["lr"]
        losses = {f"loss/{name}": mean for name, mean in zip(names, means, strict=True)}
        self._log_values({**losses, "learning_rate": rate}, step)

    def _log_values(self, values: dict[str, float], step: int) -> None:
        for logger in self.loggers:
            logger.log_metrics(values, step)

    def on_validation_epoch_start(self) -> None:
        """Start new scores."""
        self._scores = Scores()

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Prediction]]:
        """Score "predictions" of the averaged weights against held-out labels."""
        predictions = read_outputs(self.student(batch.images), self.student)
        targets = batch_targets(batch, self.student.config)
        for prediction, target in zip(predictions, targets, strict=True):
            self._scores.update(prediction, target)
        return {"predictions": predictions}

    def on_validation_epoch_end(self) -> None:
        """Join the scores of all processes, and log those that are numbers."""
        scores = joined_scores(self._scores)
        self.validation, self.validation_images = scores.result(), scores.images
        self.score = validation_score(self.validation)
        values = {
            f"val/{task}/{name}": value
            for task, metrics in self.validation.items()
            for name, value in metrics.items()
            if isinstance(value, float)
        }
        if self.score is not None:
            self._log_values({**values, "val/score": self.score}, self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the time that is spent, and what the last validation found."""
        checkpoint["spent_s"] = self.budget.elapsed_s
        checkpoint["validation"] = self.validation
        checkpoint["validation_images"] = self.validation_images

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the time that was spent."""
        self.budget.spent_s = checkpoint["spent_s"]
        self.validation = checkpoint["validation"]
        self.validation_images = checkpoint["validation_images"]
        self.score = validation_score(self.validation)


def joined_scores(scores: Scores) -> Scores:
    """The scores of all processes as one; every process has to call it."""
    if not torch.distributed.is_initialized():
        return scores
    shares: list[Scores] = [scores] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shares, scores)
    joined = Scores()
    for share in shares:
        joined.merge(share)
    return joined


def validation_score(scores: Mapping[str, Mapping[str, Any]]) -> float | None:
    """One number for a validation, 1 is perfect: the mean of the metrics in SCORED.

    None when no task of them was scored.
    """
    found = [float(scores[task][name]) for task, name in SCORED.items() if task in scores]
    return fmean(found) if found else None

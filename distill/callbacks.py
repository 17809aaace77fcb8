"""What happens beside a training step: averaging, the end of training, the progress bar."""

import math
from typing import Any, cast

import lightning
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from distill.module import DistillModule
from student.model import Student
from teacher.progress import progress_bar


class AveragedWeights(WeightAveraging):
    """A moving average of weights and norm statistics, which is validated and stored.

    decay: of the average; in the first steps it is lower, (1 + n) / (10 + n), so that the initial
    weights are soon forgotten.
    """

    def __init__(self, decay: float) -> None:
        def average(
            averages: tuple[Tensor, ...], currents: tuple[Tensor, ...], count: Tensor | int
        ) -> None:
            reached = min(decay, (1 + int(count)) / (10 + int(count)))
            get_ema_multi_avg_fn(reached)(averages, currents, count)

        super().__init__(multi_avg_fn=average)

    @property
    def student(self) -> Student:
        """The student with the averaged weights; there is one from the start of training."""
        assert self._average_model is not None
        return cast(DistillModule, self._average_model.module).student


class StopAtBudget(Callback):
    """Lets the time run, and ends training after the step that spends the budget."""

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Start the clock; a run that is resumed at its end trains no further."""
        cast(DistillModule, pl_module).budget.start()
        self._look(trainer, cast(DistillModule, pl_module))

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look at the budget after each step."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._look(trainer, cast(DistillModule, pl_module))

    def _look(self, trainer: lightning.Trainer, module: DistillModule) -> None:
        module.spend()
        trainer.should_stop = trainer.should_stop or module.spent >= 1


class EarlyStop(Callback):
    """Ends training after so many validations in a row without a better score."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best = -math.inf
        self.worse = 0
        """Validations since the best one."""

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """A run that is resumed after it lost patience trains no further."""
        trainer.should_stop = trainer.should_stop or self.worse >= self.patience

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Count; scores are the same in all processes, and so is the decision."""
        score = cast(DistillModule, pl_module).score
        if score is None:
            return
        self.worse = 0 if score > self.best else self.worse + 1
        self.best = max(self.best, score)
        trainer.should_stop = trainer.should_stop or self.worse >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "worse": self.worse}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.worse = state_dict["best"], state_dict["worse"]


class ProgressBar(Callback):
    """One bar for the whole training; the number of steps is estimated when minutes are given."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._job = self._bar.add_task("train", total=None)

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Show the bar, from where a resumed run goes on."""
        if trainer.is_global_zero:
            self._bar.start()
        self._bar.update(self._job, completed=trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Advance by a step."""
        step = trainer.global_step
        fraction = cast(DistillModule, pl_module).spent
        loss = float(outputs["loss"])
        total = max(step, round(step / fraction)) if fraction > 0 else None
        text = f"train, loss {loss:.3f}"
        self._bar.update(self._job, completed=step, total=total, description=text)

    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Leave the bar as it stands, also after an error."""
        self._bar.stop()

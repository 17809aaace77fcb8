"""What happens beside a training step: averaging, the end of the budget, the progress bar."""

from typing import Any, cast

import lightning
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from distill.module import DistillModule
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


class StopAtBudget(Callback):
    """Lets the time run, and ends training after the step that spends the budget."""

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        cast(DistillModule, pl_module).budget.start()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        budget = cast(DistillModule, pl_module).budget
        trainer.should_stop = trainer.should_stop or budget.fraction(trainer.global_step) >= 1


class ProgressBar(Callback):
    """One bar for the whole training; the number of steps is estimated when minutes are given."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._job = self._bar.add_task("train", total=None)

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Show the bar, from where a resumed run goes on."""
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
        fraction = cast(DistillModule, pl_module).budget.fraction(step)
        loss = float(outputs["loss"])
        total = max(step, round(step / fraction)) if fraction > 0 else None
        text = f"train, loss {loss:.3f}"
        self._bar.update(self._job, completed=step, total=total, description=text)

    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Leave the bar as it stands, also after an error."""
        self._bar.stop()

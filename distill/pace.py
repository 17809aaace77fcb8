"""How fast a run is, and whether it waits for data."""

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from distill.samples import Batch


class Pace(Callback):
    """Adds up the time in training steps and the time in which they wait for the next batch.

    The first batch does not count: until it is there, processes start and buffers fill. Validations
    and checkpoints do not count either.
    """

    def __init__(self) -> None:
        self.steps_s = 0.0
        self.waited_s = 0.0
        self.photographs = 0
        self._started_s = 0.0

    def timed(self, batches: Iterable[Batch]) -> "TimedBatches":
        """The same batches; the time that each one takes to come is added to `waited_s`."""
        return TimedBatches(batches, self)

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._started_s = monotonic()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.steps_s += monotonic() - self._started_s
        self.photographs += len(batch.keys) * trainer.world_size

    @property
    def busy(self) -> float:
        """Share of the time in which the model had something to do, 0..1; NaN before a step."""
        total_s = self.steps_s + self.waited_s
        return self.steps_s / total_s if total_s else float("nan")

    @property
    def photographs_per_s(self) -> float:
        """Of all processes together, validations not counted; NaN before a step."""
        total_s = self.steps_s + self.waited_s
        return self.photographs / total_s if total_s else float("nan")


class TimedBatches:
    """Batches whose delay is added up in a Pace."""

    def __init__(self, batches: Iterable[Batch], pace: Pace) -> None:
        self.batches = batches
        self.pace = pace

    def __iter__(self) -> Iterator[Batch]:
        iterator = iter(self.batches)
        yield next(iterator)
        while True:
            asked_s = monotonic()
            batch = next(iterator, None)
            if batch is None:
                return
            self.pace.waited_s += monotonic() - asked_s
            yield batch

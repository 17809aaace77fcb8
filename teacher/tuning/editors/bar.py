"""One progress bar for the whole of a training, whichever epoch Lightning thinks it is in."""

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from teacher.progress import progress_bar


class StepBar(Callback):
    """Counts optimiser steps, from where a resumed run goes on; on the first rank alone."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._job = self._bar.add_task("tuning", total=None)

    def on_train_start(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Show the bar."""
        self._bar.update(self._job, completed=trainer.global_step, total=trainer.max_steps)
        if trainer.is_global_zero:
            self._bar.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Advance, and show the last losses."""
        losses = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("loss/")}
        text = ", ".join(f"{k.removeprefix('loss/')} {v:.3f}" for k, v in losses.items())
        self._bar.update(self._job, completed=trainer.global_step, description=text or "tuning")

    def teardown(self, *_: Any, **__: Any) -> None:
        """Leave the bar as it stands, also after an error."""
        self._bar.stop()

"""A moving average of what is trained, which is what is validated and stored."""

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn


class AveragedParameters(Callback):
    """Follows the trained parameters alone: Lightning's WeightAveraging copies the frozen ones too.

    In the first steps the decay is lower, (1 + n) / (10 + n), so that the start is soon forgotten.
    """

    def __init__(self, trained: Mapping[str, nn.Parameter], decay: float) -> None:
        self.trained, self.decay, self.updates = trained, decay, 0
        self.average = {name: p.detach().clone() for name, p in trained.items()}

    @torch.no_grad()
    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Move the average after a step; a pass that only gathers gradients changes nothing."""
        if trainer.global_step == self.updates:
            return
        self.updates = trainer.global_step
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, parameter in self.trained.items():
            self.average[name] = self.average[name].to(parameter.device)
            self.average[name].lerp_(parameter.detach(), 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the parameters."""
        for name, parameter in self.trained.items():
            current = parameter.detach().clone()
            parameter.copy_(self.average[name])
            self.average[name] = current

    def on_validation_start(self, *_: Any, **__: Any) -> None:
        """Validate the average."""
        self.swap()

    def on_validation_end(self, *_: Any, **__: Any) -> None:
        """Go on with what is trained."""
        self.swap()

    def state_dict(self) -> dict[str, Any]:
        """The average, and how often it has moved."""
        return {"updates": self.updates, "average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of state_dict."""
        self.updates = state_dict["updates"]
        average: dict[str, Tensor] = state_dict["average"]
        self.average = {name: average[name].to(p.device) for name, p in self.trained.items()}

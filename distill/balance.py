"""How the losses of several tasks are balanced while they are learned."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

TASK_OF = {
    "depth": "depth",
    "relative": "depth",
    "gradient": "depth",
    "sky": "depth",
    "normal": "normal",
    "normal_gradient": "normal",
    "segment": "segment",
    "dice": "segment",
}
"""Part of the loss -> the task whose uncertainty scales it; other parts keep their weights."""


class Uncertainty(nn.Module):
    """Weights of tasks that are learned together with the student.

    Each task's losses are divided by a scale b, and log b is added: a task whose errors are large
    whatever is done weighs less. `log_scale` holds the log b, and belongs into the optimiser
    without weight decay. Source: Kendall et al. 2018, equation 5, for absolute errors (Laplace)
    instead of squares (Gauss), as the losses here grow like |e|.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__()
        self.log_scale = nn.ParameterDict({task: nn.Parameter(torch.zeros(())) for task in tasks})

    def forward(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scaled parts, and "balance", the sum of the log scales."""
        scaled = {name: self._scale(name, value) for name, value in parts.items()}
        return {**scaled, "balance": torch.stack(list(self.log_scale.values())).sum()}

    def _scale(self, part: str, value: Tensor) -> Tensor:
        task = TASK_OF.get(part, "")
        return value * (-self.log_scale[task]).exp() if task in self.log_scale else value

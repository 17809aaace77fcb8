"""What the parts of the objective cost, for a batch as the default recipe trains on.

    pytest tests/benchmarks/test_benchmark_losses.py -o addopts="" --benchmark-only

Compare the rows with "default" of the same run.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from distill.objective import Losses
from distill.samples import Batch
from distill.settings import Objective

COUNT, SIZE_PX, CLASSES = 32, 128, 11
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "drop_top": {"drop_top": 0.1},
    "keep": {"keep": 0.9},
    "relative": {"relative": 0.5},
    "dice": {"dice": 0.5},
    "normal_gradient": {"normal_gradient": 0.5},
    "consistency": {"consistency": 0.1},
}


def make_batch() -> tuple[dict[str, Tensor], Batch]:
    """Outputs of a student that knows nothing, and random labels."""
    torch.manual_seed(0)
    size = (SIZE_PX, SIZE_PX)
    unit = torch.nn.functional.normalize
    outputs = {
        "depth": 1 + torch.rand(COUNT, *size),
        "normal": unit(torch.randn(COUNT, 3, *size), dim=1),
        "segment": torch.randn(COUNT, CLASSES, *size),
        "confidence": torch.rand(COUNT, 3, SIZE_PX // 4, SIZE_PX // 4),
    }
    labels = {
        "depth": 1 + 9 * torch.rand(COUNT, *size),
        "normal": unit(torch.randn(COUNT, 3, *size), dim=1),
        "segment": torch.randint(CLASSES, (COUNT, *size)),
    }
    batch = Batch(
        keys=tuple(str(index) for index in range(COUNT)),
        images=torch.rand(COUNT, 3, *size),
        labels=labels,
        confidence=torch.rand(COUNT, 3, SIZE_PX // 4, SIZE_PX // 4),
        intrinsics=torch.tensor([[120.0, 120.0, 64.0, 64.0]]).repeat(COUNT, 1),
    )
    return {name: value.requires_grad_() for name, value in outputs.items()}, batch


@pytest.mark.parametrize("name", VARIANTS)
def test_forward_and_backward(benchmark, name: str) -> None:
    outputs, batch = make_batch()
    objective = Losses(Objective(**VARIANTS[name]))

    def step() -> None:
        torch.stack(list(objective.losses(outputs, batch, affine=False).values())).sum().backward()

    benchmark.pedantic(step, rounds=10, warmup_rounds=2)

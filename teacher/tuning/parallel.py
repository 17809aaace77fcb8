"""Data parallelism over threads: small models gain little from threads inside an operator.

Every worker runs forward and backward of its share of a batch on one core, on a replica that
shares the weights' memory and has gradients of its own. Measured for the embedded denoiser on
three cores: 117 samples a second against 69 with three threads an operator.
"""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)
Share = TypeVar("Share")


class Replicas(Generic[Model]):
    """Copies of a module on the same weights, one for each core."""

    def __init__(self, model: Model, workers: int) -> None:
        self.models = [model, *(_on_same_weights(model) for _ in range(workers - 1))]
        self.pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))

    def backward(self, loss: Callable[[Model, Share], Tensor], shares: Sequence[Share]) -> float:
        """Leave the gradient of the mean loss in the first model; returns that loss.

        loss(model, share) is a scalar; shares: one for each worker, of equal size.
        """

        def run(model: Model, share: Share) -> float:
            model.zero_grad(set_to_none=True)
            value = loss(model, share) / len(self.models)
            value.backward()
            return value.item()

        total = sum(self.pool.map(run, self.models, shares))
        first, *others = (list(model.parameters()) for model in self.models)
        for parameters in zip(first, *others):
            grads = [p.grad for p in parameters if p.grad is not None]
            for grad in grads[1:]:
                grads[0].add_(grad)
            parameters[0].grad = grads[0] if grads else None
        return total

    def step(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Step optimisers of disjoint parameters side by side."""
        list(self.pool.map(lambda optimizer: optimizer.step(), optimizers))


def _on_same_weights(model: Model) -> Model:
    replica = copy.deepcopy(model)
    for own, shared in zip(replica.parameters(), model.parameters()):
        own.data = shared.data
    return replica

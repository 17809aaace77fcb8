"""Which samples form a training batch: a function of seed, step, rank and world, of nothing else.

Training meets an endless sequence of samples: pass after pass over the set, each in an order of its
own. Step s of all ranks together takes the next world * batch_size of the sequence, and rank r the
r-th part of them. So every sample is met once in a pass, ranks never share one within a pass, all
of them have batches of one size for ever, whatever the size of the set, and two ranks see together
what one with twice the batch sees. A run that starts at step n goes on as if it had never stopped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

SHUFFLED_ROWS = 8192
"""A pass over shards on disk is shuffled in blocks of so many samples, so that reading stays near
the place where it was."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """Batches of rows from step `start_step` on, for one rank."""

    groups: Sequence[np.ndarray]
    """Rows of each shard that is trained on; a row that stands in two is met twice in a pass."""
    batch_size: int
    """Of one rank."""
    seed: int
    start_step: int = 0
    rank: int = 0
    world: int = 1
    block: int = SHUFFLED_ROWS
    _passes: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    """The last passes that were asked for."""

    @property
    def pass_samples(self) -> int:
        """Samples in a pass, over all ranks."""
        return sum(map(len, self.groups))

    def __iter__(self) -> Iterator[list[int]]:
        step = self.start_step
        while True:
            yield self.rows(step)
            step += 1

    def rows(self, step: int) -> list[int]:
        """The rows of one step's batch."""
        first = (step * self.world + self.rank) * self.batch_size
        places = (divmod(first + i, self.pass_samples) for i in range(self.batch_size))
        return [int(self._pass(number)[place]) for number, place in places]

    def draws(self, step: int, count: int) -> Tensor:
        """Random numbers (batch_size, count) in 0..1 for the samples of one step's batch."""
        generator = torch.Generator().manual_seed(mix(self.seed, step))
        everyone = torch.rand(self.world, self.batch_size, count, generator=generator)
        return everyone[self.rank]

    def _pass(self, number: int) -> np.ndarray:
        if number not in self._passes:
            if len(self._passes) > 1:  # a batch looks at two of them at most
                self._passes.pop(min(self._passes))
            self._passes[number] = self._shuffled(np.random.default_rng(mix(self.seed, number)))
        return self._passes[number]

    def _shuffled(self, rng: np.random.Generator) -> np.ndarray:
        """Shards in random order, then samples within blocks of several shards."""
        rows = np.concatenate([self.groups[i] for i in rng.permutation(len(self.groups))])
        for start in range(0, len(rows), self.block):
            rng.shuffle(rows[start : start + self.block])
        return rows


def mix(seed: int, number: int) -> int:
    """A seed of its own for each number below 2^32."""
    return (seed % 2**31 << 32) + number

"""Batches for tuning, each a function of the seed, its position and the device's rank.

Nothing else is random in training, so a run that was stopped goes on with the very batches that it
would have had. A batch has one size, and either paintings or pictures of the generator's own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from teacher.painters.editor import Prompt
from teacher.sample import TASKS
from teacher.tuning.batches import LEAST_KNOWN
from teacher.tuning.editors.config import EditorTuneConfig, Mixture, Objective
from teacher.tuning.editors.instructions import Instruction
from teacher.tuning.editors.latent_files import Examples

PAINT, REPLAY = "paint", "replay"
"""What a batch is for: paintings of photographs, or pictures of the generator's own kind."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Rows of one pass: where the generator stands, and the velocity that it should predict."""

    name: str
    """What it is for the log: PAINT, REPLAY, or a task."""
    noisy: Tensor
    """(B, C, h, w) float32, as all latents here"""
    source: Tensor | None
    """Latents of the photographs; None for replay"""
    t: Tensor
    """(B,) share of noise"""
    target: Tensor
    """The velocity noise - x0"""
    known: Tensor
    """(B, h, w) 1 where the target is known, else 0"""
    prompt: Prompt

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        """On a device, the prompt in the dtype of the network."""
        moved = {name: getattr(self, name).to(device) for name in ("noisy", "t", "target", "known")}
        source = None if self.source is None else self.source.to(device)
        return replace(self, **moved, source=source, prompt=self.prompt.to(device, dtype))


class Mix:
    """Examples of all tasks and sizes, drawn by their ratios; and the generator's own pictures."""

    def __init__(
        self,
        painted: Sequence[Examples],
        pool: Sequence[Instruction],
        prompts: Prompt,
        own: Sequence[Examples],
        own_prompts: Prompt,
        config: EditorTuneConfig,
    ) -> None:
        self.config, self.prompts, self.own_prompts, self.own = config, prompts, own_prompts, own
        odds = [example_odds(examples, pool, config.mixture) for examples in painted]
        self.painted = [examples for examples, some in zip(painted, odds) if some.any()]
        self.odds = [some / some.sum() for some in odds if some.any()]
        if not self.painted:
            raise ValueError(
                "nothing to learn: no labels of a task that --mixture gives weight, or none that "
                f"cover {LEAST_KNOWN:.0%} of a photograph (depth as sparse as a LiDAR's does not)"
            )

    def batch(self, position: int, rank: int = 0) -> Batch:
        """The batch at a position of training: on all ranks of the same kind and size."""
        config = self.config
        shared = np.random.default_rng([config.seed, position])
        replayed = shared.random() < config.mixture.replay
        bucket = _draw_size(self.own if replayed else self.painted, shared)
        rng = np.random.default_rng([config.seed, position, 1 + rank])
        chance = torch.Generator().manual_seed(int(rng.integers(2**63)))
        if replayed:
            rows = rng.integers(len(self.own[bucket]), size=config.batch_size)
            return make_batch(REPLAY, self.own[bucket], rows, self.own_prompts, "flow", chance)
        examples, odds = self.painted[bucket], self.odds[bucket]
        rows = rng.choice(len(examples), size=config.batch_size, p=odds)
        return make_batch(PAINT, examples, rows, self.prompts, config.objective, chance)


class Positions(IterableDataset):
    """The batches of one rank from a position on, without end."""

    def __init__(self, mix: Mix, start: int, rank: int) -> None:
        self.mix, self.start, self.rank = mix, start, rank

    def __iter__(self) -> Iterator[Batch]:
        position = self.start
        while True:
            yield self.mix.batch(position, self.rank)
            position += 1


def _draw_size(sizes: Sequence[Examples], rng: np.random.Generator) -> int:
    """A size, as often as there are examples of it."""
    counts = np.array([len(examples) for examples in sizes])
    return int(rng.choice(len(sizes), p=counts / counts.sum()))


def example_odds(examples: Examples, pool: Sequence[Instruction], mixture: Mixture) -> np.ndarray:
    """How often each example is drawn, (n,): by the ratios of the tasks, then even within a task.

    One whose target is hardly known is never drawn.
    """
    known = examples.known >= LEAST_KNOWN
    is_map = np.array([one.is_map for one in pool])[examples.instruction]
    odds = np.zeros(len(examples))
    for task in TASKS:
        of_task = known & np.array([one.task == task for one in pool])[examples.instruction]
        maps = mixture.depth_maps if task == "depth" else 0.0
        for rows, share in ((of_task & ~is_map, 1 - maps), (of_task & is_map, maps)):
            odds[rows] = getattr(mixture, task) * share / max(rows.sum(), 1)
    return odds


def make_batch(
    name: str,
    examples: Examples,
    rows: Sequence[int] | np.ndarray,
    prompts: Prompt,
    objective: Objective,
    chance: torch.Generator,
    at: float | None = None,
) -> Batch:
    """Rows of examples with their start. single-step: from zero latents at t = 1; flow: from
    gaussian noise, at logit-normal times (arXiv 2403.03206) or at the time that is given."""
    source, picture, known = examples.fetch(list(rows))
    if objective == "single-step":
        t, noise = torch.ones(len(picture)), torch.zeros_like(picture)
    else:
        t = torch.sigmoid(torch.randn(len(picture), generator=chance))
        t = t if at is None else torch.full_like(t, at)
        noise = torch.randn(picture.shape, generator=chance)
    return Batch(
        name=name,
        noisy=picture.lerp(noise, t[:, None, None, None]),
        source=source,
        t=t,
        target=noise - picture,
        known=known,
        prompt=prompts.rows(torch.as_tensor(examples.instruction[rows])),
    )

"""Batches of mixed instructions, drawn from sets of latents."""

from collections.abc import Sequence

import numpy as np
import torch

from teacher.painters.card import task_of
from teacher.tuning.denoiser import Batch, generation_rows, join, painting_rows
from teacher.tuning.latents import LatentSet

GENERATE = "generate"
TASK_SHARES = {"depth": 0.35, "normal": 0.4, "segment": 0.25}
"""How often a painting is of each task: normals are learned slowest."""
LEAST_KNOWN = 0.25
"""Share of a painting that must be known for it to be learned from."""


class Source:
    """A set of latents to draw from, and how often."""

    def __init__(self, latents: LatentSet, weight: float = 1.0) -> None:
        self.latents, self.weight = latents, weight
        shares = {name: known.float().mean((1, 2)) for name, known in latents.known.items()}
        rows = {name: torch.nonzero(share >= LEAST_KNOWN)[:, 0] for name, share in shares.items()}
        self.rows = {name: found.numpy() for name, found in rows.items() if len(found)}
        """Instruction -> samples whose painting is known well enough."""
        if not self.rows:
            raise ValueError(
                f"nothing to learn: no painting of {len(latents)} photographs is known over "
                f"{LEAST_KNOWN:.0%} of it; depth as sparse as a LiDAR's cannot be painted"
            )
        tasks = [task_of(name) for name in self.rows]
        odds = np.array([TASK_SHARES[task] / tasks.count(task) for task in tasks])
        self.odds = odds / odds.sum()
        """Of each instruction: its task's share, even between the legends of one."""

    def draw(self, count: int, names: tuple[str, ...], rng: np.random.Generator) -> Batch:
        """Random paintings to learn; names: the model's instructions."""
        asked = [list(self.rows)[k] for k in rng.choice(len(self.rows), size=count, p=self.odds)]
        rows = [int(rng.choice(self.rows[name])) for name in asked]
        latents = self.latents
        painting = torch.stack([latents.paintings[name][row] for name, row in zip(asked, rows)])
        known = torch.stack([latents.known[name][row] for name, row in zip(asked, rows)])
        instructions = torch.tensor([names.index(name) for name in asked])
        photo = latents.photographs[rows].float()
        return painting_rows(photo, painting.float(), known, instructions)


def draw_batch(
    sources: Sequence[Source],
    names: tuple[str, ...],
    batch_size: int,
    replay: float,
    rng: np.random.Generator,
    chance: torch.Generator,
) -> Batch:
    """Rows from one of the sources: paintings, and a share `replay` of photographs to generate.

    names: the model's instructions; a row's instruction is a place in them.
    """
    odds = np.array([source.weight for source in sources])
    source = sources[rng.choice(len(sources), p=odds / odds.sum())]
    replayed = round(replay * batch_size)
    photo = source.latents.photographs[rng.integers(len(source.latents), size=replayed)].float()
    generated = torch.full((replayed,), names.index(GENERATE))
    generation = generation_rows(photo, generated, chance)
    if replayed == batch_size:
        return generation
    return join(generation, source.draw(batch_size - replayed, names, rng))

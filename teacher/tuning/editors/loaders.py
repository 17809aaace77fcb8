"""What Lightning trains and validates on, for the rank that asks."""

from collections.abc import Sequence

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from teacher.painters.editor import Prompt
from teacher.tuning.editors.batches import Batch, Mix, Positions, make_batch
from teacher.tuning.editors.config import EditorTuneConfig
from teacher.tuning.editors.instructions import Instruction
from teacher.tuning.editors.latent_files import Examples


class Batches(lightning.LightningDataModule):
    """Training batches from a position on, and the fixed ones for validation."""

    def __init__(
        self, mix: Mix, start: int, validation: Sequence[Batch], dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.mix, self.start, self.validation, self.dtype = mix, start, validation, dtype

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Lightning does not look into frozen dataclasses."""
        return batch.to(device, self.dtype)

    def train_dataloader(self) -> DataLoader:
        """Endless; the trainer knows how many steps there are."""
        rank = self.trainer.global_rank if self.trainer else 0
        return DataLoader(Positions(self.mix, self.start, rank), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """The same on all ranks."""
        return DataLoader(list(self.validation), batch_size=None)  # type: ignore[arg-type]


def split(sizes: Sequence[Examples], held_out: int) -> tuple[list[Examples], list[Examples]]:
    """Examples to train on, and those of the last `held_out` samples of all.

    Raises ValueError when there are not more samples than these.
    """
    samples = np.unique(np.concatenate([examples.sample for examples in sizes]))
    if len(samples) <= held_out:
        raise ValueError(f"{len(samples)} samples are too few to hold {held_out} out of training")
    kept = [np.isin(examples.sample, samples[-held_out:]) for examples in sizes]

    def some(masks: Sequence[np.ndarray]) -> list[Examples]:
        return [e[np.flatnonzero(mask)] for e, mask in zip(sizes, masks) if mask.any()]

    return some([~mask for mask in kept]), some(kept)


def validation_batches(
    held_out: Sequence[Examples],
    pool: Sequence[Instruction],
    prompts: Prompt,
    config: EditorTuneConfig,
) -> list[Batch]:
    """Held-out paintings, a batch of one task each, with noise that is always the same."""
    batches = []
    for examples in held_out:
        tasks = np.array([pool[row].task for row in examples.instruction])
        for task in np.unique(tasks):
            rows = np.flatnonzero(tasks == task)
            for part in np.split(rows, range(config.batch_size, len(rows), config.batch_size)):
                chance = torch.Generator().manual_seed(int(part[0]))
                made = make_batch(str(task), examples, part, prompts, config.objective, chance)
                batches.append(made)
    return batches

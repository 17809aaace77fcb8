"""Sheets of pictures: what the generator paints and makes, put side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from teacher.atomic import write_atomically
from teacher.painters.editor import Editor, Prompt
from teacher.sample import encode_photograph
from teacher.tuning.editors.config import EditorTuneConfig
from teacher.tuning.editors.instructions import Instruction
from teacher.tuning.editors.latent_files import Examples
from teacher.tuning.editors.sampling import decode_pictures, draw_latents

GAP_PX = 4


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Pictures of one size (H, W, 3) uint8 in rows, with white gaps."""

    def padded(picture: np.ndarray) -> np.ndarray:
        return np.pad(picture, ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=255)

    return np.vstack([np.hstack([padded(picture) for picture in row]) for row in rows])


def write_sheet(path: Path, picture: np.ndarray) -> None:
    """Write a sheet as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encode_photograph(picture, "png"))


class Previews(Callback):
    """After each validation: held-out photographs, their paintings, and the true ones, always the
    same, one row for each task. To TensorBoard, and as PNG files."""

    def __init__(
        self,
        editor: Editor,
        held_out: Examples,
        pool: Sequence[Instruction],
        prompts: Prompt,
        config: EditorTuneConfig,
    ) -> None:
        self.editor, self.config = editor, config
        names = [pool[row].name.partition("@")[0] for row in held_out.instruction]
        chosen = [names.index(name) for name in dict.fromkeys(names)]
        self.source, self.truth, _ = held_out.fetch(chosen)
        self.prompt = prompts.rows(torch.as_tensor(held_out.instruction[chosen]))
        chance = torch.Generator().manual_seed(config.seed)
        noise = torch.randn(self.truth.shape, generator=chance)
        self.start = torch.zeros_like(noise) if config.start == "zeros" else noise

    def draw(self) -> np.ndarray:
        """Photograph, painting, and the truth as the autoencoder gives it back; (H, W, 3) uint8."""
        steps = self.config.painting_steps
        painted = draw_latents(self.editor, self.start, self.source, self.prompt, steps)
        assert self.source is not None
        columns = [
            decode_pictures(self.editor, part) for part in (self.source, painted, self.truth)
        ]
        return sheet(list(zip(*columns)))

    def on_validation_epoch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Draw with what is validated."""
        if not trainer.is_global_zero:
            return
        picture, step = self.draw(), trainer.global_step
        write_sheet(self.config.out / "previews" / f"{step:07d}.png", picture)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("painted", picture, step, dataformats="HWC")

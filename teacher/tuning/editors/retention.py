"""Does it still make pictures? The generator's own loss and samples, before and after tuning."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch

from teacher.atomic import write_atomically
from teacher.painters.editor import Editor, Prompt
from teacher.sample import decode_photograph
from teacher.tuning.editors.batches import REPLAY, make_batch
from teacher.tuning.editors.latent_files import Examples
from teacher.tuning.editors.module import velocity_loss
from teacher.tuning.editors.pictures import sheet, write_sheet
from teacher.tuning.editors.sampling import decode_pictures, draw_latents

TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of noise at which the loss is measured."""
SAMPLES = 6
BASE = "retention_base"


@dataclass(frozen=True)
class Retention:
    """Flow-matching loss on held-out pictures, at fixed noise and times."""

    base_loss: float
    tuned_loss: float
    pictures: int
    """Held-out pictures, each at every one of TIMES."""

    @property
    def ratio(self) -> float:
        """Tuned over base: 1 = as before, above 1 = it lost something."""
        return self.tuned_loss / self.base_loss


@torch.no_grad()
def generation_loss(editor: Editor, held_out: Sequence[Examples], prompts: Prompt) -> float:
    """Mean loss of held-out pictures under their prompts."""
    losses = []
    for examples in held_out:
        for row in range(len(examples)):
            for t in TIMES:
                chance = torch.Generator().manual_seed(row)
                batch = make_batch(REPLAY, examples, [row], prompts, "flow", chance, at=t)
                batch = batch.to(editor.device, editor.dtype)
                losses.append(velocity_loss(editor, batch).item())
    return float(np.mean(losses))


def own_samples(
    editor: Editor, held_out: Examples, prompts: Prompt, steps: int
) -> list[np.ndarray]:
    """Pictures for the held-out prompts by turns, from noise that is always the same."""
    _, picture, _ = held_out.fetch([0])
    made = []
    for number, instruction in enumerate(islice(cycle(np.unique(held_out.instruction)), SAMPLES)):
        chance = torch.Generator().manual_seed(number)
        start = torch.randn(picture.shape, generator=chance)
        rows = prompts.rows(torch.tensor([instruction]))
        latents = draw_latents(editor, start, None, rows, steps)
        made += list(decode_pictures(editor, latents))
    return made


def measure_base(
    editor: Editor, held_out: Sequence[Examples], prompts: Prompt, steps: int, out: Path
) -> None:
    """Measure the generator before it is tuned, once, into `out`."""
    stored = out / f"{BASE}.json"
    if not stored.exists():
        row = sheet([own_samples(editor, held_out[0], prompts, steps)])
        write_sheet(out / f"{BASE}.png", row)
        loss = generation_loss(editor, held_out, prompts)
        write_atomically(stored, json.dumps({"loss": loss}).encode())


def measure_tuned(
    editor: Editor, held_out: Sequence[Examples], prompts: Prompt, steps: int, out: Path
) -> Retention:
    """Measure it again: retention.json and retention.png, the base's samples above."""
    base = json.loads((out / f"{BASE}.json").read_text())["loss"]
    tuned = generation_loss(editor, held_out, prompts)
    found = Retention(base, tuned, sum(len(examples) for examples in held_out))
    above = decode_photograph((out / f"{BASE}.png").read_bytes())
    below = sheet([own_samples(editor, held_out[0], prompts, steps)])
    write_sheet(out / "retention.png", np.vstack([above, below]))
    stored = {**vars(found), "ratio": found.ratio, "times": TIMES}
    write_atomically(out / "retention.json", (json.dumps(stored, indent=2) + "\n").encode())
    return found

"""The optimiser: how fast each part of a student learns."""

from dataclasses import dataclass

import torch
from timm.optim.muon import Muon
from torch import nn

from student import Student

BETAS = (0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """Settings of the optimiser; its learning rate follows half a cosine down to zero.

    Why AdaMuon: trained from scratch on scenes for 500 steps of 32 at 64 px and a rate of 4e-3, it
    reached delta1 0.775, 19.3 degrees and mIoU 0.705; AdamW 0.703, 24.2 and 0.591. AdamW is ahead
    in the first hundred steps only. Rates of 1e-2, 2e-2 and 4e-2 gave mIoU 0.753, 0.786 and 0.786.
    """

    algorithm: str = "adamuon"
    """adamuon (orthogonalised updates of matrices, AdamW for the rest) or adamw."""
    learning_rate: float = 2e-2
    """Highest learning rate, of the decoder and the heads; for adamw, try 4e-3."""
    encoder_factor: float = 1.0
    """Learning rate of the backbone over that: 1 is right from scratch, 0.1 for loaded weights."""
    weight_decay: float = 0.05
    """Decay of matrices; vectors (biases and norms) are not decayed."""
    warmup_fraction: float = 0.05
    """Share of the budget in which the learning rate rises."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        if self.algorithm not in ("adamuon", "adamw"):
            raise ValueError(
                f"optimisation.algorithm: expected adamuon or adamw, found {self.algorithm!r}"
            )

    def build(self, student: Student) -> torch.optim.Optimizer:
        """An optimiser of all parameters; `peak` of a group is the rate that a schedule scales."""
        groups = self._groups(student)
        if self.algorithm == "adamw":
            return torch.optim.AdamW(groups, betas=BETAS)
        return Muon(groups, momentum=BETAS[0], betas=BETAS, algo="adamuon", nesterov=True)

    def _groups(self, student: Student) -> list[dict]:
        rest = nn.ModuleList([student.decoder, student.heads])
        groups = []
        for part, factor in ((student.backbone, self.encoder_factor), (rest, 1.0)):
            rate = factor * self.learning_rate
            for matrices, decay in ((True, self.weight_decay), (False, 0.0)):
                found = [p for p in part.parameters() if (p.ndim > 1) == matrices]
                groups.append({"params": found, "lr": rate, "peak": rate, "weight_decay": decay})
        return groups

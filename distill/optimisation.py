"""The optimiser: how fast each part of a student learns."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from timm.optim.muon import Muon
from torch.nn import Parameter

from student import Student

BETAS = (0.9, 0.95)
PRETRAINED_FACTOR = 0.1
"""Of the backbone's learning rate over the decoder's: what Depth Anything, MoGe and others take."""


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
    encoder_factor: float | None = None
    """Learning rate of the backbone over that; by default 0.1 for loaded weights, else 1."""
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

    def build(
        self, student: Student, beside: Sequence[Parameter] = (), *, pretrained: bool = False
    ) -> torch.optim.Optimizer:
        """An optimiser of all parameters; `peak` of a group is the rate that a schedule scales.

        beside: further parameters, which learn as fast as the decoder. pretrained: the backbone's
        weights were loaded, and should move less than the rest.
        """
        factor = self._encoder_factor(pretrained)
        encoder = list(student.backbone.parameters())
        inside = {id(parameter) for parameter in encoder}
        rest = [p for p in (*student.parameters(), *beside) if id(p) not in inside]
        groups = [*self._groups(encoder, factor), *self._groups(rest, 1.0)]
        if self.algorithm == "adamw":
            return torch.optim.AdamW(groups, betas=BETAS)
        return Muon(groups, momentum=BETAS[0], betas=BETAS, algo="adamuon", nesterov=True)

    def _encoder_factor(self, pretrained: bool) -> float:
        if self.encoder_factor is not None:
            return self.encoder_factor
        return PRETRAINED_FACTOR if pretrained else 1.0

    def _groups(self, parameters: Sequence[Parameter], factor: float) -> list[dict]:
        """Matrices, then vectors; parameters that are frozen are left out."""
        rate = factor * self.learning_rate
        learned = [p for p in parameters if p.requires_grad]
        return [
            {
                "params": [p for p in learned if (p.ndim > 1) == matrices],
                "lr": rate,
                "peak": rate,
                "weight_decay": decay,
            }
            for matrices, decay in ((True, self.weight_decay), (False, 0.0))
        ]

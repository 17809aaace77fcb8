"""The optimiser: how fast each part of a student learns."""

from collections.abc import Sequence

import torch
from timm.optim.muon import Muon
from torch.nn import Parameter

from distill.settings import Optimisation
from student.model import Student

BETAS = (0.9, 0.95)
PRETRAINED_FACTOR = 0.1
"""Of the backbone's learning rate over the decoder's: what Depth Anything, MoGe and others take."""


def build_optimiser(
    settings: Optimisation,
    student: Student,
    beside: Sequence[Parameter] = (),
    *,
    pretrained: bool = False,
) -> torch.optim.Optimizer:
    """An optimiser of all parameters; `peak` of a group is the rate that a schedule scales.

    beside: further parameters, which learn as fast as the decoder. pretrained: the backbone's
    weights were loaded, and should move less than the rest.
    """
    factor = _encoder_factor(settings, pretrained)
    encoder = list(student.backbone.parameters())
    inside = {id(parameter) for parameter in encoder}
    rest = [p for p in (*student.parameters(), *beside) if id(p) not in inside]
    groups = [*_groups(settings, encoder, factor), *_groups(settings, rest, 1.0)]
    if settings.algorithm == "adamw":
        return torch.optim.AdamW(groups, betas=BETAS)
    return Muon(groups, momentum=BETAS[0], betas=BETAS, algo="adamuon", nesterov=True)


def _encoder_factor(settings: Optimisation, pretrained: bool) -> float:
    if settings.encoder_factor is not None:
        return settings.encoder_factor
    return PRETRAINED_FACTOR if pretrained else 1.0


def _groups(settings: Optimisation, parameters: Sequence[Parameter], factor: float) -> list[dict]:
    """Matrices, then vectors; parameters that are frozen are left out."""
    rate = factor * settings.learning_rate
    learned = [p for p in parameters if p.requires_grad]
    return [
        {
            "params": [p for p in learned if (p.ndim > 1) == matrices],
            "lr": rate,
            "peak": rate,
            "weight_decay": decay,
        }
        for matrices, decay in ((True, settings.weight_decay), (False, 0.0))
    ]

"""Features of a student drawn towards those of a large frozen network."""

from typing import Any

import torch
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn
from torch.nn import functional as F

from distill.losses import image_mean
from distill.settings import FeatureAlignment
from student.backbone import Backbone
from student.model import Student


class FeatureAligner(nn.Module):
    """1 - cosine between a student's features and those of a frozen network, place by place.

    The student's map whose stride is nearest to that of the frozen network's last one is read as it
    passes by, resized to it, and projected if the channels differ; the projector is learned, and
    not stored with the student. Places that are alike enough already do not count: the student
    shall not become a copy. Source: Depth Anything (arXiv 2401.10891), section 3.3.

    Raises ValueError and FileNotFoundError as student.backbone.Backbone does.
    """

    def __init__(self, settings: FeatureAlignment, student: Student) -> None:
        super().__init__()
        self.settings = settings
        frozen = Backbone(
            settings.backbone,
            student.config.image_size,
            settings.backbone_arguments,
            settings.weights,
        )
        level = frozen.levels[-1]
        levels = student.backbone.levels
        self._level = min(
            reversed(range(len(levels))), key=lambda i: abs(levels[i].stride - level.stride)
        )
        ours = levels[self._level].channels
        same = ours == level.channels
        self.projector = nn.Identity() if same else nn.Conv2d(ours, level.channels, 1)
        self._frozen = (frozen.eval().requires_grad_(False),)  # a tuple: in no checkpoint
        self._mean, self._std = _normalisation(frozen)
        self._features: Tensor | None = None
        student.backbone.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, arguments: Any, features: Any) -> None:
        self._features = features[self._level]

    def forward(self, images: Tensor) -> Tensor:
        """The weighted loss of the images (B, 3, H, W) in 0..1 that the student has just seen."""
        if self._features is None:
            raise ValueError("feature alignment: run the student on these images first")
        frozen = self._frozen[0].to(images.device)
        with torch.no_grad():
            mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (self._mean, self._std))
            wanted = frozen((images - mean) / std)[-1].float()
        found = F.interpolate(self._features, size=wanted.shape[-2:], mode="bilinear")
        self._features = None  # frees the graph of the last step
        return self.settings.weight * alignment_loss(
            self.projector(found).float(), wanted, self.settings.margin
        )


def alignment_loss(found: Tensor, wanted: Tensor, margin: float) -> Tensor:
    """Mean over images of 1 - cosine of (B, C, h, w), where the cosine is below the margin."""
    cosine = F.cosine_similarity(found, wanted, dim=1)
    return image_mean(1 - cosine, (cosine < margin).float()).mean()


def _normalisation(frozen: Backbone) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the images that the network was trained on."""
    config = resolve_model_data_config(frozen.network)
    return config["mean"], config["std"]

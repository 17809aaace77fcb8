"""Lotus: one step of a UNet, from noise (G) or without any (D), straight to depth or normals.

The pipelines are in Lotus's own repository (EnVision-Research/Lotus, pipeline.py) and not in
diffusers; the parts of a folder are diffusers' own. What has to be known about them:

- A second embedding beside the timestep tells annotation from reconstruction: the sines and cosines
  of (1, 0), as class_labels. The timestep is the last one, always.
- The UNet answers with the latents themselves (prediction type "sample"), so that the
  scheduler has nothing to do.
- Lotus samples the photograph's latents from the posterior; here it is the mode.
- Nothing in a folder says whether it was tuned on depth, disparity or normals.
- Normals are +x LEFT, +y up, +z towards the camera (its data loader negates Hypersim's x).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from teacher.painters.runtime import Runtime
from teacher.painters.unet_parts import open_unet_parts
from teacher.predictors.card import PredictorCard, read_stated
from teacher.predictors.disparity import disparity_at_infinity
from teacher.predictors.empty_prompt import empty_prompt
from teacher.predictors.planes import depth_rows, normal_rows
from teacher.predictors.protocol import Predicted

TIMESTEP = 999
ANNOTATION = (1.0, 0.0)
"""The task that is asked for; (0, 1) would redraw the photograph."""
LOTUS_AXES = (-1, 1, 1)
"""From Lotus's axes to ours."""


class LotusPredictor:
    """Predicts with the folder of a LotusGPipeline or LotusDPipeline."""

    def __init__(self, folder: Path, card: PredictorCard, runtime: Runtime) -> None:
        self.card = card
        self.parts = open_unet_parts(folder, runtime)
        self._prompt = empty_prompt(folder, self.parts.unet.config["cross_attention_dim"])
        disparity = read_stated(folder)["output"] == "disparity"
        self._at_infinity = disparity_at_infinity(folder) if disparity else None

    def predict(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> list[Predicted]:
        """See Predictor.predict."""
        with torch.inference_mode():
            painted = self.parts.decode(self._latents(photographs, seeds)).clip(-1, 1)
            if self.card.tasks == ("normal",):
                return normal_rows(painted, LOTUS_AXES)
            return depth_rows(((painted + 1) / 2).mean(dim=1), self._at_infinity)

    def _latents(self, photographs: np.ndarray, seeds: Sequence[int]) -> Tensor:
        """The labels' latents (B, 4, H/8, W/8), scaled."""
        parts = self.parts
        shown = parts.encode(photographs) * parts.scaling_factor
        if self.card.seeded:
            noise, _ = parts.noise(seeds, like=shown)
            shown = torch.cat([shown, noise], dim=1)
        angles = torch.tensor([ANNOTATION])
        task = torch.cat([angles.sin(), angles.cos()], dim=-1)  # (1, 4)
        return parts.unet(
            shown,
            TIMESTEP,
            encoder_hidden_states=self._prompt.to(shown).expand(len(shown), -1, -1),
            class_labels=task.to(shown).expand(len(shown), -1),
            return_dict=False,
        )[0]

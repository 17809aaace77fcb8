"""Marigold: a UNet that denoises depth or normals beside the photograph's latents.

The loop of diffusers' MarigoldDepthPipeline and MarigoldNormalsPipeline (0.42), without their
padding and resizing: photographs come at the right size. What has to be known about it:

- The stock pipelines take either latents or generators, and their LCM scheduler draws noise at
  every step: without a generator for each row a photograph's labels would depend on its batch.
- DDIM with "leading" timesteps, as the first release has it, does not begin at pure noise, which
  few steps do not survive (arXiv 2409.11355): later releases have "trailing" ones.
- Depth is the mean of the painted channels, 0 near to 1 far, with unknown scale and shift.
- Normals are +x right, +y up, +z towards the camera, as ours are. A model without
  use_full_z_range paints z from 0 to 1 over the whole range of colours.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from teacher.model_folder import read_json
from teacher.painters.runtime import Runtime
from teacher.painters.unet_parts import open_unet_parts
from teacher.predictors.card import PredictorCard
from teacher.predictors.disparity import disparity_at_infinity
from teacher.predictors.empty_prompt import empty_prompt
from teacher.predictors.planes import depth_rows, normal_rows
from teacher.predictors.protocol import Predicted

FEW_STEPS = 10
"""Below this, DDIM's timesteps must be trailing."""


class MarigoldPredictor:
    """Predicts with the folder of a MarigoldDepthPipeline or MarigoldNormalsPipeline."""

    def __init__(self, folder: Path, card: PredictorCard, runtime: Runtime) -> None:
        self.card = card
        self.parts = open_unet_parts(folder, runtime)
        self._check_timesteps(folder)
        self._prompt = empty_prompt(folder, self.parts.unet.config["cross_attention_dim"])
        index = read_json(folder / "model_index.json")
        self._full_z_range = index.get("use_full_z_range", True)
        disparity = index.get("prediction_type") == "disparity"
        self._at_infinity = disparity_at_infinity(folder) if disparity else None

    def _check_timesteps(self, folder: Path) -> None:
        scheduler, path = self.parts.scheduler, folder / "scheduler" / "scheduler_config.json"
        leading = scheduler.config.get("timestep_spacing") == "leading"
        if isinstance(scheduler, DDIMScheduler) and leading and self.card.steps < FEW_STEPS:
            raise ValueError(
                f'{path}: timestep_spacing is "leading", with which '
                f"{self.card.steps} steps do not begin at noise: take --steps {FEW_STEPS} or more, "
                'or a release that has "trailing"'
            )

    def predict(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> list[Predicted]:
        """See Predictor.predict."""
        with torch.inference_mode():
            painted = self.parts.decode(self._denoise(photographs, seeds))  # (B, 3, H, W)
            if self.card.tasks == ("normal",):
                return normal_rows(self._vectors(painted))
            return depth_rows((painted.mean(dim=1).clip(-1, 1) + 1) / 2, self._at_infinity)

    def _denoise(self, photographs: np.ndarray, seeds: Sequence[int]) -> Tensor:
        """The labels' latents (B, 4, H/8, W/8), scaled."""
        parts, scheduler = self.parts, self.parts.scheduler
        source = parts.encode(photographs) * parts.scaling_factor
        latents, generators = parts.noise(seeds, like=source)
        prompt = self._prompt.to(latents).expand(len(seeds), -1, -1)
        scheduler.set_timesteps(self.card.steps, device=parts.device)
        for t in scheduler.timesteps:
            both = torch.cat([source, latents], dim=1)
            output = parts.unet(both, t, encoder_hidden_states=prompt, return_dict=False)[0]
            latents = parts.step(output, t, latents, generators)
        return latents

    def _vectors(self, painted: Tensor) -> Tensor:
        x, y, z = painted.clip(-1, 1).unbind(dim=1)
        return torch.stack([x, y, z if self._full_z_range else (z + 1) / 2], dim=1)

"""Qwen-Image-Edit, 2509 and 2511: the photograph enters as further tokens, a second image shape.

What has to be known about diffusers' QwenImageEditPipeline and QwenImageEditPlusPipeline (0.42):

- Their text encoder of 7B parameters reads the photograph beside the instruction, so that no
  embedding can be kept, and the second of them paints one photograph at a time. Here, as in
  Marigold V2, autoencoder and transformer are driven directly, and an instruction has one fixed
  embedding: of the text alone. A generator has to be tuned to that; after it, no encoder is needed.
- They rescale every picture to about one megapixel.
- The autoencoder is one for video: pictures and latents have a time axis of length 1.
"""

from typing import Any

import torch
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit import QwenImageEditPipeline
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import QwenImageEditPlusPipeline
from torch import Tensor

from teacher.painters.editor import Editor, Prompt
from teacher.painters.tokens import pack, unpack

VISION = "<|vision_start|><|image_pad|><|vision_end|>"
"""Where the prompt's template has the photograph."""


class QwenEditEditor(Editor):
    """The tokens of the noisy latents, then those of the photograph."""

    pipeline_class = QwenImageEditPipeline
    patch = 2

    @property
    def latent_factor(self) -> int:
        return 2 ** len(self.vae.config["temperal_downsample"])

    def check(self) -> None:
        found, needed = self.transformer.config["in_channels"], 4 * self.vae.config["z_dim"]
        if found != needed:
            raise ValueError(
                f"{self.folder}/transformer/config.json: in_channels is {found}, but tokens of "
                f"these latents, in patches of 2 x 2, have {needed}"
            )

    def encode(self, pictures: Tensor) -> Tensor:
        frames = pictures.to(self.dtype)[:, :, None]  # (B, 3, 1, H, W)
        latents = self.vae.encode(frames, return_dict=False)[0].mode()[:, :, 0]
        mean, deviation = self._statistics(latents)
        return (latents - mean) / deviation

    def decode(self, latents: Tensor) -> Tensor:
        latents = latents.to(self.dtype)
        mean, deviation = self._statistics(latents)
        frames = (latents * deviation + mean)[:, :, None]  # (B, C, 1, h, w)
        return self.vae.decode(frames, return_dict=False)[0][:, :, 0]

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the channels, (1, C, 1, 1) each."""
        config = self.vae.config
        mean, deviation = (
            torch.tensor(config[name]).view(1, -1, 1, 1).to(latents)
            for name in ("latents_mean", "latents_std")
        )
        return mean, deviation

    def velocity(self, noisy: Tensor, source: Tensor | None, t: Tensor, prompt: Prompt) -> Tensor:
        rows, _, height, width = noisy.shape
        pictures = [noisy] if source is None else [noisy, source.to(noisy.dtype)]
        velocity = self.transformer(
            hidden_states=torch.cat([pack(picture) for picture in pictures], 1).to(self.dtype),
            encoder_hidden_states=prompt.embeds,
            encoder_hidden_states_mask=prompt.mask,
            timestep=t,
            img_shapes=[[(1, height // 2, width // 2)] * len(pictures)] * rows,
            return_dict=False,
        )[0]
        return unpack(velocity[:, : height * width // 4], height, width)

    def embed_with(self, pipeline: Any, texts: list[str]) -> Prompt:
        """The states of the instruction after the template's system prompt, without the picture."""
        template = pipeline.prompt_template_encode.replace(VISION, "")
        tokens = pipeline.tokenizer(
            [template.format(text) for text in texts],
            padding=True,
            padding_side="right",
            return_tensors="pt",
        ).to(pipeline.text_encoder.device)
        states = pipeline.text_encoder(**tokens, output_hidden_states=True).hidden_states[-1]
        start = pipeline.prompt_template_encode_start_idx
        mask = tokens["attention_mask"][:, start:].bool()
        states = states[:, start:] * mask[..., None]
        return Prompt(embeds=states, mask=None if mask.all() else mask)


class QwenEditPlusEditor(QwenEditEditor):
    """The folders of 2509 and 2511 name another pipeline; the networks are put together alike."""

    pipeline_class = QwenImageEditPlusPipeline

"""FLUX.1-Control: the photograph enters as extra latent channels, so its pixels stay in place.

What has to be known about diffusers' FluxControlPipeline (0.42):

- Given an image, it *samples* the photograph's latents from the VAE's posterior. Labels must not
  depend on that noise, so the mode is encoded here, once for all tasks, and handed over packed:
  the pipeline takes a control image of three dimensions as latents.
- One control image is silently repeated for every row, and ready-made latents are not checked for
  their shape: the checks stand here.
- The control latents are shifted and scaled with the VAE's shift_factor and scaling_factor; the
  first is None in AutoencoderKL's own defaults, and then the pipeline fails while decoding.
- Heights and widths that do not fit are rounded down with a warning.
- Weights that the files lack are filled at random, weights that the network lacks are dropped; both
  with nothing but a warning.
- Components that were built from a configuration are in training mode: everything is set to eval.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux_control import FluxControlPipeline
from diffusers.utils import logging
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from teacher.painters.card import TeacherCard

WITHOUT_TEXT_ENCODERS = dict.fromkeys(
    ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"), None
)
"""The instructions are embedded already; nothing of these is loaded."""


class FluxControlPainter:
    """Paints with a FluxControlPipeline folder and cached instruction embeddings."""

    def __init__(
        self, folder: Path, card: TeacherCard, *, device: str = "cpu", dtype: str = "float32"
    ) -> None:
        self.card = card
        self.device = _device(device)
        self.dtype = getattr(torch, dtype)
        # Any: the pipeline's annotations ask for the legacy type torch.FloatTensor
        self.pipeline: Any = _open_pipeline(folder, self.dtype).to(self.device)
        self._check(folder)
        self._embeddings = _read_embeddings(folder, card, self.transformer.config)

    @property
    def vae(self) -> AutoencoderKL:
        return self.pipeline.vae

    @property
    def transformer(self) -> FluxTransformer2DModel:
        return self.pipeline.transformer

    def paint(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> Mapping[str, np.ndarray]:
        """See Painter.paint."""
        self._check_input(photographs, tasks, seeds)
        with torch.inference_mode():
            control = self._encode(photographs)
            start = self._start(seeds, tuple(control.shape[1:]))
            size = photographs.shape[1], photographs.shape[2]
            return {task: self._paint(task, control, start, size) for task in tasks}

    def round_trip(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures (B, H, W, 3) uint8 through the VAE and back -> float32, 0 to 1.

        What a perfect painting loses: the ceiling of this teacher.
        """
        with torch.inference_mode():
            config = self.vae.config
            latents = self._encode(pictures) / config["scaling_factor"] + config["shift_factor"]
            redrawn = self.vae.decode(latents, return_dict=False)[0]
            image = self.pipeline.image_processor.postprocess(redrawn, output_type="pt")
        return image.movedim(1, -1).float().cpu().numpy()

    def _encode(self, photographs: np.ndarray) -> Tensor:
        """Photographs -> control latents (B, C, H/8, W/8), scaled as the transformer expects."""
        images = torch.from_numpy(photographs).to(self.device).movedim(-1, 1)
        images = (images.to(torch.float32) / 127.5 - 1).to(self.dtype)
        latents = self.vae.encode(images, return_dict=False)[0].mode()
        config = self.vae.config
        return (latents - config["shift_factor"]) * config["scaling_factor"]

    def _start(self, seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
        """Initial latents (B, *shape): zeros, or noise that depends on the row's seed alone.

        Drawn on the CPU in float32: devices and dtypes would give other numbers for one seed.
        """
        if self.card.start == "zeros":
            return torch.zeros(len(seeds), *shape)
        generators = (torch.Generator("cpu").manual_seed(seed) for seed in seeds)
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    def _paint(
        self, task: str, control: Tensor, start: Tensor, size: tuple[int, int]
    ) -> np.ndarray:
        """One instruction for all rows -> (B, H, W, 3) float32, 0 to 1."""
        prompt_embeds, pooled = self._embeddings[task]
        rows = control.shape[0]
        painted = self.pipeline(
            prompt_embeds=prompt_embeds.to(self.device, self.dtype).expand(rows, -1, -1),
            pooled_prompt_embeds=pooled.to(self.device, self.dtype).expand(rows, -1),
            control_image=_pack(control),
            latents=_pack(start.to(self.device, self.dtype)),
            height=size[0],
            width=size[1],
            num_inference_steps=self.card.steps,
            output_type="pt",
            return_dict=False,
        )[0]  # (B, 3, H, W)
        return painted.movedim(1, -1).float().cpu().numpy()

    def _check(self, folder: Path) -> None:
        """Refuse parts that do not fit together, with the file to look at."""
        if self.vae.config["shift_factor"] is None or self.vae.config["scaling_factor"] is None:
            raise ValueError(
                f"{folder}/vae/config.json: shift_factor and scaling_factor must be numbers"
            )
        found, needed = (
            self.transformer.config["in_channels"],
            8 * self.vae.config["latent_channels"],
        )
        if found != needed:
            raise ValueError(
                f"{folder}/transformer/config.json: in_channels is {found}, but the latents of "
                f"painting and photograph, in patches of 2 x 2, have {needed} channels"
            )
        multiple_px = 2 * self.pipeline.vae_scale_factor
        if self.card.multiple_px % multiple_px:
            raise ValueError(
                f"{folder}/teacher.json: multiple_px is {self.card.multiple_px}, "
                f"but this VAE and transformer need a multiple of {multiple_px}"
            )

    def _check_input(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> None:
        unknown = [task for task in tasks if task not in self._embeddings]
        if unknown:
            known = ", ".join(self._embeddings)
            raise ValueError(
                f"the teacher {self.card.name} cannot paint {unknown[0]!r}; known: {known}"
            )
        if photographs.ndim != 4 or photographs.shape[3] != 3 or photographs.dtype != np.uint8:
            found = f"{photographs.dtype} {photographs.shape}"
            raise ValueError(f"photographs must be (B, H, W, 3) uint8, found {found}")
        if len(seeds) != len(photographs):
            raise ValueError(f"{len(photographs)} photographs but {len(seeds)} seeds")
        height, width = photographs.shape[1:3]
        if height % self.card.multiple_px or width % self.card.multiple_px or not height * width:
            raise ValueError(
                f"photographs of {height} x {width} px do not fit this teacher: "
                f"height and width must be multiples of {self.card.multiple_px}"
            )


def _pack(latents: Tensor) -> Tensor:
    """Latents as the transformer's tokens, patches of 2 x 2: (B, C, h, w) -> (B, h/2 w/2, 4 C)."""
    rows, channels, height, width = latents.shape
    patches = latents.reshape(rows, channels, height // 2, 2, width // 2, 2)
    patches = patches.permute(0, 2, 4, 1, 3, 5)  # (B, h/2, w/2, C, 2, 2)
    return patches.reshape(rows, (height // 2) * (width // 2), 4 * channels)


def _device(name: str) -> torch.device:
    """A device that is there; ValueError otherwise."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}: use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"device {name} is not there ({count} CUDA devices); use --device cpu")
    return device


def _open_pipeline(folder: Path, dtype: torch.dtype) -> FluxControlPipeline:
    """Load through diffusers: safetensors only, no remote code, nothing from the network."""
    try:
        with _without_progress_bar():
            pipeline = FluxControlPipeline.from_pretrained(
                folder,
                **WITHOUT_TEXT_ENCODERS,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
            )
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder}: diffusers cannot open it: {reason}") from error
    for name in ("vae", "transformer"):
        component = getattr(pipeline, name).eval().requires_grad_(False)
        _check_weights(folder / name, component)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _check_weights(folder: Path, component: nn.Module) -> None:
    """Raise ValueError unless the stored weights are exactly those of the network.

    diffusers only warns: it fills what is missing at random, and drops what is left over.
    """
    stored: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            stored |= set(weights.keys())
    if different := sorted(stored ^ set(component.state_dict())):
        where = "only in the file" if different[0] in stored else "missing in the file"
        raise ValueError(
            f"{folder}: weights and config.json do not belong together: "
            f"{different[0]} is {where} ({len(different)} such tensors)"
        )


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Silence the bar that diffusers shows for a handful of files."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _read_embeddings(
    folder: Path, card: TeacherCard, transformer: Mapping[str, int]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Instruction -> prompt_embeds (1, T, joint dim) and pooled (1, pooled dim)."""
    path = folder / "instructions.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it holds the embedded instructions")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return {
        name: (
            _embedding(
                tensors, f"{name}.prompt_embeds", 2, transformer["joint_attention_dim"], path
            ),
            _embedding(tensors, f"{name}.pooled", 1, transformer["pooled_projection_dim"], path),
        )
        for name in card.instructions
    }


def _embedding(
    tensors: Mapping[str, Tensor], name: str, dimensions: int, width: int, path: Path
) -> Tensor:
    """One tensor of the instruction file with a leading batch dimension."""
    tensor = tensors.get(name)
    if tensor is None or tensor.ndim != dimensions or tensor.shape[-1] != width:
        found = "nothing" if tensor is None else tuple(tensor.shape)
        shape = f"(T, {width})" if dimensions == 2 else f"({width},)"
        raise ValueError(f"{path}: {name!r} must have the shape {shape}, found {found}")
    return tensor[None]

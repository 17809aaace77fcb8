"""Open a diffusers folder: safetensors only, no remote code, no network, eval mode, whole weights.

What has to be known about diffusers (0.42):

- Weights that the files lack are filled at random, weights that the network lacks are dropped; both
  with nothing but a warning.
- Components that were built from a configuration are in training mode, and T5's dropout then
  changes every embedding: everything is set to eval.
"""

import inspect
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.quantizers import PipelineQuantizationConfig
from diffusers.utils import logging
from safetensors import safe_open
from torch import nn
from transformers.utils import logging as transformers_logging

from teacher.model_folder import read_json
from teacher.painters.runtime import Runtime
from teacher.painters.stock import text_parts

PAINTING = ("vae", "transformer", "scheduler")
"""The components that paint, once the instructions are embedded."""


def open_pipeline(pipeline_class: Any, folder: Path, runtime: Runtime) -> Any:
    """The pipeline with autoencoder, transformer and scheduler alone, in host memory.

    Raises ValueError when diffusers cannot open the folder or the weights are not the network's.
    """
    pipeline = _from_pretrained(
        pipeline_class,
        folder,
        runtime,
        without=_components(pipeline_class, folder) - set(PAINTING),
        quantization_config=_quantization(runtime),
    )
    for name in ("vae", "transformer"):
        _check_weights(folder / name, getattr(pipeline, name))
    return pipeline


def open_encoders(pipeline_class: Any, folder: Path, runtime: Runtime) -> Any:
    """The pipeline with its text encoders and tokenizers alone: where there is a limit for the
    device's memory, in that of the host.

    Raises ValueError for a folder without text encoders.
    """
    if not text_parts(folder):
        raise ValueError(
            f"{folder}: there are no text encoders to embed instructions with; take the folder of "
            "its authors, or add instructions.safetensors"
        )
    without = _components(pipeline_class, folder) - set(text_parts(folder))
    pipeline = _from_pretrained(pipeline_class, folder, runtime, without=without)
    return pipeline.to(find_device(runtime.device if runtime.max_memory_gib is None else "cpu"))


def find_device(name: str) -> torch.device:
    """A device that is there; ValueError otherwise."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}: use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"device {name} is not there ({count} CUDA devices); use --device cpu")
    return device


def _components(pipeline_class: Any, folder: Path) -> set[str]:
    """Names of the components that the pipeline needs or the folder has."""
    index = read_json(folder / "model_index.json")
    parameters = inspect.signature(pipeline_class.__init__).parameters.values()
    needed = {p.name for p in parameters if p.name != "self" and p.default is p.empty}
    return needed | {name for name, value in index.items() if isinstance(value, list)}


def _from_pretrained(
    pipeline_class: Any, folder: Path, runtime: Runtime, without: Collection[str], **arguments: Any
) -> Any:
    try:
        with _without_progress_bar():
            pipeline = pipeline_class.from_pretrained(
                folder,
                dtype=getattr(torch, runtime.dtype),
                use_safetensors=True,
                local_files_only=True,
                **dict.fromkeys(without),
                **arguments,
            )
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder}: diffusers cannot open it: {reason}") from error
    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            component.eval().requires_grad_(False)
    return pipeline


def _quantization(runtime: Runtime) -> PipelineQuantizationConfig | None:
    """The transformer in 4 bits: rounding the autoencoder would show in every colour."""
    if runtime.quantize is None:
        return None
    return PipelineQuantizationConfig(
        quant_backend="bitsandbytes_4bit",
        quant_kwargs={
            "load_in_4bit": True,
            "bnb_4bit_quant_type": runtime.quantize,
            "bnb_4bit_compute_dtype": getattr(torch, runtime.dtype),
        },
        components_to_quantize=["transformer"],
    )


def _check_weights(folder: Path, component: nn.Module) -> None:
    """Raise ValueError unless the stored weights are exactly those of the network.

    The counter of a batch norm is none of them: it matters in training alone.
    """
    stored: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            stored |= set(weights.keys())
    # 4-bit weights keep their scales beside them, as NAME.weight.absmax and the like
    needed = {name for name in component.state_dict() if ".weight." not in name}
    counters = {name for name in stored | needed if name.endswith(".num_batches_tracked")}
    if different := sorted((stored ^ needed) - counters):
        where = "only in the file" if different[0] in stored else "missing in the file"
        raise ValueError(
            f"{folder}: weights and config.json do not belong together: "
            f"{different[0]} is {where} ({len(different)} such tensors)"
        )


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Silence the bars that diffusers and transformers show for a handful of files."""
    shown = [bars for bars in (logging, transformers_logging) if bars.is_progress_bar_enabled()]
    for bars in shown:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        for bars in shown:
            bars.enable_progress_bar()

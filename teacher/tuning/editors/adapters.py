"""What of a generator is trained: a LoRA adapter, or all of its transformer."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save
from torch import Tensor, nn

from teacher.atomic import write_atomically
from teacher.tuning.editors.config import EditorTuneConfig

ADAPTER = "pytorch_lora_weights.safetensors"
"""The file name by which diffusers' load_lora_weights finds an adapter in a folder."""


def prepare_training(transformer: Any, config: EditorTuneConfig) -> dict[str, nn.Parameter]:
    """Freeze the transformer and add the adapter, or let all of it learn; what is trained, by name.

    What is trained is float32, so that small steps are not rounded away.
    """
    transformer.requires_grad_(config.full)
    if not config.full:
        torch.manual_seed(config.seed)
        transformer.add_adapter(lora_config(transformer, config))
    if config.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    trained = {name: p for name, p in transformer.named_parameters() if p.requires_grad}
    for parameter in trained.values():
        parameter.data = parameter.data.float()
    return trained


def lora_config(transformer: nn.Module, config: EditorTuneConfig) -> LoraConfig:
    """An adapter on all linear layers that are asked for; alpha = rank, so its scale is 1.

    Raises ValueError when no layer has such a name.
    """
    linear = [name for name, layer in transformer.named_modules() if isinstance(layer, nn.Linear)]
    layers = [name for name in linear if re.search(config.lora_layers, name)]
    if not layers:
        raise ValueError(
            f"--lora_layers {config.lora_layers!r} fits none of the {len(linear)} linear layers, "
            f"such as {', '.join(linear[:3])}"
        )
    rank = config.lora_rank
    return LoraConfig(r=rank, lora_alpha=rank, target_modules=layers, init_lora_weights="gaussian")


def save_adapter(transformer: Any, folder: Path) -> None:
    """Write the adapter in peft's names under the prefix "transformer", as diffusers'
    load_lora_weights takes it; its configuration stands in the file's header."""
    tensors: dict[str, Tensor] = get_peft_model_state_dict(transformer, adapter_name="default")
    settings = transformer.peft_config["default"].to_dict()
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in settings.items()}
    metadata = {f"transformer.{k}": v for k, v in plain.items()}
    stored = {f"transformer.{name}": t.detach().cpu().contiguous() for name, t in tensors.items()}
    header = {"lora_adapter_metadata": json.dumps(metadata, sort_keys=True)}
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / ADAPTER, save(stored, header))

"""Fuse a LoRA adapter into a generator: painting with it then costs nothing more.

What has to be known about diffusers (0.42): tensors of an adapter that the transformer has no place
for are dropped with a warning, and an adapter of which nothing fits changes nothing at all.
"""

from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from torch import nn

NAME = "adapter"


def fuse_adapter(pipeline: Any, file: Path, part: str = "transformer") -> None:
    """Add an adapter's weights to those of pipeline.transformer, or of another part: "unet".

    file: safetensors as pipelines write it (names begin with "transformer."), as models write it
    (without), or in another form that diffusers converts.
    Raises ValueError for one that is damaged, or does not belong to this network.
    """
    network = getattr(pipeline, part)
    try:
        with safe_open(file, framework="pt") as weights:
            names = set(weights.keys())
        bare = {name.partition(".")[0] for name in names} <= set(dict(network.named_children()))
        names = _load_bare(network, file, names) if bare else _load(pipeline, file, part)
    except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file}: cannot be loaded as an adapter: {reason}") from error
    _check_all_used(file, names, network)
    network.fuse_lora(adapter_names=[NAME])
    network.unload_lora()


def _load_bare(network: Any, file: Path, names: set[str]) -> set[str]:
    """Load an adapter whose names are those of the network; returns them."""
    network.load_lora_adapter(file.parent, prefix=None, adapter_name=NAME, **_only(file))
    return names


def _load(pipeline: Any, file: Path, part: str) -> set[str]:
    """Load any other adapter; returns the names of its tensors in the network.

    Not with load_lora_weights: it complains of every text encoder that is not there.
    """
    tensors, *alphas, metadata = pipeline.lora_state_dict(
        file.parent, return_alphas=True, return_lora_metadata=True, **_only(file)
    )
    getattr(pipeline, part).load_lora_adapter(
        tensors,
        prefix=part,
        adapter_name=NAME,
        network_alphas=alphas[0] if alphas else None,
        metadata=metadata,
    )
    return {name.removeprefix(f"{part}.") for name in tensors}


def _only(file: Path) -> dict[str, Any]:
    """Arguments that make diffusers read this file, and nothing else."""
    return {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}


def _check_all_used(file: Path, names: set[str], network: nn.Module) -> None:
    used = set()
    if getattr(network, "peft_config", None):
        used = set(get_peft_model_state_dict(network, adapter_name=NAME))
    unused = sorted(name for name in names - used if not name.endswith(".alpha"))
    if unused or not used:
        raise ValueError(
            f"{file}: the adapter does not belong to this network, which has no place for "
            f"{unused[0] if unused else 'any of its tensors'} ({len(unused)} of {len(names)})"
        )

"""Where a backbone's weights come from: timm's hub, a safetensors file, or nowhere."""

import logging
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

SCRATCH, HUB, AUTO = "scratch", "hub", "auto"
"""Anything else is the path of a safetensors file. AUTO: the hub if it answers, else scratch."""


def load_weights(network: Any, source: str) -> str:
    """Load weights into a timm network; returns a few words that say where they came from.

    source: SCRATCH, HUB, AUTO, or the path of a safetensors file in timm's format.
    Raises FileNotFoundError and ValueError, with what to do, when there are none or they do not
    fit; AUTO falls back to scratch when the hub has none or cannot be reached.
    """
    if source == SCRATCH:
        return "from scratch"
    if source not in (HUB, AUTO):
        _load(network, Path(source))
        return f"from the file {Path(source).name}"
    try:
        path, name = _download(network)
    except ValueError as error:
        if source == HUB:
            raise
        logging.getLogger(__name__).warning("%s; training starts from scratch", error)
        return "from scratch: timm's hub gave none"
    _load(network, path)
    return f"from timm's hub: {name}"


def _download(network: Any) -> tuple[Path, str]:
    """The safetensors file of a timm network, from the hub or its cache, and the hub's name."""
    repository = network.pretrained_cfg.get("hf_hub_id")
    if not repository:
        raise ValueError("backbone weights: timm's hub has none for this model")
    try:
        return Path(hf_hub_download(repository, "model.safetensors")), repository
    except (OSError, HfHubHTTPError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"backbone weights: cannot get {repository} from timm's hub ({reason}); give a "
            f"safetensors file, or {SCRATCH}"
        ) from error


def _load(network: nn.Module, path: Path) -> None:
    """Load a file; the weights of a classifier head that is not here are passed over."""
    if not path.is_file():
        raise FileNotFoundError(f"backbone weights {path}: no such file; give a safetensors file")
    try:
        missing, _ = network.load_state_dict(load_file(path), strict=False)
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"backbone weights {path}: do not fit: {reason[:200]}") from error
    if missing:
        raise ValueError(
            f"backbone weights {path}: {len(missing)} tensors are missing, the first is "
            f"{missing[0]!r}; is it the same timm model?"
        )

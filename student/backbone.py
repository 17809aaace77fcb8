"""A timm network as a list of feature maps, from fine to coarse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

PLAIN_LEVELS = 4
"""Blocks that are read from a network of a single resolution, evenly spaced."""

SCRATCH, HUB = "scratch", "hub"
"""Where weights come from; anything else is the path of a safetensors file."""


@dataclass(frozen=True)
class Level:
    """One feature map: its channels, and pixels of the image per pixel of it."""

    channels: int
    stride: int


class Backbone(nn.Module):
    """Feature maps of any timm network that has `forward_intermediates`.

    Hybrid and convolutional networks give the last map of each resolution from stride 4 on; plain
    ViTs give four blocks, evenly spaced. Everything is settled here, at construction: which maps,
    their sizes (measured on an empty image), position embeddings for `image_size`; what lies
    behind the last map is removed.

    name: a timm model; arguments: keyword arguments of `timm.create_model`, such as `dims`;
    image_size: (height, width) in pixels; weights: "scratch", "hub" or a safetensors file.
    """

    network: Any

    def __init__(
        self,
        name: str,
        image_size: tuple[int, int],
        arguments: Mapping[str, Any] | None = None,
        weights: str = SCRATCH,
    ) -> None:
        super().__init__()
        self.network = _create(name, image_size, arguments or {}, weights)
        self.multiple_px = max(info["reduction"] for info in self.network.feature_info)
        if image_size[0] % self.multiple_px or image_size[1] % self.multiple_px:
            raise ValueError(
                f"image size {image_size[0]} x {image_size[1]} px: backbone {name!r} takes "
                f"multiples of {self.multiple_px} px"
            )
        maps = _measure(self.network, image_size)
        self.indices = _choose(maps)
        self.levels = tuple(maps[index] for index in self.indices)
        self.network.prune_intermediate_layers(self.indices, prune_norm=True, prune_head=True)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> (B, channels, H / stride, W / stride) for each of `levels`."""
        return self.network.forward_intermediates(
            images, indices=self.indices, intermediates_only=True, output_fmt="NCHW"
        )


def _create(
    name: str, image_size: tuple[int, int], arguments: Mapping[str, Any], weights: str
) -> Any:
    """A timm network; Any, since what it can do beyond nn.Module is checked here."""
    if not timm.is_model(name):
        near = (
            ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:5]) or "see timm.list_models()"
        )
        raise ValueError(f"backbone {name!r} is not a timm model; similar: {near}")
    keywords: dict[str, Any] = {"num_classes": 0, **arguments}
    network: Any
    try:
        network = timm.create_model(name, pretrained=weights == HUB, **keywords)
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"backbone {name!r} does not take {dict(arguments)}: {error}") from error
    if not hasattr(network, "forward_intermediates"):
        raise ValueError(f"backbone {name!r} has no forward_intermediates; choose another one")
    if weights not in (SCRATCH, HUB):
        _load(network, Path(weights))
    if hasattr(network, "set_input_size"):  # position embeddings are resampled here, once
        network.set_input_size(img_size=image_size)
    return network


def _load(network: nn.Module, path: Path) -> None:
    """Load a backbone's weights; those of a classifier head that is not here are passed over."""
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


def _measure(network: Any, image_size: tuple[int, int]) -> list[Level]:
    """Channels and stride of every intermediate map, from an empty image."""
    training = network.training
    with torch.no_grad():
        maps = network.eval().forward_intermediates(
            torch.zeros(1, 3, *image_size), intermediates_only=True, output_fmt="NCHW"
        )
    network.train(training)
    return [Level(feature.shape[1], image_size[0] // feature.shape[2]) for feature in maps]


def _choose(maps: Sequence[Level]) -> list[int]:
    """Indices of the maps to read: the last one of each stride, or evenly spaced blocks."""
    last = {level.stride: index for index, level in enumerate(maps)}
    if len(last) > 1:
        return [index for stride, index in sorted(last.items()) if stride >= 4]
    count = min(PLAIN_LEVELS, len(maps))
    return [(part + 1) * len(maps) // count - 1 for part in range(count)]

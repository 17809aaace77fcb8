"""A timm network as a list of feature maps, from fine to coarse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3
from torch import Tensor, nn

from student.rope import AnySizeRope
from student.weights import SCRATCH, load_weights

PLAIN_LEVELS = 4
"""Blocks that are read from a network of a single resolution, evenly spaced."""


@dataclass(frozen=True)
class Level:
    """One feature map: its channels, and pixels of the image per pixel of it."""

    channels: int
    stride: int


class Backbone(nn.Module):
    """Feature maps of any timm network that has `forward_intermediates` and takes any size.

    Hybrid and convolutional networks give the last map of each resolution from stride 4 on; plain
    ViTs give four blocks, evenly spaced, each through the last norm, as DINOv2 and DINOv3 are read.
    Everything is settled here, at construction: which maps, their channels and strides (measured on
    an empty image), position embeddings resampled to `image_size`; what lies behind the last map is
    removed.

    name: a timm model; arguments: keyword arguments of `timm.create_model`, such as `dims`;
    image_size: (height, width) in pixels; weights: as load_weights takes it. `origin` then says
    where the weights came from.
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
        self.network = _create(name, arguments or {})
        self.origin = load_weights(self.network, weights)
        _adapt(self.network, image_size)
        self.multiple_px = max(info["reduction"] for info in self.network.feature_info)
        maps = _measure(self.network, name, _other_size(self.multiple_px, image_size))
        self.plain = len({level.stride for level in maps}) == 1
        self.indices = _choose(maps)
        self.levels = tuple(maps[index] for index in self.indices)
        self.network.prune_intermediate_layers(
            self.indices, prune_norm=not self.plain, prune_head=True
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> (B, channels, H / stride, W / stride) for each of `levels`."""
        return self.network.forward_intermediates(
            images,
            indices=self.indices,
            norm=self.plain,
            intermediates_only=True,
            output_fmt="NCHW",
        )


def _create(name: str, arguments: Mapping[str, Any]) -> Any:
    """A timm network; Any, since what it can do beyond nn.Module is checked here."""
    if not timm.is_model(name):
        near = (
            ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:5]) or "see timm.list_models()"
        )
        raise ValueError(f"backbone {name!r} is not a timm model; similar: {near}")
    network: Any
    try:
        try:  # ViTs must be asked for any size; others take it, and do not know the word
            network = timm.create_model(name, num_classes=0, dynamic_img_size=True, **arguments)
        except TypeError:
            network = timm.create_model(name, num_classes=0, **arguments)
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"backbone {name!r} does not take {dict(arguments)}: {error}") from error
    if not hasattr(network, "forward_intermediates"):
        raise ValueError(f"backbone {name!r} has no forward_intermediates; choose another one")
    return network


def _adapt(network: Any, image_size: tuple[int, int]) -> None:
    """Settle position embeddings: learned ones are resampled here, once, rotary ones set free."""
    if hasattr(network, "set_input_size"):
        network.set_input_size(img_size=image_size)
    rope = getattr(network, "rope", None)
    if isinstance(rope, RotaryEmbeddingDinoV3) and rope.normalize_coords == "separate":
        network.rope = AnySizeRope(rope)


def _other_size(multiple_px: int, image_size: tuple[int, int]) -> tuple[int, int]:
    """A small size that is not the one which the network was made for."""
    short, long = 2 * multiple_px, 4 * multiple_px
    return (short, long) if (short, long) != image_size else (long, short)


def _measure(network: Any, name: str, size: tuple[int, int]) -> list[Level]:
    """Channels and stride of every intermediate map, from an empty image of some size."""
    training = network.training
    try:
        with torch.no_grad():
            maps = network.eval().forward_intermediates(
                torch.zeros(1, 3, *size), intermediates_only=True, output_fmt="NCHW"
            )
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"backbone {name!r} takes images of one size only ({reason}); choose another one"
        ) from error
    network.train(training)
    return [Level(feature.shape[1], size[0] // feature.shape[2]) for feature in maps]


def _choose(maps: Sequence[Level]) -> list[int]:
    """Indices of the maps to read: the last one of each stride, or evenly spaced blocks."""
    last = {level.stride: index for index, level in enumerate(maps)}
    if len(last) > 1:
        return [index for stride, index in sorted(last.items()) if stride >= 4]
    count = min(PLAIN_LEVELS, len(maps))
    return [(part + 1) * len(maps) // count - 1 for part in range(count)]

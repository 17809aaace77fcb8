"""A segmentation head whose classes are words: pixel embeddings against text embeddings.

The names' embeddings come from the text tower of a CLIP, once, and travel with the student: it
needs no text tower where it runs, and other names may be given after training.
"""

import copy
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from student.model import Student

PROMPT = "a photo of a {}."
PIXEL_CHANNELS = 64
"""Of a pixel before it is lifted into the text's space: cosines are computed in these few, so that
no tensor of text_dim channels and full resolution is ever made."""
FIRST_SCALE = 1 / 0.07
"""Of the cosines, as CLIP begins; it is learned."""


class TextHead(nn.Module):
    """(B, dim, H/p, W/p) -> (B, C, H, W): scaled cosines of pixels and class names, as logits.

    A pixel x of few channels is lifted to W x in the text's space, and its cosine with the
    embedding t of a name is (W't)x / sqrt(x'W'W x): exact, without computing W x.

    pixels: a decoder's head with PIXEL_CHANNELS channels; classes: how many; text_dim: channels of
    a text embedding.
    """

    text: Tensor

    def __init__(self, pixels: nn.Module, classes: int, text_dim: int) -> None:
        super().__init__()
        self.pixels = pixels
        self.lift = nn.Linear(PIXEL_CHANNELS, text_dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
        self.register_buffer("text", torch.zeros(classes, text_dim))

    def forward(self, decoded: Tensor) -> Tensor:
        pixels = self.pixels(decoded)
        lift = self.lift.weight  # (text_dim, PIXEL_CHANNELS)
        products = F.conv2d(pixels, (self.text @ lift)[..., None, None])
        squares = (pixels * F.conv2d(pixels, (lift.T @ lift)[..., None, None])).sum(1, keepdim=True)
        return self.log_scale.exp() * products * squares.clamp_min(1e-6).rsqrt()


def embed_names(names: Sequence[str], source: str) -> Tensor:
    """Unit text embeddings (C, text_dim) float32 of class names.

    source: a folder or hub id of a CLIP in the form of transformers (safetensors), or a file that
    save_embeddings wrote.
    Raises FileNotFoundError and ValueError when it is neither, or a file lacks a name.
    """
    if Path(source).suffix == ".safetensors":
        return _read_embeddings(names, Path(source))
    tokenizer, tower = _load_tower(source)
    tokens = tokenizer([PROMPT.format(name) for name in names], padding=True, return_tensors="pt")
    with torch.inference_mode():
        embeddings = tower(**tokens).text_embeds
    return F.normalize(embeddings.float(), dim=1).clone()


def _load_tower(source: str) -> tuple[Any, Any]:
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer  # slow to import

    try:
        tokenizer = CLIPTokenizer.from_pretrained(source)
        tower = CLIPTextModelWithProjection.from_pretrained(source, use_safetensors=True)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"text tower {source}: expected the folder or the hub id of a CLIP with safetensors, "
            f"or a file of embeddings (.safetensors): {reason}"
        ) from error
    return tokenizer, tower.eval()


def save_embeddings(path: Path, names: Sequence[str], embeddings: Tensor) -> Path:
    """Keep embeddings (C, text_dim) of many names, for devices without a text tower."""
    save_file({"embeddings": embeddings.contiguous()}, path, {"names": json.dumps(list(names))})
    return path


def _read_embeddings(names: Sequence[str], path: Path) -> Tensor:
    if not path.is_file():
        raise FileNotFoundError(f"text embeddings {path}: no such file")
    try:
        with safe_open(path, framework="pt") as stored:
            known = json.loads(stored.metadata()["names"])
            embeddings = stored.get_tensor("embeddings")
    except (SafetensorError, TypeError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"text embeddings {path}: not a file of embeddings: {error}") from error
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"text embeddings {path}: lacks {missing}; it has {known}")
    return embeddings[[known.index(name) for name in names]]


def set_text(head: nn.Module, embeddings: Tensor) -> None:
    """Give a TextHead the embeddings (C, text_dim) of its classes."""
    device = next(head.parameters()).device
    head.register_buffer("text", embeddings.to(device))


def with_classes(student: "Student", names: Sequence[str], text_tower: str) -> "Student":
    """A copy of a student whose segmentation has other classes; nothing else changes.

    names: the new classes, in order; text_tower: the one that it was trained with, as for
    embed_names.
    Raises ValueError when the student has an ordinary segmentation head, and when the tower's
    embeddings are of another width.
    """
    text_dim = student.config.text_dim
    if text_dim is None:
        raise ValueError(
            "student: its classes are fixed; train it with a text tower to change them later"
        )
    embeddings = embed_names(names, text_tower)
    if embeddings.shape[1] != text_dim:
        raise ValueError(
            f"text tower {text_tower}: {embeddings.shape[1]} channels, the student was trained "
            f"with {text_dim}: give the same tower"
        )
    changed = copy.deepcopy(student)
    changed.config = dataclasses.replace(student.config, classes=tuple(names))
    set_text(changed.heads["segment"], embeddings)
    return changed

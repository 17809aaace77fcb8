"""Embedded instructions: read from a teacher folder, or made once with its text encoders and kept.

A folder of the hub has text encoders and no instructions.safetensors. Its instructions are then
embedded when it is first loaded, and kept in the user's cache folder under a name that follows from
weights, texts and dtype: nothing is ever written into the folder itself.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from teacher.atomic import write_atomically
from teacher.painters.adapter import INSTRUCTIONS, Adapter
from teacher.painters.card import TeacherCard
from teacher.painters.editor import Prompt
from teacher.painters.stock import embeds_instructions


class Reader(Protocol):
    """A network that takes embedded instructions: an Editor, or a painter of its own."""

    folder: Path
    dtype: torch.dtype

    @property
    def text_width(self) -> int: ...
    @property
    def pooled_width(self) -> int | None: ...
    def embed(self, texts: Sequence[str]) -> Prompt: ...


def read_prompts(path: Path, names: Mapping[str, str], editor: Reader) -> dict[str, Prompt]:
    """The named instructions of a safetensors file, one row each.

    The file holds NAME.prompt_embeds (T, D) and, where the editor takes it, NAME.pooled (P,).
    Raises FileNotFoundError when it is missing, ValueError when it is damaged or does not fit.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it holds the embedded instructions")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return {name: _read_prompt(tensors, name, editor, path) for name in names}


def write_prompts(path: Path, prompts: Mapping[str, Prompt]) -> None:
    """Inverse of read_prompts; one row each, without padding."""
    tensors: dict[str, Tensor] = {}
    for name, prompt in prompts.items():
        embeds = prompt.embeds[0] if prompt.mask is None else prompt.embeds[0][prompt.mask[0]]
        tensors[f"{name}.prompt_embeds"] = embeds.contiguous()
        if prompt.pooled is not None:
            tensors[f"{name}.pooled"] = prompt.pooled[0].contiguous()
    write_atomically(path, save(tensors))


def teacher_prompts(
    editor: Reader, card: TeacherCard, adapter: Adapter | None = None
) -> dict[str, Prompt]:
    """All instructions of a card: from the file that lies with it, or embedded and kept."""
    if not embeds_instructions(editor.folder, adapter):
        folder = (adapter and adapter.card_folder) or editor.folder
        return read_prompts(folder / INSTRUCTIONS, card.instructions, editor)
    kept = cache_folder() / f"{_cache_name(card, editor)}.safetensors"
    if not kept.is_file():
        prompts = editor.embed(list(card.instructions.values()))
        kept.parent.mkdir(parents=True, exist_ok=True)
        rows = torch.arange(len(card.instructions), device=prompts.embeds.device)
        write_prompts(kept, {n: prompts.rows(r[None]) for n, r in zip(card.instructions, rows)})
    return read_prompts(kept, card.instructions, editor)


def cache_folder() -> Path:
    """Where embedded instructions are kept: $XDG_CACHE_HOME/potstill, else ~/.cache/potstill."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "potstill"


def _cache_name(card: TeacherCard, editor: Reader) -> str:
    parts = [card.weights_sha256, card.config_sha256, dict(card.instructions), str(editor.dtype)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read_prompt(tensors: Mapping[str, Tensor], name: str, editor: Reader, path: Path) -> Prompt:
    pooled = editor.pooled_width
    return Prompt(
        embeds=_tensor(tensors, f"{name}.prompt_embeds", 2, editor.text_width, path),
        pooled=None if pooled is None else _tensor(tensors, f"{name}.pooled", 1, pooled, path),
    )


def _tensor(
    tensors: Mapping[str, Tensor], name: str, dimensions: int, width: int, path: Path
) -> Tensor:
    """One tensor of the file with a leading row dimension."""
    tensor = tensors.get(name)
    if tensor is None or tensor.ndim != dimensions or tensor.shape[-1] != width:
        found = "nothing" if tensor is None else tuple(tensor.shape)
        shape = f"(T, {width})" if dimensions == 2 else f"({width},)"
        raise ValueError(f"{path}: {name!r} must have the shape {shape}, found {found}")
    return tensor[None]

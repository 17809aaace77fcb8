"""Texts through the CLIP encoders of a Stable Diffusion folder, which are loaded for one call.

As diffusers' pipelines embed a prompt (0.42): Stable Diffusion 1 and 2 take the last states of the
one encoder that they have; SDXL the last but one of both, side by side, and the second one's vector
of the whole text beside them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from teacher.painters.editor import Prompt
from teacher.painters.runtime import ON_CPU
from teacher.predictors.network import open_network


def embed_texts(folder: Path, texts: Sequence[str], *, padded: bool = True) -> Prompt:
    """Embed texts with a folder's text_encoder and, where it is there, its text_encoder_2.

    padded: to the longest text that the encoders take, 77 tokens, as instructions are; else all
    texts must have one length. Longer texts are cut. Returns float32 on the CPU.
    Raises FileNotFoundError for a part that is missing, ValueError for one that is damaged.
    """
    if not (folder / "text_encoder_2").is_dir():
        return Prompt(embeds=_encode(folder, "", texts, padded, CLIPTextModel)[0])
    first = _encode(folder, "", texts, padded, CLIPTextModel).hidden_states[-2]
    second = _encode(folder, "_2", texts, padded, CLIPTextModelWithProjection)
    embeds = torch.cat([first, second.hidden_states[-2]], dim=-1)
    return Prompt(embeds=embeds, pooled=second.text_embeds)


def _encode(folder: Path, suffix: str, texts: Sequence[str], padded: bool, kind: Any) -> Any:
    tokenizer = _open_tokenizer(_existing(folder / f"tokenizer{suffix}"))
    encoder = open_network(kind, _existing(folder / f"text_encoder{suffix}"), ON_CPU)
    tokens: Tensor = tokenizer(
        list(texts),
        padding="max_length" if padded else "do_not_pad",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    with torch.no_grad():
        return encoder(tokens, output_hidden_states=True)


def _open_tokenizer(folder: Path) -> Any:
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder}: transformers cannot open it: {reason}") from error


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: without it texts cannot be embedded")
    return folder

"""Instructions embedded once, before training; the text encoders are not kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F
from transformers.utils import logging as transformers_logging

from teacher.atomic import write_atomically
from teacher.painters.adapter import INSTRUCTIONS
from teacher.painters.card import TeacherCard
from teacher.painters.editor import Editor, Prompt
from teacher.painters.instructions import read_prompts
from teacher.painters.stock import text_parts


def known_texts(folder: Path, card: TeacherCard) -> set[str] | None:
    """What a generator can be asked for: anything (None), or without text encoders the
    instructions that it was tuned on."""
    return None if text_parts(folder) else set(card.instructions.values())


def cache_embeddings(editor: Editor, card: TeacherCard, texts: Sequence[str], path: Path) -> Prompt:
    """The texts embedded, row by row, in `path`; a file that is there is used.

    texts: of known_texts. Raises ValueError for stored instructions that do not fit.
    """
    if not path.exists():
        if known_texts(editor.folder, card) is None:
            with _quiet():
                prompt = editor.embed(texts)
        else:
            stored = read_prompts(editor.folder / INSTRUCTIONS, card.instructions, editor)
            names = {text: name for name, text in card.instructions.items()}
            prompt = joined([stored[names[text]] for text in texts])
        tensors = {name: part.cpu().contiguous() for name, part in prompt.tensors().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save(tensors))
    return Prompt(**load_file(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """CLIP reads the first 77 tokens of an instruction, and two libraries say so for each."""
    libraries = (diffusers_logging, transformers_logging)
    before = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
    try:
        yield
    finally:
        for library, verbosity in zip(libraries, before):
            library.set_verbosity(verbosity)


def joined(prompts: Sequence[Prompt]) -> Prompt:
    """Prompts of one row each as the rows of one; shorter ones are padded and masked."""
    tokens = [prompt.embeds.shape[1] for prompt in prompts]
    longest = max(tokens)

    def padded(embeds: Tensor) -> Tensor:
        return F.pad(embeds, (0, 0, 0, longest - embeds.shape[1]))

    embeds = torch.cat([padded(prompt.embeds) for prompt in prompts])
    pooled = [prompt.pooled for prompt in prompts if prompt.pooled is not None]
    mask = torch.arange(longest) < torch.tensor(tokens)[:, None]
    return Prompt(
        embeds=embeds,
        pooled=torch.cat(pooled) if pooled else None,
        mask=None if mask.all() else mask,
    )

"""Instructions embedded once, before training; the text encoders are not kept."""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save

from teacher.atomic import write_atomically
from teacher.painters.adapter import INSTRUCTIONS
from teacher.painters.card import TeacherCard
from teacher.painters.editor import Editor, Prompt, joined
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
            prompt = editor.embed(texts)
        else:
            stored = read_prompts(editor.folder / INSTRUCTIONS, card.instructions, editor)
            names = {text: name for name, text in card.instructions.items()}
            prompt = joined([stored[names[text]] for text in texts])
        tensors = {name: part.cpu().contiguous() for name, part in prompt.tensors().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save(tensors))
    return Prompt(**load_file(path))

"""The embedding of no prompt at all, which networks without instructions were tuned with."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from teacher.painters.clip_text import embed_texts

EMPTY_PROMPT_FILE = "empty_prompt.safetensors"
EMPTY_PROMPT_KEY = "prompt_embeds"


def empty_prompt(folder: Path, width: int) -> Tensor:
    """Embedding (1, T, width) float32, from empty_prompt.safetensors or the folder's text encoder.

    The text encoder is loaded for this call only. As in Marigold's and Lotus's own code, the prompt
    is not padded: T = 2, begin and end.
    Raises FileNotFoundError without either, ValueError for another width.
    """
    path = folder / EMPTY_PROMPT_FILE
    embedding = _read(path) if path.is_file() else _embed(folder)
    if embedding.ndim != 3 or len(embedding) != 1 or embedding.shape[-1] != width:
        raise ValueError(
            f"{folder}: the empty prompt must be embedded as (1, T, {width}) for this UNet, found "
            f"{tuple(embedding.shape)}"
        )
    return embedding.float()


def _read(path: Path) -> Tensor:
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if EMPTY_PROMPT_KEY not in tensors:
        raise ValueError(f"{path}: expected the tensor {EMPTY_PROMPT_KEY!r}, found {[*tensors]}")
    return tensors[EMPTY_PROMPT_KEY]


def _embed(folder: Path) -> Tensor:
    try:
        return embed_texts(folder, [""], padded=False).embeds
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; or give {EMPTY_PROMPT_FILE} in its place") from error

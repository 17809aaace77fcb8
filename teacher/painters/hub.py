"""Where a teacher is: a folder of this machine, or a commit of a repository on the hub."""

import re
from collections.abc import Sequence
from pathlib import Path

from teacher.painters.adapter import Adapter
from teacher.painters.stock import embeds_instructions, text_parts

EMBEDDED = Path(__file__).parent.parent / "embedded"
"""The teacher that comes with the package; `--teacher embedded`."""

OF_TRANSFORMERS = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
"""A model of transformers is one folder without parts."""

FETCHED = (
    "model_index.json",
    "README.md",
    "teacher.json",
    "instructions.safetensors",
    "empty_prompt.safetensors",
    "confidence.json",
    *(
        f"{part}/*.{suffix}"
        for part in ("transformer", "unet", "vae", "scheduler")
        for suffix in ("json", "safetensors")
    ),
    *OF_TRANSFORMERS,
)
"""What is taken from the hub: no pickles, no code, and no text encoders."""
TEXT_FILES = ("json", "safetensors", "txt", "model", "jinja")
"""Endings in the folders of text encoders and tokenizers, which are taken only when needed."""


def locate(text: str, revision: str | None, adapter: Adapter | None) -> tuple[Path, str | None]:
    """The folder on this machine, and the commit if it comes from the hub.

    Only a name with a revision is looked up on the hub: a mistyped folder is an error at once, and
    labels can be made again from the same weights.
    Raises FileNotFoundError for what is not there, ValueError for a name without its form.
    """
    if text == "embedded" and revision is None:
        return EMBEDDED, None
    if revision is None:
        if not Path(text).is_dir():
            raise FileNotFoundError(
                f"teacher folder {text} does not exist; a model of the Hugging Face hub needs its "
                "revision too, so that it stays the same one"
            )
        return Path(text), None
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text) is None:
        raise ValueError(
            f"a revision belongs to OWNER/NAME on the Hugging Face hub, not to {text!r}"
        )
    folder = _fetch(text, revision, FETCHED)
    if embeds_instructions(folder, adapter):
        parts = text_parts(folder)
        _fetch(text, revision, [f"{part}/*.{ending}" for part in parts for ending in TEXT_FILES])
    return folder, folder.name


def _fetch(hub_id: str, revision: str, patterns: Sequence[str]) -> Path:
    """Snapshot of a hub repository; its folder is named after the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise FileNotFoundError(
            f"cannot fetch {hub_id} at {revision} from the hub: {error}; or give a folder"
        ) from error
    return Path(folder)

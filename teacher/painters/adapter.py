"""A LoRA adapter beside a generator: a safetensors file, or a folder with one.

The folder may also hold teacher.json, instructions.safetensors and confidence.json, as
`potstill tune --base` writes them: these then take the place of the generator's own. A folder
without weights is allowed: it teaches a generator of the hub what to be asked, and nothing else.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from teacher.model_folder import digest_files, refuse_unsafe_files
from teacher.provenance import sha256_file

CARD, INSTRUCTIONS = "teacher.json", "instructions.safetensors"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter that was found and checked, but is not loaded yet."""

    path: Path
    """The file or the folder."""
    weights: Path | None
    """The safetensors file; None for a folder that holds a card alone."""
    sha256: str
    """Of all that shapes a label: the file, or the safetensors and JSON files of the folder."""

    @property
    def card_folder(self) -> Path | None:
        """The folder, if it has a teacher.json."""
        return self.path if (self.path / CARD).is_file() else None


def open_adapter(path: Path) -> Adapter:
    """Find and hash an adapter; loads no weights.

    Raises FileNotFoundError for a path that does not exist; ValueError for pickled weights, code,
    and a folder with no or several weight files.
    """
    if path.is_file():
        if path.suffix != ".safetensors":
            raise ValueError(
                f"{path}: an adapter must be a safetensors file, or a folder with one; "
                "pickled weights can run code and are never loaded"
            )
        return Adapter(path=path, weights=path, sha256=sha256_file(path))
    if not path.is_dir():
        raise FileNotFoundError(f"adapter {path} does not exist; give a folder or a file")
    if (path / "model_index.json").is_file():
        raise ValueError(f"{path} is a whole generator, not an adapter: give it as the teacher")
    refuse_unsafe_files(path)
    return Adapter(path=path, weights=_weights(path), sha256=_digest(path))


def _weights(folder: Path) -> Path | None:
    files = [file for file in sorted(folder.glob("*.safetensors")) if file.name != INSTRUCTIONS]
    if len(files) > 1 or not (files or (folder / CARD).is_file()):
        found = ", ".join(file.name for file in files) or "none"
        raise ValueError(
            f"{folder}: an adapter folder holds one file of weights, *.safetensors; found {found}"
        )
    return files[0] if files else None


def _digest(folder: Path) -> str:
    parts = (digest_files(folder, pattern) for pattern in ("*.safetensors", "*.json"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()

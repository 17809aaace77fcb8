"""A folder of a model as diffusers and transformers write it: its class, its JSON, its digests."""

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from teacher.provenance import sha256_file

PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
CODE = {".py", ".pyc", ".so"}

IDENTITY = ("path_or_hub_id", "revision", "weights_sha256", "config_sha256", "licence", "layout")
"""Fields of a card that say which teacher it is; every label records them."""


def refuse_unsafe_files(folder: Path) -> None:
    """Raise ValueError if the folder holds pickled weights or code: neither is ever opened."""
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in PICKLED:
            raise ValueError(
                f"{file} holds pickled weights, which can run code and are never loaded; remove it "
                "if safetensors files lie beside it, or convert it where that does no harm: "
                "pipeline.save_pretrained(FOLDER, safe_serialization=True)"
            )
        if file.suffix.lower() in CODE:
            raise ValueError(
                f"{file} is code, and code from a teacher folder is never run; "
                "remove it if the pipeline class is one of diffusers itself"
            )


def is_model_folder(folder: Path) -> bool:
    """Whether a folder is that of a pipeline of diffusers or of a network of transformers."""
    return any((folder / name).is_file() for name in ("model_index.json", "config.json"))


def read_layout(folder: Path) -> str:
    """Class of the diffusers pipeline (model_index.json) or transformers model (config.json).

    Raises FileNotFoundError when neither file is there; ValueError when no class is named: a list
    in model_index.json would name custom code to import.
    """
    index = folder / "model_index.json"
    if not index.is_file() and (folder / "config.json").is_file():
        return _architecture(folder / "config.json")
    layout = read_json(index).get("_class_name")
    if not isinstance(layout, str):
        raise ValueError(
            f"{index}: _class_name must be the name of a diffusers pipeline: {layout!r}"
        )
    return layout


def _architecture(path: Path) -> str:
    names = read_json(path).get("architectures")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise ValueError(f"{path}: architectures must name one class of transformers: {names!r}")
    return names[0]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a teacher folder; errors name the file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: a teacher folder holds model_index.json and the folders that it "
            "names; a painter's also teacher.json and instructions.safetensors"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, found {type(value).__name__}")
    return value


def digest_files(folder: Path, pattern: str, without: Collection[str] = ()) -> str:
    """One digest over the names and contents of all files that match, in a fixed order.

    without: subfolders whose files do not count.
    """
    names = {file.relative_to(folder).as_posix(): file for file in folder.rglob(pattern)}
    digest = hashlib.sha256()
    for name in sorted(names):
        if name.partition("/")[0] not in without:
            digest.update(f"{name} {sha256_file(names[name])}\n".encode())
    return digest.hexdigest()


def readme_licence(folder: Path) -> str | None:
    """The licence that the head of README.md states, as hub repositories do; None without one."""
    path = folder / "README.md"
    head = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    block = re.match(r"---\s*\n(.*?)\n---", head, re.DOTALL)
    stated = dict(re.findall(r"^(license\w*):[ \t]*(\S+)[ \t]*$", block[1], re.M)) if block else {}
    return stated.get("license_name") or stated.get("license")

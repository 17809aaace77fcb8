"""The frozen plan of a labelling job: its input shards, its configuration, its seeds."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from teacher.atomic import write_atomically
from teacher.members import PHOTO_SUFFIXES
from teacher.strict_json import (
    check_integer,
    check_schema,
    check_sha256,
    check_text,
    from_fields,
    parse_object,
)

MANIFEST_NAME = "manifest.json"
MANIFEST_SCHEMA = 1


@dataclass(frozen=True)
class InputShard:
    """One shard of photographs as it was when the job was planned."""

    path: str
    """Absolute path, or URL."""
    size_bytes: int
    sha256: str
    count: int
    """Photographs in it, or of `keys`."""
    keys: tuple[str, ...] | None = None
    """Only these, in the order of the shard; None for all. See teacher.jobs.relabel."""

    def __post_init__(self) -> None:
        check_text("path", self.path)
        check_integer("size_bytes", self.size_bytes, low=1)
        check_sha256("sha256", self.sha256)
        check_integer("count", self.count, low=1)
        if self.keys is not None:
            object.__setattr__(self, "keys", tuple(self.keys))  # JSON has lists
            if len(self.keys) != self.count:
                raise ValueError(f"keys: expected {self.count}, found {len(self.keys)}")

    @property
    def name(self) -> str:
        """The shard's name without folder and `.tar`; its labels have the same."""
        return Path(self.path).stem


@dataclass(frozen=True)
class Manifest:
    """What a job will do; written once, and read by every worker and every later run."""

    job_id: str
    inputs: tuple[InputShard, ...]
    config: Mapping[str, Any]
    """JSON values: everything that decides a label."""
    schema: int = MANIFEST_SCHEMA

    def __post_init__(self) -> None:
        check_text("job_id", self.job_id)
        if not self.inputs:
            raise ValueError("inputs: expected at least one shard")


def plan_job_id(inputs: Sequence[InputShard], config: Mapping[str, Any]) -> str:
    """16 hex digits that follow from what goes in, but not from where it lies."""
    shards = [
        [shard.name, shard.sha256, shard.count, *([shard.keys] if shard.keys else [])]
        for shard in inputs
    ]
    plan = json.dumps([shards, dict(config)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(plan.encode()).hexdigest()[:16]


def sample_seed(job_id: str, key: str) -> int:
    """64 bits that depend on the job and the sample alone: no batch, rank, retry or engine."""
    return int.from_bytes(hashlib.sha256(f"{job_id}/{key}".encode()).digest()[:8])


def image_shards(path: Path) -> list[Path]:
    """The shards of photographs at a path, sorted by name.

    path: a .tar file, a folder with .tar files, or a folder with images/*.tar.
    Raises FileNotFoundError or ValueError saying what was found instead.
    """
    if path.is_file():
        if path.suffix != ".tar":
            raise ValueError(f"{path}: expected a .tar shard or a folder of them, found a file")
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder; expected shards of photographs")
    for folder in (path, path / "images"):
        if shards := sorted(folder.glob("*.tar")):
            return shards
    files = chain(path.glob("*"), path.glob("*/*"))
    loose = next((f.name for f in files if f.suffix[1:].lower() in PHOTO_SUFFIXES), None)
    hint = f"; pack loose photographs such as {loose} into shards first" if loose else ""
    raise ValueError(f"{path}: expected shards (*.tar or images/*.tar), found none{hint}")


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write FOLDER/manifest.json, all or nothing. Inverse: read_manifest."""
    path = folder / MANIFEST_NAME
    write_atomically(path, manifest_to_json(manifest))
    return path


def manifest_to_json(manifest: Manifest) -> bytes:
    """The bytes of a manifest's file. Inverse: manifest_from_json."""
    fields = asdict(manifest)
    for shard in fields["inputs"]:
        if shard["keys"] is None:
            del shard["keys"]
    text = json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """Inverse of write_manifest.

    Raises FileNotFoundError when the folder has no manifest, ValueError naming the file and field
    when it is damaged or of another schema.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; expected the plan of a labelling job")
    return manifest_from_json(path.read_bytes(), path)


def manifest_from_json(data: bytes, where: str | Path) -> Manifest:
    """Inverse of manifest_to_json. Raises ValueError naming `where` and the field."""
    try:
        return _from_object(parse_object(data))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _from_object(fields: dict[str, Any]) -> Manifest:
    check_schema(fields.get("schema"), MANIFEST_SCHEMA)
    inputs = fields.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(item, dict) for item in inputs):
        raise ValueError(f"inputs: expected a list of shards, found {inputs!r}")
    if not isinstance(fields.get("config"), dict):
        raise ValueError(f"config: expected an object, found {fields.get('config')!r}")
    shards = tuple(from_fields(InputShard, item) for item in inputs)
    return from_fields(Manifest, {**fields, "inputs": shards})

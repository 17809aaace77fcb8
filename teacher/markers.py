"""What stands beside a label shard: its marker, written last, and its quarantine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from teacher.atomic import write_atomically
from teacher.strict_json import check_integer, check_sha256, check_text, from_fields, parse_object

DONE, ERRORS = ".done.json", ".errors.jsonl"
"""What follows a shard's name in the names of its marker and its quarantine."""


@dataclass(frozen=True)
class Marker:
    """FOLDER/NAME.done.json: the shard NAME.tar is complete."""

    shard: str
    """Name of the shard, without `.tar`."""
    size_bytes: int
    sha256: str
    ok: int
    """Photographs that were labelled."""
    quarantined: int
    """Photographs that were not; NAME.errors.jsonl says why."""
    job_id: str
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package -> version of the worker."""

    def __post_init__(self) -> None:
        check_text("shard", self.shard)
        check_integer("size_bytes", self.size_bytes, low=1)
        check_sha256("sha256", self.sha256)
        check_integer("ok", self.ok, low=0)
        check_integer("quarantined", self.quarantined, low=0)
        check_text("job_id", self.job_id)


@dataclass(frozen=True)
class Quarantined:
    """A photograph that has no label."""

    key: str
    stage: str
    """Where it failed, such as "decode" or "label"."""
    reason: str

    def __post_init__(self) -> None:
        for name in ("key", "stage", "reason"):
            check_text(name, getattr(self, name))


def write_marker(folder: Path, marker: Marker) -> Path:
    """Declare a shard complete, after its tar and its quarantine. Inverse: read_marker."""
    path = _marker_path(folder, marker.shard)
    write_atomically(path, marker_to_json(marker))
    return path


def marker_to_json(marker: Marker) -> bytes:
    """The bytes of a marker's file. Inverse: marker_from_json."""
    text = json.dumps(asdict(marker), indent=2, sort_keys=True, allow_nan=False)
    return text.encode() + b"\n"


def marker_from_json(data: bytes, where: str | Path) -> Marker:
    """Inverse of marker_to_json. Raises ValueError naming `where` when it is damaged."""
    try:
        return from_fields(Marker, parse_object(data))
    except ValueError as error:
        raise ValueError(f"{where}: {error}; delete it to label the shard again") from error


def read_marker(folder: Path, shard_name: str) -> Marker | None:
    """The shard's marker, or None when it has none. Raises ValueError when it is damaged.

    shard_name: with or without `.tar`, here and below.
    """
    path = _marker_path(folder, shard_name)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return marker_from_json(data, path)


def is_committed(folder: Path, shard_name: str, job_id: str | None = None) -> bool:
    """Whether a shard is complete: it has a marker, its size is the marker's, and so is the job."""
    marker = read_marker(folder, shard_name)
    if marker is None or (job_id is not None and marker.job_id != job_id):
        return False
    shard = folder / f"{_stem(shard_name)}.tar"
    return shard.is_file() and shard.stat().st_size == marker.size_bytes


def has_marker(folder: Path, shard_name: str) -> bool:
    """Whether there is a marker, whatever it says."""
    return _marker_path(folder, shard_name).is_file()


def marker_time_s(folder: Path, shard_name: str) -> float:
    """When a shard was done, in seconds since 1970 by the clock of the file system."""
    return _marker_path(folder, shard_name).stat().st_mtime


def delete_shard(folder: Path, shard_name: str) -> None:
    """Delete a label shard, so that the next run of its job writes it again.

    The marker goes first: at no moment does one stand for labels that are not there.
    """
    _marker_path(folder, shard_name).unlink(missing_ok=True)
    (folder / f"{_stem(shard_name)}.tar").unlink(missing_ok=True)
    _errors_path(folder, shard_name).unlink(missing_ok=True)


def write_errors(folder: Path, shard_name: str, errors: Sequence[Quarantined]) -> Path | None:
    """Write FOLDER/NAME.errors.jsonl, one line a photograph; no file when there are none."""
    path = _errors_path(folder, shard_name)
    if not errors:
        path.unlink(missing_ok=True)
        return None
    lines = [json.dumps(asdict(error), ensure_ascii=False) + "\n" for error in errors]
    write_atomically(path, "".join(lines).encode())
    return path


def read_errors(folder: Path, shard_name: str) -> list[Quarantined]:
    """Inverse of write_errors. Raises ValueError naming file and line when it is damaged."""
    path = _errors_path(folder, shard_name)
    return errors_from_lines(path.read_bytes(), path) if path.exists() else []


def errors_from_lines(data: bytes, where: str | Path) -> list[Quarantined]:
    """The quarantine in the bytes of its file. Raises ValueError as read_errors does."""
    errors = []
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            errors.append(from_fields(Quarantined, parse_object(line)))
        except ValueError as error:
            raise ValueError(f"{where}, line {number}: {error}") from error
    return errors


def _stem(shard_name: str) -> str:
    return shard_name.removesuffix(".tar")


def _marker_path(folder: Path, shard_name: str) -> Path:
    return folder / f"{_stem(shard_name)}{DONE}"


def _errors_path(folder: Path, shard_name: str) -> Path:
    return folder / f"{_stem(shard_name)}{ERRORS}"

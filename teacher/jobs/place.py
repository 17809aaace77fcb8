"""Where the labels of a job end up: a folder, or one behind a URL. Both keep the same files."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from teacher.jobs.remote import RemoteFolder, is_url, local_path
from teacher.manifest import MANIFEST_NAME, InputShard, Manifest, read_manifest, write_manifest
from teacher.markers import Marker, Quarantined, read_errors, read_marker


class Place(Protocol):
    """What a job needs of the folder of its labels."""

    folder: Path
    """On this machine: the labels, or what is not yet published of them."""
    notes: Path
    """Where a planning keeps what it has measured, until the plan is frozen."""

    def read_manifest(self) -> Manifest | None:
        """The plan, or None. Raises ValueError when it is damaged."""
        ...

    def freeze(self, manifest: Manifest) -> bool:
        """Write the plan; False if another process was first."""
        ...

    def tars(self) -> list[str]:
        """The label shards that are there, complete or not: NAME.tar, sorted."""
        ...

    def markers(self, names: Sequence[str], job_id: str) -> dict[str, Marker]:
        """The markers of those shards that are complete, by shard name."""
        ...

    def marker(self, name: str, job_id: str) -> Marker | None:
        """The marker of one shard, if it is complete."""
        ...

    def errors(self, name: str) -> list[Quarantined]:
        """The quarantine of a shard."""
        ...

    def publish(self, marker: Marker) -> Marker:
        """Bring a shard, which lies in `folder`, to where it belongs, the marker last.

        Returns the marker that stands there: that of another worker, if it was faster.
        """
        ...

    def share(self, name: str) -> None:
        """Copy a small file of `folder` to where it belongs, in the place of an older one."""
        ...

    def in_turn(self, shards: Sequence[InputShard]) -> list[InputShard]:
        """The shards in the order in which this process should take them."""
        ...

    def free_bytes(self) -> int | None:
        """Room for labels; None where nobody can tell."""
        ...


def open_place(out: str | Path) -> Place:
    """The place of an --out. Raises ValueError for a file, and a URL that needs a package."""
    if not is_url(out):
        return LocalPlace(local_path(out))
    from teacher.jobs.remote_place import RemotePlace

    return RemotePlace(RemoteFolder(str(out)))


class LocalPlace:
    """A folder of this machine, or one that it shares with others."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file: --out names the folder of the label shards")
        self.folder, self.notes = folder, folder / ".planned.jsonl"

    def __str__(self) -> str:
        return str(self.folder)

    def read_manifest(self) -> Manifest | None:
        return read_manifest(self.folder) if (self.folder / MANIFEST_NAME).exists() else None

    def freeze(self, manifest: Manifest) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_manifest(self.folder, manifest)
        return True

    def tars(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.tar"))

    def markers(self, names: Sequence[str], job_id: str) -> dict[str, Marker]:
        found = {name: self.marker(name, job_id) for name in names}
        return {name: marker for name, marker in found.items() if marker}

    def marker(self, name: str, job_id: str) -> Marker | None:
        marker = read_marker(self.folder, name)
        tar = self.folder / f"{name}.tar"
        size_bytes = tar.stat().st_size if marker and tar.is_file() else None
        return marker if is_complete(marker, size_bytes, job_id) else None

    def errors(self, name: str) -> list[Quarantined]:
        return read_errors(self.folder, name)

    def publish(self, marker: Marker) -> Marker:
        return marker

    def share(self, name: str) -> None:
        pass

    def in_turn(self, shards: Sequence[InputShard]) -> list[InputShard]:
        return list(shards)

    def free_bytes(self) -> int | None:
        return shutil.disk_usage(self.folder).free


def is_complete(marker: Marker | None, size_bytes: int | None, job_id: str) -> bool:
    """Whether a marker is of this job, and about a tar of this size."""
    return marker is not None and marker.job_id == job_id and marker.size_bytes == size_bytes

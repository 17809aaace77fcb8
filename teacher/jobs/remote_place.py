"""The labels of a job behind a URL: written and checked on this machine, then published.

The tar goes up first, then the quarantine, then the marker. All three are created and never
replaced: of two workers with one shard the first to come wins, and a marker is always about the
tar that is there. So any number of machines may work on one bucket. They need no leases: each
takes the shards in an order of its own, so that two rarely hold the same one.
"""

import hashlib
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from teacher.jobs.input_copy import SCRATCH_PREFIX
from teacher.jobs.marker_index import MarkerIndex
from teacher.jobs.place import is_complete
from teacher.jobs.remote import RemoteFolder
from teacher.manifest import (
    MANIFEST_NAME,
    InputShard,
    Manifest,
    manifest_from_json,
    manifest_to_json,
)
from teacher.markers import (
    DONE,
    ERRORS,
    Marker,
    Quarantined,
    errors_from_lines,
    marker_from_json,
    marker_to_json,
)
from teacher.members import LABEL
from teacher.provenance import sha256_file
from teacher.shard_tar import read_shard


class RemotePlace:
    """A folder behind a URL."""

    def __init__(self, remote: RemoteFolder) -> None:
        self._remote = remote
        self._scratch = tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX)
        self.folder = Path(self._scratch.name)
        # Where the next attempt on this machine looks too.
        digest = hashlib.sha256(remote.url.encode()).hexdigest()[:16]
        self.notes = Path(tempfile.gettempdir()) / f"{SCRATCH_PREFIX}{digest}.jsonl"

    def __str__(self) -> str:
        return self._remote.url

    def read_manifest(self) -> Manifest | None:
        try:
            data = self._remote.read(MANIFEST_NAME)
        except FileNotFoundError:
            return None
        return manifest_from_json(data, f"{self}/{MANIFEST_NAME}")

    def freeze(self, manifest: Manifest) -> bool:
        return self._remote.create(MANIFEST_NAME, manifest_to_json(manifest))

    def tars(self) -> list[str]:
        return [name for name in self._remote.list() if name.endswith(".tar")]

    def markers(self, names: Sequence[str], job_id: str) -> dict[str, Marker]:
        files = self._remote.list_like(names)
        there = [name for name in names if f"{name}.tar" in files and name + DONE in files]
        stamps = {name: files[name + DONE].stamp for name in there}
        markers = MarkerIndex.read(self._remote).refresh(self._remote, stamps)
        return {
            name: marker
            for name, marker in markers.items()
            if is_complete(marker, files[f"{name}.tar"].size_bytes, job_id)
        }

    def marker(self, name: str, job_id: str) -> Marker | None:
        marker = self._read_marker(name)
        size_bytes = self._remote.size_bytes(f"{name}.tar") if marker else None
        return marker if is_complete(marker, size_bytes, job_id) else None

    def errors(self, name: str) -> list[Quarantined]:
        try:
            return errors_from_lines(self._remote.read(name + ERRORS), f"{self}/{name}{ERRORS}")
        except FileNotFoundError:
            return []

    def publish(self, marker: Marker) -> Marker:
        paths = [self.folder / f"{marker.shard}{suffix}" for suffix in (".tar", ERRORS, DONE)]
        try:
            return self._publish(marker, *paths[:2])
        finally:
            for path in paths:
                path.unlink(missing_ok=True)

    def share(self, name: str) -> None:
        self._remote.write(name, (self.folder / name).read_bytes())

    def in_turn(self, shards: Sequence[InputShard]) -> list[InputShard]:
        """At random: of S shards, N processes label about (N - 1) ln S twice."""
        return random.SystemRandom().sample(shards, len(shards))

    def free_bytes(self) -> int | None:
        return None

    def _publish(self, marker: Marker, tar: Path, errors: Path) -> Marker:
        if sha256_file(tar) != marker.sha256:
            raise OSError(f"{tar}: not what was written to it; the disk may be failing")
        if not self._remote.create(tar.name, tar):
            if self._read_marker(marker.shard) is not None:
                return self._standing(marker)
            marker = self._adopt(marker, tar)
        if errors.exists():
            self._remote.create(errors.name, errors)
        self._remote.create(marker.shard + DONE, marker_to_json(marker))
        return self._standing(marker)

    def _adopt(self, marker: Marker, tar: Path) -> Marker:
        """A marker for the tar that was there first, of a worker that died or is not done yet.

        That tar stays even if a GPU gave it other bits than ours: its own marker may yet come.
        Raises ValueError when it does not label the same photographs.
        """
        with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX) as scratch:
            theirs = Path(scratch) / tar.name
            self._remote.fetch(tar.name, theirs)
            if _keys(theirs) != _keys(tar):
                raise ValueError(
                    f"{self}/{tar.name} has no marker and holds other samples than it should: "
                    "delete it, and give the same command again"
                )
            return replace(marker, size_bytes=theirs.stat().st_size, sha256=sha256_file(theirs))

    def _standing(self, marker: Marker) -> Marker:
        """The marker that is there now, ours or another worker's."""
        standing = self.marker(marker.shard, marker.job_id)
        if standing is None:
            name = f"{self}/{marker.shard}"
            raise ValueError(
                f"{name}{DONE} does not belong to {name}.tar: delete both, and give the same "
                "command again"
            )
        return standing

    def _read_marker(self, name: str) -> Marker | None:
        try:
            return marker_from_json(self._remote.read(name + DONE), f"{self}/{name}{DONE}")
        except FileNotFoundError:
            return None


def _keys(tar: Path) -> list[str]:
    return [sample.key for sample in read_shard(tar, suffixes=(LABEL,))]

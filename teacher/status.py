"""How far a labelling job is, from its manifest and markers alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from teacher.shards import (
    InputShard,
    Marker,
    Quarantined,
    is_committed,
    read_errors,
    read_manifest,
    read_marker,
)


def committed_markers(out: Path, shards: Sequence[InputShard], job_id: str) -> dict[str, Marker]:
    """The markers of the shards that are complete, by shard name."""
    markers = {
        shard.name: read_marker(out, shard.name)
        for shard in shards
        if is_committed(out, shard.name, job_id)
    }
    return {name: marker for name, marker in markers.items() if marker is not None}


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """How far a job is."""

    job_id: str
    teacher: str
    shards: int
    photographs: int
    markers: tuple[Marker, ...]
    """Of the shards that are done, in the order of the job."""
    quarantined: tuple[tuple[str, Quarantined], ...]
    """Shard name and photograph."""

    @property
    def labelled(self) -> int:
        return sum(marker.ok for marker in self.markers)

    @property
    def remaining(self) -> int:
        return self.photographs - self.labelled - sum(marker.quarantined for marker in self.markers)


def job_status(labels: Path) -> JobStatus:
    """Read how far the job of a label folder is; from any machine that sees the folder.

    Raises FileNotFoundError when the folder, or the plan in it, is missing.
    """
    manifest = read_manifest(labels)
    markers = committed_markers(labels, manifest.inputs, manifest.job_id)
    return JobStatus(
        job_id=manifest.job_id,
        teacher=str(manifest.config.get("teacher", {}).get("name")),
        shards=len(manifest.inputs),
        photographs=sum(shard.count for shard in manifest.inputs),
        markers=tuple(markers.values()),
        quarantined=tuple((name, e) for name in markers for e in read_errors(labels, name)),
    )

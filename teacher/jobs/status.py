"""How far a labelling job is, from its manifest and markers alone."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from teacher.jobs.place import open_place
from teacher.jobs.remote import is_url, local_path
from teacher.markers import Marker, Quarantined, marker_time_s

RECENT_SHARDS = 20
"""The last shards that were done tell the pace of a job."""
QUIET_FACTOR = 3.0
"""A job that has done no shard for so many times its longest gap of late may not be running."""
QUARANTINES_READ = 100
"""Files of quarantined photographs that are read for their reasons; markers have all counts."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast shards were done of late, by all processes of the job together.

    It comes from the times of the markers' files: those of a copied folder tell the copying.
    """

    shards: int
    photographs: int
    seconds: float
    longest_gap_s: float
    """Between two shards."""
    since_last_s: float
    """Since the last shard was done."""

    @property
    def photographs_per_s(self) -> float:
        return self.photographs / self.seconds

    @property
    def is_current(self) -> bool:
        """Whether shards are still coming as they did."""
        return self.since_last_s <= QUIET_FACTOR * self.longest_gap_s


@dataclass(frozen=True, kw_only=True)
class QuarantineReason:
    """Photographs that were quarantined for one reason."""

    count: int
    shard: str
    """Of the first one."""
    first: Quarantined


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
    """Shard name and photograph, of the first QUARANTINES_READ shards that have any."""
    pace: Pace | None
    """None while fewer than two shards are done, and behind a URL."""

    @property
    def labelled(self) -> int:
        return sum(marker.ok for marker in self.markers)

    @property
    def quarantined_count(self) -> int:
        return sum(marker.quarantined for marker in self.markers)

    @property
    def remaining(self) -> int:
        return self.photographs - self.labelled - self.quarantined_count

    @property
    def remaining_s(self) -> float | None:
        """Time to the end at the pace of late; None unless that can be told."""
        if self.pace is None or not self.pace.is_current:
            return None
        return self.remaining / self.pace.photographs_per_s


def job_status(labels: str | Path) -> JobStatus:
    """Read how far the job of a label folder, or URL, is; from any machine, also while it runs.

    Raises FileNotFoundError when the folder, or the plan in it, is missing.
    """
    place = open_place(labels)
    manifest = place.read_manifest()
    if manifest is None:
        raise FileNotFoundError(
            f"{labels}/manifest.json: not found; expected the plan of a labelling job"
        )
    names = [shard.name for shard in manifest.inputs]
    found = place.markers(names, manifest.job_id)
    markers = {name: found[name] for name in names if name in found}
    with_errors = [name for name, marker in markers.items() if marker.quarantined]
    return JobStatus(
        job_id=manifest.job_id,
        teacher=str(manifest.config.get("teacher", {}).get("name")),
        shards=len(names),
        photographs=sum(shard.count for shard in manifest.inputs),
        markers=tuple(markers.values()),
        quarantined=tuple((n, e) for n in with_errors[:QUARANTINES_READ] for e in place.errors(n)),
        pace=None if is_url(labels) else recent_pace(local_path(labels), tuple(markers.values())),
    )


def recent_pace(labels: Path, markers: Sequence[Marker]) -> Pace | None:
    """The pace of the last shards, from the times of their markers; None for fewer than two."""
    timed = sorted((marker_time_s(labels, m.shard), m.ok + m.quarantined) for m in markers)
    recent = timed[-RECENT_SHARDS - 1 :]
    times_s = [at_s for at_s, _ in recent]
    if len(recent) < 2 or times_s[-1] <= times_s[0]:
        return None
    return Pace(
        shards=len(recent) - 1,
        photographs=sum(count for _, count in recent[1:]),
        seconds=times_s[-1] - times_s[0],
        longest_gap_s=max(later - sooner for sooner, later in pairwise(times_s)),
        since_last_s=max(0.0, time.time() - times_s[-1]),
    )


def quarantine_reasons(quarantined: Sequence[tuple[str, Quarantined]]) -> list[QuarantineReason]:
    """Quarantined photographs by reason, the most frequent one first.

    Reasons that differ in numbers and quoted names only are one.
    """
    groups: dict[tuple[str, str], list[tuple[str, Quarantined]]] = {}
    for shard, error in quarantined:
        kind = re.sub(r"'[^']*'|\"[^\"]*\"|[0-9a-f]*[0-9][0-9a-f]*", "", error.reason)
        groups.setdefault((error.stage, kind), []).append((shard, error))
    reasons = [
        QuarantineReason(count=len(group), shard=group[0][0], first=group[0][1])
        for group in groups.values()
    ]
    return sorted(reasons, key=lambda reason: -reason.count)

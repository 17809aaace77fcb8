"""Is every byte of a label set what it was when it was written? `potstill verify`.

Shards are read one sample at a time, several shards at once, so memory does not grow with the set.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from teacher.jobs.label_set import LabelSet, open_label_set, photograph_shards_of
from teacher.jobs.shard_check import REPAIR, Defect, ShardCheck, check_shard
from teacher.map_ahead import map_ahead
from teacher.markers import delete_shard, has_marker
from teacher.progress import track


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """Read a label set again: hashes, counts, every member, and every photograph if given.

    Exit code 0: sound; 1: something is broken, one line for each defect; 2: no label set to read.
    """

    labels: Path
    """Folder of the label shards, on this machine."""
    images: Path | None = None
    """The shards of photographs that were labelled: compares their sha256 with the labels', and
    their keys with labels and quarantine."""
    repair: bool = False
    """Delete the shards whose labels are broken, so that the next `potstill label` makes them."""
    threads: int = 4
    """Shards that are read at a time."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"--threads must be at least 1, found {self.threads}")


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What was found in a label set."""

    shards: int
    """Shards that were read."""
    missing: int
    """Shards of the job that are not labelled yet."""
    samples: int
    size_bytes: int
    defects: int
    broken: int
    """Shards with a defect."""
    deleted: int
    """Those of them that were deleted for the next run of the job."""


def verify(config: VerifyConfig, found: Callable[[Defect], None]) -> VerifyReport:
    """Check a label set; `found` is called with each defect, in the order of the shards.

    Raises FileNotFoundError or ValueError when there is no label set, and for --repair where no
    labelling job would write the labels again.
    """
    labels = open_label_set(config.labels)
    if config.repair and labels.manifest is None:
        raise ValueError(
            f"{labels.folder}: --repair is for the labels of a labelling job, which can be run "
            "again; there is no manifest.json"
        )
    names = [n for n in labels.names if labels.manifest is None or has_marker(labels.folder, n)]
    images = photograph_shards_of(labels, config.images, names) if config.images else {}
    tally = {"samples": 0, "size_bytes": 0, "defects": 0, "broken": 0, "deleted": 0}
    with ThreadPoolExecutor(config.threads) as pool:
        checks = map_ahead(
            pool, lambda n: check_shard(labels, n, images.get(n)), names, ahead=config.threads
        )
        for check in track(checks, "verifying", total=len(names)):
            for defect in check.defects:
                found(defect)
            tally["samples"] += check.samples
            tally["size_bytes"] += check.size_bytes
            tally["defects"] += len(check.defects)
            tally["broken"] += bool(check.defects)
            tally["deleted"] += config.repair and _repair(labels, check)
    return VerifyReport(shards=len(names), missing=len(labels.names) - len(names), **tally)


def _repair(labels: LabelSet, check: ShardCheck) -> bool:
    """Delete a shard with broken labels; photographs that changed are no fault of the labels."""
    broken = any(defect.remedy == REPAIR for defect in check.defects)
    if broken:
        delete_shard(labels.folder, check.shard)
    return broken

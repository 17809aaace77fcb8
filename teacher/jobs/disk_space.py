"""Room for labels: a job that cannot go on says so before it writes, and clearly when it must."""

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from teacher.shards import InputShard, Marker

FULL = (errno.ENOSPC, errno.EDQUOT)
MARGIN = 1.05
"""Labels of a shard may be this much larger than the mean so far."""


class FullDisk(OSError):
    """There is no room for labels; its message is all that a user needs."""

    def __init__(self, out: Path, trouble: str) -> None:
        free = _megabytes(shutil.disk_usage(out).free)
        super().__init__(
            errno.ENOSPC,
            f"{out}: {trouble} ({free} free); shards with a marker are complete, nothing else was "
            "kept: make room there and give the same command again, it goes on from here",
        )

    def __str__(self) -> str:
        return self.strerror or ""


@contextmanager
def full_disk_explained(out: Path) -> Iterator[None]:
    """Turn "no space left on device", wherever it comes from, into FullDisk."""
    try:
        yield
    except FullDisk:
        raise
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise FullDisk(out, "no space left") from error


class SpaceGuard:
    """Compares what shards will need, judged by those that are done, with the free space."""

    def __init__(self, out: Path, done: Sequence[Marker]) -> None:
        self.out = out
        self._bytes = sum(marker.size_bytes for marker in done)
        self._photographs = sum(marker.ok + marker.quarantined for marker in done)
        self._underway: dict[str, int] = {}

    def begin(self, shard: InputShard) -> None:
        """Reserve room for a shard's labels. Raises FullDisk when they cannot fit."""
        photographs = shard.count + sum(self._underway.values())
        if self.expected_bytes(photographs) > shutil.disk_usage(self.out).free:
            need = _megabytes(self.expected_bytes(shard.count))
            raise FullDisk(self.out, f"no room for the labels of {shard.name}, {need}")
        self._underway[shard.name] = shard.count

    def end(self, marker: Marker) -> None:
        """A shard is committed: its labels tell how large others will be."""
        self._underway.pop(marker.shard, None)
        self._bytes += marker.size_bytes
        self._photographs += marker.ok + marker.quarantined

    def expected_bytes(self, photographs: int) -> float:
        """Size of the labels of so many photographs; 0 while nothing is known."""
        return MARGIN * photographs * self._bytes / max(self._photographs, 1)

    def warning(self, photographs: int) -> str | None:
        """What to say when the labels of all these photographs will not fit."""
        need, free = self.expected_bytes(photographs), shutil.disk_usage(self.out).free
        if need <= free:
            return None
        return (
            f"{self.out}: about {_megabytes(need)} of labels are still to come, and only "
            f"{_megabytes(free)} are free: the job will stop before its end"
        )


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB"

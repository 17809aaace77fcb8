"""Leases: which process of all that share a label folder labels which shard.

A lease is a file that only one process can create. It saves double work and no more: a shard is
committed whole or not at all, and the same bytes come out whoever labels it, so that two holders of
one lease cost time and nothing else.

A process of the same machine is dead when its pid is gone. One of another machine counts as dead
when its lease was not touched for STALE_S. Both times are those of the file server: clocks of
different machines are never compared. STALE_S is longer than NFS clients keep attributes (60 s).
"""

import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from teacher.process_id import ProcessId, this_process

if sys.platform != "win32":
    import fcntl

FOLDER = ".leases"
LOCK = "lock"
SUFFIX = ".lease"
HEARTBEAT_S = 10.0
"""How often a holder touches its leases."""
STALE_S = 120.0
POLL_S = 0.25


@dataclass(frozen=True)
class _Holder:
    """What a lease file says."""

    process: ProcessId | None
    """None when the file is empty: its creator is about to write it, or died just then."""
    node: str
    touched_s: float
    """When it was last touched, by the file server's clock."""

    def is_dead(self, now_s: float) -> bool:
        if self.process is not None and self.process.is_here():
            return self.process.is_dead()
        return now_s - self.touched_s > STALE_S


class Leases:
    """The leases that this process holds in one label folder.

        with Leases(out) as leases:
            if leases.take("000003"):
                ...
                leases.release("000003")

    Any thread may call. What is still held is given back when the block ends.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER
        self._held: set[str] = set()
        self._ended = threading.Event()
        self._beat = threading.Thread(target=self._keep_touching, name="leases", daemon=True)
        self._first_touch_s: dict[str, float] = {}

    def take(self, name: str) -> bool:
        """Whether the lease is this process's now: it was free, or its holder is dead."""
        path = self._path(name)
        with self._alone() as lock:
            holder = _read(path)
            if holder is not None:
                if not holder.is_dead(_server_time_s(lock)):
                    return False
                path.unlink(missing_ok=True)
            with suppress(FileExistsError):  # where locks do not work, another may be faster
                with path.open("x") as file:
                    json.dump(_self_description(), file)
                self._held.add(name)
                return True
        return False

    def release(self, name: str) -> None:
        """Give a lease back, unless another process has taken it over."""
        path = self._path(name)
        with self._alone():
            self._held.discard(name)
            holder = _read(path)
            if holder is not None and holder.process == this_process():
                path.unlink(missing_ok=True)

    def is_in_good_hands(self, name: str) -> bool:
        """Whether another process is known to be alive and holds the lease.

        One of another machine is known to be alive when its lease was touched between two calls.
        """
        holder = _read(self._path(name))
        if holder is None:
            return False
        if holder.process is not None and holder.process.is_here():
            return not holder.process.is_dead()
        return holder.touched_s != self._first_touch_s.setdefault(name, holder.touched_s)

    def wait_for(self, name: str, stopped: Callable[[], bool]) -> bool:
        """Take a lease as soon as it is free; False when `stopped` says so first."""
        while not self.take(name):
            if stopped():
                return False
            time.sleep(POLL_S)
        return True

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._beat.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._beat.join()
        for name in tuple(self._held):
            self.release(name)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def _keep_touching(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            for name in tuple(self._held):
                with suppress(OSError):  # taken over, or the disk is away for a moment
                    os.utime(self._path(name))

    @contextmanager
    def _alone(self) -> Iterator[BinaryIO]:
        """Judging a lease and taking it over is one step, where the file system has locks."""
        with (self.folder / LOCK).open("ab") as lock:
            if sys.platform != "win32":
                with suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock


def _self_description() -> dict[str, str]:
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"process": str(this_process()), "node": platform.node(), "since": written}


def _read(path: Path) -> _Holder | None:
    """Who holds a lease; None when nobody does."""
    try:
        text, touched_s = path.read_text(), path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        fields = json.loads(text)
        return _Holder(ProcessId.parse(fields["process"]), fields["node"], touched_s)
    except (ValueError, KeyError, TypeError):
        return _Holder(None, "", touched_s)


def _server_time_s(file: BinaryIO) -> float:
    """The time of the server that keeps a file: touching it lets the server write its own."""
    os.utime(file.fileno())
    return os.fstat(file.fileno()).st_mtime

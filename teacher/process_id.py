"""Which process this is among all that share a folder, and whether another one is surely dead."""

import hashlib
import os
import platform
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PROC = Path("/proc")
GONE = ("Z", "X")
"""States of a process that has ended: a zombie holds no file open."""


@dataclass(frozen=True)
class ProcessId:
    """A process as its files name it: HOST-PID-STARTED."""

    host: str
    """12 hex digits: the machine since it was booted, and the namespace in which pids count."""
    pid: int
    started: int
    """Clock ticks since boot, so that a pid that is used again is another process; 0 = unknown."""

    def __str__(self) -> str:
        return f"{self.host}-{self.pid}-{self.started}"

    @classmethod
    def parse(cls, text: str) -> "ProcessId | None":
        """Inverse of str; None for anything else."""
        host, *numbers = text.split("-")
        if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
            return None
        return cls(host, int(numbers[0]), int(numbers[1]))

    def is_here(self) -> bool:
        """Whether its pid means something to this process."""
        return self.host == _host()

    def is_dead(self) -> bool:
        """Whether it is known to have ended; of another machine nothing is known."""
        return self.is_here() and _started(self.pid) != self.started


def this_process() -> ProcessId:
    """The process that calls; another one after a fork."""
    pid = os.getpid()
    return ProcessId(_host(), pid, _started(pid) or 0)


@lru_cache(maxsize=1)
def _host() -> str:
    """Containers may share a host name but not pids, and pids begin anew after a reboot."""
    known = [platform.node()]
    if PROC.is_dir():
        known.append((PROC / "sys/kernel/random/boot_id").read_text().strip())
        known.append(str((PROC / "self/ns/pid").readlink()))
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:12]


def _started(pid: int) -> int | None:
    """When a process of this machine started; None when there is none, 0 where no one can tell."""
    if PROC.is_dir():
        try:
            state, *fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if state in GONE else int(fields[18])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0

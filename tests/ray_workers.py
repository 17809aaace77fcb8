"""Workers for the tests of the Ray engine that need no teacher: they copy photographs, slowly."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from teacher.jobs.label_shard import Interrupted
from teacher.jobs.meter import Meter
from teacher.shards import (
    InputShard,
    Marker,
    ShardWriter,
    read_marker,
    read_photographs,
    write_marker,
)


@dataclass(frozen=True, kw_only=True)
class OpenCopier:
    """Opens a Copier."""

    out: Path
    photograph_s: float = 0.02
    """Time that a photograph takes."""
    trouble: str = ""
    """Why no worker can be opened, if so."""

    def __call__(self, *, stopped: Callable[[], bool], meter: Meter) -> "Copier":
        if self.trouble:
            raise ValueError(self.trouble)
        return Copier(self, stopped, meter)


@dataclass(frozen=True)
class Copier:
    """Writes photographs where labels would be; notes what it begins and what it commits."""

    config: OpenCopier
    stopped: Callable[[], bool]
    meter: Meter

    def label(self, shard: InputShard, /) -> Marker:
        out = self.config.out
        if done := read_marker(out, shard.name):  # by a worker that died before telling
            return done
        note(out / "begun", shard.name)
        if shard.name.endswith("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        with ShardWriter(out / f"{shard.name}.tar") as writer:
            for key, photograph in read_photographs(Path(shard.path)):
                if self.stopped():
                    raise Interrupted
                with self.meter.painting():
                    time.sleep(self.config.photograph_s)
                writer.add(key, {"jpg": photograph})
                self.meter.count()
        marker = Marker(shard.name, writer.size_bytes, writer.sha256, writer.count, 0, "job")
        write_marker(out, marker)
        note(out / "committed", shard.name)
        return marker


def note(log: Path, shard: str) -> None:
    """Append a line at once: the process may not live to close a file."""
    with log.open("a") as file:
        file.write(f"{os.getpid()} {shard}\n")


def noted(log: Path) -> list[tuple[int, str]]:
    """Process and shard of every line."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(process), shard) for process, shard in (line.split() for line in lines)]

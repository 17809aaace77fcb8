"""Workers for a cluster whose GPUs sleep: all three tasks of 512 px photographs to encode."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from standin import ReadyLabeller, read_scenes

from teacher.jobs.label_shard import ShardLabeller
from teacher.jobs.meter import Meter
from teacher.shards import InputShard, Marker


@dataclass(frozen=True, kw_only=True)
class OpenSleeper:
    """Opens a Sleeper once all of them are there, so that none has a head start."""

    scenes: Path
    out: Path
    rate_per_s: float
    together: int
    """Workers that wait for each other."""

    def __call__(self, *, stopped: Callable[[], bool], meter: Meter) -> "Sleeper":
        labeller = ShardLabeller(
            labeller=ReadyLabeller(read_scenes(self.scenes), self.rate_per_s),
            job_id="job",
            dtype="float32",
            batch_size=4,
            pool=ThreadPoolExecutor(2),
            stopped=stopped,
            meter=meter,
        )
        with (self.out / "opened").open("a") as opened:
            opened.write("worker\n")
        while (self.out / "opened").read_text().count("\n") < self.together:
            time.sleep(0.01)
        return Sleeper(labeller, self.out)


@dataclass(frozen=True)
class Sleeper:
    """Labels shards as a GPU would."""

    labeller: ShardLabeller
    out: Path

    def label(self, shard: InputShard, /) -> Marker:
        return self.labeller.label(shard, self.out)

"""Workers on a Ray cluster: what one takes, how many fit, and the places that they fill."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from teacher.jobs.meter import Totals
from teacher.jobs.ray_worker import OpenWorker, ShardActor
from teacher.shards import InputShard

BACK_OFF_S = 2.0
"""Pause before a dead worker is replaced; doubled for each that died at work in the same place."""

MAX_BACK_OFF_S = 60.0

CONTROL = "control"

REASON_CHARACTERS = 300

NOTHING = Totals(labelled=0, quarantined=0, seconds=0.0, busy_s=0.0)


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Where the workers run, and what each of them takes."""

    address: str
    """auto, local or HOST:PORT."""
    workers: int | None = None
    """Most workers at a time; None: as many as the cluster has room for, now and later."""
    cpus_per_worker: int = 1
    gpus_per_worker: float = 1
    """0 is used on a cluster that has no GPU, unless `needs_gpu`."""
    needs_gpu: bool = False
    """Wait for GPUs even if the cluster has none yet."""


@dataclass(eq=False)
class RayWorker:
    """An actor, as the driver sees it."""

    actor: Any
    events: Any = None
    """What comes of that which it was asked last, as a generator; None while it is idle."""
    started: bool = False
    """Whether it has begun with that."""
    opened: bool = False
    """Whether it has the teacher."""
    shard: InputShard | None = None
    number: int = field(default_factory=itertools.count().__next__)
    """Its own in the process of the driver."""
    told: Totals | None = None
    committed: Totals | None = None
    """What it had told when its last shard was committed."""

    def ask(self, method: str, *arguments: Any) -> None:
        """Call a method of the actor that yields events."""
        self.started = False
        call = getattr(self.actor, method).options(num_returns="streaming")
        self.events = call.remote(*arguments)

    def stop(self) -> None:
        """Have it drop its shard before the next batch."""
        self.actor.stop.options(concurrency_group=CONTROL).remote()


@dataclass(eq=False)
class Place:
    """Room for one worker at a time."""

    number: int
    worker: RayWorker | None = None
    not_before: float = 0.0
    """Time of the monotonic clock until which no new worker is asked for."""
    deaths: int = 0
    """Workers that died at work here since a shard was done here."""
    failed_starts: int = 0
    """Workers in a row that died while they loaded the teacher."""

    def clear(self, *, began: bool) -> None:
        """Its worker is dead: leave room for another one, after a while."""
        pause_s = min(BACK_OFF_S * 2 ** min(self.deaths, 10), MAX_BACK_OFF_S)
        self.worker, self.not_before = None, time.monotonic() + pause_s
        self.deaths += began


def worker_share(options: RayOptions) -> dict[str, float]:
    """CPUs and GPUs of one worker; no GPU where the cluster has none, unless one is insisted on."""
    import ray

    with_gpu = options.needs_gpu or ray.cluster_resources().get("GPU", 0)
    return {"CPU": options.cpus_per_worker, "GPU": options.gpus_per_worker if with_gpu else 0}


def room_for(share: Mapping[str, float]) -> int:
    """Workers that the living nodes of the cluster have room for."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(
        int(min(node.get(kind, 0) // amount for kind, amount in share.items() if amount))
        for node in nodes
    )


def start_worker(share: Mapping[str, float], open_worker: OpenWorker) -> RayWorker:
    """Ask the cluster for a worker; it comes, and loads the teacher, when there is room for it."""
    import ray

    options: dict[str, Any] = {
        "num_cpus": share["CPU"],
        "num_gpus": share["GPU"],
        "max_restarts": 0,
        "concurrency_groups": {CONTROL: 1},  # so that `stop` is heard while `label` runs
    }
    actor_class: Any = ray.remote(**options)(ShardActor)
    worker = RayWorker(actor_class.remote(int(share["CPU"])))
    worker.ask("open", open_worker)
    return worker


def failed_by_itself(error: Exception) -> bool:
    """Whether Python failed in the worker, such as for want of a module: no node was lost."""
    from ray.exceptions import RayActorError, RayTaskError

    return isinstance(error, RayTaskError) or (
        isinstance(error, RayActorError) and error.actor_init_failed
    )


def reason_of(error: Exception) -> str:
    """What went wrong, in one line of bounded length, without Ray's advice."""
    cause = getattr(error, "cause", error)
    text = " ".join(str(cause).partition("Some common causes")[0].split())
    return f"{type(cause).__name__}: {text[-REASON_CHARACTERS:]}"

"""Shards on a Ray cluster: one shard per call, one GPU per worker.

Every worker is an actor that is never restarted by Ray. When one dies, another is asked for in its
place and waits, without a shard, until the cluster has room; so a node that is lost costs the
shards that were on it one attempt each, and the others nothing. An actor tells when it starts with
a shard, since a call that fails may never have run.
"""

import errno
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from teacher.jobs.cluster_meter import ClusterMeter
from teacher.jobs.label_shard import Interrupted
from teacher.jobs.ray_cluster import joined_cluster
from teacher.jobs.ray_places import (
    NOTHING,
    Place,
    RayOptions,
    RayWorker,
    failed_by_itself,
    reason_of,
    room_for,
    start_worker,
    worker_share,
)
from teacher.jobs.ray_worker import (
    Advanced,
    DiskFull,
    Event,
    Finished,
    Opened,
    OpenWorker,
    Started,
    Unusable,
)
from teacher.jobs.shard_queue import Arriving, ShardQueue
from teacher.progress import console
from teacher.shards import InputShard, Marker

TICK_S = 0.5
"""How often the driver looks for SIGTERM and for room for more workers."""

FAILED_STARTS = 3
"""Times in a row that loading the teacher may fail in every place before the run is given up."""

REMARK_S = 30.0
"""How long a run waits for its first worker before it says what it waits for."""

STOP_S = 20.0
"""Time that workers have to finish their batch after SIGTERM; batch systems kill after 30."""

SHOWN = 3
"""Shards without labels that an error message names."""


def label_on_ray(
    open_worker: OpenWorker,
    shards: Iterable[InputShard],
    options: RayOptions,
    *,
    most: int,
    stopped: Callable[[], bool],
    meter: ClusterMeter,
) -> Iterator[Marker]:
    """Label shards on a cluster; yields their markers as they are committed, in any order.

    open_worker: loads a worker; paths in it hold on every node, as do those of the shards.
    shards: asked for one by one, in another thread, when a worker is free; `most` of them at most.
    stopped: asked twice a second; True ends the run with Interrupted.
    Raises ValueError when Ray is missing, the cluster does not answer, no worker can load the
    teacher, or, after all others are done, some shards cannot be labelled; OSError for a full disk.
    """
    with joined_cluster(options.address):
        yield from _RayRun(open_worker, Arriving(shards), options, most, stopped, meter).markers()


@dataclass(eq=False)
class _RayRun:
    """The driver: it deals out shards, listens, and replaces what dies."""

    open_worker: OpenWorker
    arriving: Arriving
    options: RayOptions
    most: int
    stopped: Callable[[], bool]
    meter: ClusterMeter

    def __post_init__(self) -> None:
        self.queue = ShardQueue(self.arriving)
        self.places: list[Place] = []
        self.share = worker_share(self.options)
        self.lonely_since, self.has_remarked = time.monotonic(), False

    def markers(self) -> Iterator[Marker]:
        try:
            while self._busy() or not self.queue.is_empty:
                if self.stopped():
                    yield from self._stop()
                    raise Interrupted
                self._fill_places()
                yield from self._listen()
        finally:
            self._kill_workers()
            self.arriving.close()
        self._report_given_up()

    def _busy(self) -> list[RayWorker]:
        """Workers that have a shard."""
        return [p.worker for p in self.places if p.worker and p.worker.shard]

    def _fill_places(self) -> None:
        """Ask for a worker wherever there is room and none is alive or on its way."""
        room = self.options.workers or room_for(self.share)
        room = min(max(room, 1), self.most)
        self.places += [Place(number) for number in range(len(self.places), room)]
        for place in self.places[:room]:
            if place.worker is None and place.not_before <= time.monotonic():
                place.worker = start_worker(self.share, self.open_worker)
        self._remark_waiting()

    def _remark_waiting(self) -> None:
        """Say so when the cluster has had no room for a single worker for a while."""
        if any(place.worker and place.worker.started for place in self.places):
            self.lonely_since, self.has_remarked = time.monotonic(), False
        elif not self.has_remarked and time.monotonic() - self.lonely_since > REMARK_S:
            takes = ", ".join(f"{amount:g} {kind}" for kind, amount in self.share.items())
            console.print(f"waiting for the cluster: a worker takes {takes}", style="yellow")
            self.has_remarked = True

    def _listen(self) -> Iterator[Marker]:
        """For the length of a tick: hear what workers tell, and give those that are free a shard.

        Yields what was committed.
        """
        until = time.monotonic() + TICK_S
        while (left := until - time.monotonic()) > 0:
            if not self.stopped():
                self._deal_out()
            talking = [(p.worker.events, p) for p in self.places if p.worker and p.worker.events]
            if not talking:
                time.sleep(left)
                return
            place_of = {id(events): place for events, place in talking}
            for events in _ready([events for events, _ in talking], left):
                yield from self._hear(place_of[id(events)])

    def _deal_out(self) -> None:
        alive = [p.number for p in self.places if p.worker and p.worker.opened]
        for place in self.places:
            worker = place.worker
            if worker and worker.events is None:
                worker.shard = self.queue.take(place.number, alive)
                if worker.shard is not None:
                    worker.ask("label", worker.shard)

    def _hear(self, place: Place) -> Iterator[Marker]:
        """Take in one message of the worker in a place, or that there will be none any more."""
        import ray
        from ray.exceptions import RayError

        assert place.worker
        try:
            event: Any = ray.get(next(place.worker.events))
        except RayError as error:
            self._worker_died(place, error)
        else:
            yield from self._act_on(event, place, place.worker)

    def _act_on(self, event: Event, place: Place, worker: RayWorker) -> Iterator[Marker]:
        match event:
            case Started():
                worker.started = True
                return
            case Advanced(totals):
                worker.told = totals
                self.meter.tell(worker.number, totals)
                return
            case Opened():
                worker.opened, place.failed_starts = True, 0
            case Finished(marker):
                place.deaths, worker.committed = 0, worker.told
                yield marker
            case Unusable(reason):
                assert worker.shard
                self.queue.bad_data(worker.shard, place.number, reason)
            case DiskFull(reason):
                raise OSError(errno.ENOSPC, reason)
        worker.shard = worker.events = None

    def _worker_died(self, place: Place, error: Exception) -> None:
        """Make room for another worker, and see to the shard that this one had."""
        import ray

        worker, reason = place.worker, reason_of(error)
        assert worker
        console.print(f"a worker is lost, another is asked for: {reason}", style="yellow")
        ray.kill(worker.actor)  # one that cannot be reached may still be alive
        if worker.told:
            self.meter.tell(worker.number, worker.committed or NOTHING)
        began = worker.started or failed_by_itself(error)
        place.clear(began=began)
        if worker.shard and began:
            self.queue.worker_died(worker.shard, place.number, reason)
        elif worker.shard:
            self.queue.put_back(worker.shard)
        elif began:
            place.failed_starts += 1
            self._check_starts(reason)

    def _check_starts(self, reason: str) -> None:
        if all(place.failed_starts >= FAILED_STARTS for place in self.places):
            raise ValueError(f"no worker could load the teacher: {reason}")

    def _stop(self) -> Iterator[Marker]:
        """Ask the workers to stop, and wait a while until they have."""
        for worker in self._busy():
            worker.stop()
        until = time.monotonic() + STOP_S
        while self._busy() and time.monotonic() < until:
            yield from self._listen()

    def _kill_workers(self) -> None:
        import ray

        for place in self.places:
            if place.worker:
                ray.kill(place.worker.actor)

    def _report_given_up(self) -> None:
        if given_up := self.queue.given_up:
            shown = "; ".join(f"{name}: {given_up[name]}" for name in list(given_up)[:SHOWN])
            raise ValueError(
                f"{len(given_up)} shards cannot be labelled, the others are done: {shown}"
                f"{'; ...' if len(given_up) > SHOWN else ''}; the same command tries them again"
            )


def _ready(events: list[Any], timeout_s: float) -> list[Any]:
    """Those of which something is heard: all of them as soon as there is one."""
    import ray

    ray.wait(events, timeout=timeout_s, fetch_local=False)
    return ray.wait(events, num_returns=len(events), timeout=0, fetch_local=False)[0]

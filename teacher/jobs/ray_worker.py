"""The far end of the Ray engine: one actor, one labeller, one shard at a time.

What an actor is given and what it tells are paths, counts and markers: nothing large passes through
Ray's object store.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from teacher.jobs.disk_space import FULL
from teacher.jobs.label_shard import Interrupted
from teacher.jobs.meter import Meter, Totals
from teacher.shards import InputShard, Marker

REPORT_S = 2.0
"""How often an actor tells how far it is."""


class Worker(Protocol):
    """Labels shards one by one; ShardWorker is one."""

    def label(self, shard: InputShard, /) -> Marker:
        """Raises ValueError for a damaged shard, Interrupted when it was stopped."""
        ...


class OpenWorker(Protocol):
    """Loads a worker in the process that calls it. It is pickled, so it holds plain data alone."""

    def __call__(self, *, stopped: Callable[[], bool], meter: Meter) -> Worker: ...


@dataclass(frozen=True)
class Started:
    """The actor has begun; from here on the attempt counts."""


@dataclass(frozen=True)
class Opened:
    """The teacher is loaded."""


@dataclass(frozen=True)
class Advanced:
    """What the worker has done since it was opened."""

    totals: Totals


@dataclass(frozen=True)
class Finished:
    """The shard is committed."""

    marker: Marker


@dataclass(frozen=True)
class Unusable:
    """The shard cannot be labelled, though the worker is well."""

    reason: str


@dataclass(frozen=True)
class DiskFull:
    """No worker can go on."""

    reason: str


@dataclass(frozen=True)
class Dropped:
    """The actor was asked to stop, and has dropped the shard."""


Event = Started | Opened | Advanced | Finished | Unusable | DiskFull | Dropped


class ShardActor:
    """What runs in a worker process; an ordinary class, which the driver makes an actor of."""

    def __init__(self, threads: int) -> None:
        """threads: for the arithmetic; limited before any library asks for the number of cores."""
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self._stopped, self._meter = threading.Event(), Meter()

    def open(self, open_worker: OpenWorker) -> Iterator[Event]:
        """Load the teacher; yields Started and Opened.

        Not done by the constructor: where that dies, Ray does not tell whether it had begun.
        """
        yield Started()
        self._worker = open_worker(stopped=self._stopped.is_set, meter=self._meter)
        yield Opened()

    def label(self, shard: InputShard) -> Iterator[Event]:
        """Label a shard; yields Started, any number of Advanced, and how it ended.

        Errors that may be the machine's, of CUDA or of a file system, are raised.
        """
        yield Started()
        with ThreadPoolExecutor(1) as thread:
            labelling = thread.submit(self._label, shard)
            while not _is_done(labelling, within_s=REPORT_S):
                yield Advanced(self._meter.totals())
            yield Advanced(self._meter.totals())
            yield labelling.result()

    def stop(self) -> None:
        """Drop the shard at hand before its next batch; called while `label` runs."""
        self._stopped.set()

    def _label(self, shard: InputShard) -> Event:
        try:
            return Finished(self._worker.label(shard))
        except Interrupted:
            return Dropped()
        except ValueError as error:
            return Unusable(str(error))
        except OSError as error:
            if error.errno in FULL:
                return DiskFull(str(error))
            raise


def _is_done(future: Future[Event], *, within_s: float) -> bool:
    return bool(wait([future], timeout=within_s).done)

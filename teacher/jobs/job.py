"""The labelling job: plan, resume, label what is missing, stop when asked, count what failed."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from teacher.jobs.disk_space import SpaceGuard, full_disk_explained
from teacher.jobs.engines import new_meter, opened_engine
from teacher.jobs.job_config import LabelConfig, job_teacher, label_settings
from teacher.jobs.job_progress import job_progress
from teacher.jobs.label_shard import Interrupted
from teacher.jobs.leases import POLL_S, Leases
from teacher.jobs.leftovers import remove_leftovers
from teacher.jobs.place import Place, open_place
from teacher.jobs.plan import photograph_shards
from teacher.jobs.relabel import job_planner
from teacher.jobs.slurm import chosen_shards
from teacher.jobs.stop_signals import stop_on_signals
from teacher.manifest import MANIFEST_NAME
from teacher.progress import console
from teacher.provenance import write_run
from teacher.shards import InputShard, Manifest, Marker

SHOWN_FAILURES = 3
"""Quarantined photographs that an error message names; the rest stand in NAME.errors.jsonl."""


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """What one run of a job did."""

    job_id: str
    shards: int
    """Shards that this run was to see to."""
    shards_done: int
    shards_elsewhere: int
    """Shards that other processes are labelling."""
    labelled: int
    """Photographs with labels, of all shards that are done."""
    quarantined: int
    labelled_now: int
    """Photographs that were labelled by this run."""
    seconds: float
    """Time that this run took to label them."""
    device_busy: float
    """Share of the time, from its first painting to its last, that was spent painting; 0..1."""
    interrupted: bool
    """Stopped by SIGTERM or Ctrl-C; run it again to go on."""


def run_label_job(config: LabelConfig) -> JobReport:
    """Label every photograph of the job that has no labels yet, shard by shard.

    Any number of processes, on any number of machines, may run the same job on one folder: they
    share the shards out by leases.
    Raises ValueError or FileNotFoundError for bad input, for a folder that belongs to another job,
    and when more than max_bad_fraction of the photographs were quarantined; FullDisk when there is
    no room for labels; Interrupted when it was stopped while another process planned. What is
    committed stays.
    """
    teacher = job_teacher(config)
    settings = label_settings(config, teacher)
    place = open_place(config.out)
    shards = photograph_shards(config.images, config.packed_folder)
    place.folder.mkdir(parents=True, exist_ok=True)
    with full_disk_explained(place.folder), stop_on_signals() as stopped:
        remove_leftovers(place.folder)
        with Leases(place.folder) as leases:
            if not leases.wait_for(MANIFEST_NAME, stopped):  # one plans, the others read its plan
                raise Interrupted
            manifest = job_planner(config)(shards, place, settings)
            leases.release(MANIFEST_NAME)
            place.share(write_run(place.folder, config, job_id=manifest.job_id).name)
            run = _Run(config, place, manifest, leases)
            run.label_missing(stopped)
    return run.report()


class _Run:
    """One run of a job: what was done before, and what it adds."""

    def __init__(
        self, config: LabelConfig, place: Place, manifest: Manifest, leases: Leases
    ) -> None:
        self.config, self.place, self.manifest, self.leases = config, place, manifest, leases
        self.shards = chosen_shards(manifest.inputs, config.shards, os.environ)
        self.total = sum(shard.count for shard in self.shards)
        self.markers: dict[str, Marker] = {}
        self.photographs_done = self.bad = 0
        self.counting = threading.Lock()
        found = place.markers([shard.name for shard in self.shards], manifest.job_id)
        for marker in found.values():
            self._count(marker)
        self.meter = new_meter(config)
        self.space = SpaceGuard(place.folder, tuple(self.markers.values()))
        self.labelled_now, self.seconds, self.interrupted = 0, 0.0, False

    def label_missing(self, stopped: Callable[[], bool]) -> None:
        """Label the shards without a valid marker; stops between batches when asked to."""
        self._check_quarantine()
        missing = self._missing()
        if not missing:
            return
        warning = self.space.warning(sum(shard.count for shard in missing))
        if warning and self.place.free_bytes() is not None:
            console.print(warning, style="yellow")
        with opened_engine(
            self.config, self.manifest, most=len(missing), stopped=stopped, meter=self.meter
        ) as label_all:
            started = time.perf_counter()
            try:
                with self._progress():
                    for marker in label_all(self._claimed(missing, stopped)):
                        self._commit(marker)
            except Interrupted:
                pass
            finally:
                self.seconds = time.perf_counter() - started
                self.interrupted = stopped() and bool(self._missing())

    def _missing(self) -> list[InputShard]:
        return [shard for shard in self.shards if shard.name not in self.markers]

    def _progress(self) -> AbstractContextManager[None]:
        return job_progress(
            self.meter, total=self.total, done=lambda: self.photographs_done - self.labelled_now
        )

    def _claimed(
        self, missing: Sequence[InputShard], stopped: Callable[[], bool]
    ) -> Iterator[InputShard]:
        """The shards that this process is to label, each when it is asked for.

        What other processes hold is left to them, once they are known to be alive.
        """
        waiting = self.place.in_turn(missing)
        while waiting:
            held = []
            for shard in waiting:
                if stopped():
                    return
                if self._is_done_by_others(shard):
                    continue
                if self._take(shard):
                    self.space.begin(shard)
                    yield shard
                elif not self.leases.is_in_good_hands(shard.name):
                    held.append(shard)
            waiting = held
            if waiting:
                time.sleep(POLL_S)

    def _take(self, shard: InputShard) -> bool:
        """Whether this process holds the lease now, and the shard is still to be labelled."""
        if not self.leases.take(shard.name):
            return False
        if self._is_done_by_others(shard):  # just before it gave the lease back
            self.leases.release(shard.name)
            return False
        return True

    def _is_done_by_others(self, shard: InputShard) -> bool:
        marker = self.place.marker(shard.name, self.manifest.job_id)
        if marker:
            self._count(marker)
        return marker is not None

    def _count(self, marker: Marker) -> None:
        """A shard is done. Sums are kept, as there may be a million shards; any thread may call."""
        with self.counting:
            if marker.shard not in self.markers:
                self.markers[marker.shard] = marker
                self.photographs_done += marker.ok + marker.quarantined
                self.bad += marker.quarantined

    def _commit(self, marker: Marker) -> None:
        self._count(marker)
        self.leases.release(marker.shard)
        self.space.end(marker)
        self.labelled_now += marker.ok
        self._check_quarantine()

    def _check_quarantine(self) -> None:
        """Fail as soon as too many photographs are bad, whatever the remaining ones are like."""
        if self.bad > self.config.max_bad_fraction * self.total:
            raise ValueError(
                f"{self.bad} of {self.total} photographs cannot be labelled, more than "
                f"--max_bad_fraction {self.config.max_bad_fraction}: {self._failures(self.bad)}"
            )

    def _failures(self, bad: int) -> str:
        """The first quarantined photographs with their reasons, and where the rest stand."""
        found = tuple(self.markers.items())  # another thread may add to them
        with_errors = [name for name, marker in found if marker.quarantined]
        errors = [
            (name, error)
            for name in with_errors[:SHOWN_FAILURES]
            for error in self.place.errors(name)
        ]
        shown = [f"{name}/{error.key}: {error.reason}" for name, error in errors[:SHOWN_FAILURES]]
        more = f"; and {bad - len(shown)} more" if bad > len(shown) else ""
        return f"{'; '.join(shown)}{more}; see {self.place}/*.errors.jsonl"

    def report(self) -> JobReport:
        totals = self.meter.totals()
        missing = self._missing()
        return JobReport(
            job_id=self.manifest.job_id,
            shards=len(self.shards),
            shards_done=len(self.markers),
            shards_elsewhere=0 if self.interrupted else len(missing),
            labelled=sum(marker.ok for marker in self.markers.values()),
            quarantined=self.bad,
            labelled_now=self.labelled_now,
            seconds=self.seconds,
            device_busy=totals.busy,
            interrupted=self.interrupted,
        )

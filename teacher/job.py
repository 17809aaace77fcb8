"""The labelling job: plan, resume, label what is missing, stop when asked, count what failed."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacher.folder_lock import writing_to
from teacher.label_shard import Interrupted, ShardLabeller
from teacher.labeller import Labeller, build_labeller
from teacher.painters import Teacher, open_teacher
from teacher.plan import make_label_folder, photograph_shards, plan_job, select_shards
from teacher.progress import progress_bar
from teacher.provenance import write_run
from teacher.sample import SCHEMA_VERSION, TASKS, check_tasks
from teacher.shards import InputShard, Marker, read_errors
from teacher.status import committed_markers
from teacher.views import plan_views

SHOWN_FAILURES = 3
"""Quarantined photographs that an error message names; the rest stand in NAME.errors.jsonl."""


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Label photographs with a teacher. A job that was stopped, or killed, goes on where it was."""

    images: Path
    """A tar shard, a folder of shards, or a folder of JPEG, PNG and WebP files."""
    out: Path
    """Folder of the label shards; one job each."""
    teacher: str = "embedded"
    """A teacher folder, OWNER/NAME on the Hugging Face hub (with --revision), or "embedded"."""
    revision: str | None = None
    """Commit of the teacher on the hub."""
    tasks: str = ",".join(TASKS)
    """What to paint, separated by commas."""
    steps: int | None = None
    """Denoising steps of a painting; by default the teacher's own."""
    votes: int = 1
    """Paintings of each photograph that are merged: other seeds, mirrored, other legends."""
    shards: str | None = None
    """Only the shards A-B of the job, counted from 0, so that machines can share one."""
    max_bad_fraction: float = 0.05
    """The job fails when more of the photographs than this cannot be labelled."""
    batch_size: int = 8
    """Photographs painted at a time."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto: the GPU if there is one."""
    dtype: str = "float32"
    """Arithmetic of the teacher: float32, bfloat16 or float16."""
    threads: int = 2
    """Threads that decode photographs and encode labels while the teacher paints."""
    packed: Path | None = None
    """Where image files are packed into shards; OUT/../images if not given."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, found {getattr(self, name)}")
        if not 0 <= self.max_bad_fraction <= 1:
            raise ValueError(f"--max_bad_fraction must lie in 0..1, found {self.max_bad_fraction}")


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """What one run of a job did."""

    job_id: str
    shards: int
    """Shards that this run was to see to."""
    shards_done: int
    labelled: int
    """Photographs with labels, of all shards that are done."""
    quarantined: int
    labelled_now: int
    """Photographs that were labelled by this run."""
    seconds: float
    """Time that this run took to label them."""
    interrupted: bool
    """Stopped by SIGTERM; run it again to go on."""


def run_label_job(config: LabelConfig) -> JobReport:
    """Label every photograph of the job that has no labels yet, shard by shard.

    Raises ValueError or FileNotFoundError for bad input, for a folder that belongs to another job,
    and when more than max_bad_fraction of the photographs were quarantined. What is committed
    stays.
    """
    teacher = open_teacher(config.teacher, revision=config.revision, steps=config.steps)
    settings = label_settings(config, teacher)
    shards = photograph_shards(config.images, config.packed or config.out.parent / "images")
    make_label_folder(config.out)
    with writing_to(config.out), stop_on_sigterm() as stopped:
        manifest = plan_job(shards, config.out, settings)
        selected = select_shards(manifest.inputs, config.shards)
        write_run(config.out, config, job_id=manifest.job_id)
        run = _Run(config, manifest.job_id, selected)
        run.label_missing(teacher, stopped)
    return run.report()


def label_settings(config: LabelConfig, teacher: Teacher) -> dict[str, Any]:
    """What decides a label besides the photograph, as JSON: it goes into the job's id.

    Batch size, device, threads and where files lie do not: they may change from run to run.
    Raises ValueError for tasks and votes that the teacher does not have.
    """
    tasks = chosen_tasks(config.tasks, teacher)
    plan_views(teacher.card, tasks, config.votes)  # refuses what cannot be painted
    identity = {**teacher.card.identity(), "name": teacher.card.name}
    del identity["path_or_hub_id"]
    return {
        "label_schema": SCHEMA_VERSION,
        "tasks": list(tasks),
        "steps": teacher.card.steps,
        "votes": config.votes,
        "dtype": config.dtype,
        "teacher": identity,
    }


def chosen_tasks(tasks: str, teacher: Teacher) -> tuple[str, ...]:
    """The tasks of a comma-separated list. Raises ValueError for one that nobody can paint."""
    chosen = check_tasks([task.strip() for task in tasks.split(",")])
    for task in chosen:
        if task not in teacher.card.instructions:
            known = ", ".join(teacher.card.instructions)
            raise ValueError(
                f"the teacher {teacher.card.name} has no instruction for {task}: {known}"
            )
    return chosen


class _Run:
    """One run of a job: what was done before, and what it adds."""

    def __init__(self, config: LabelConfig, job_id: str, shards: Sequence[InputShard]) -> None:
        self.config, self.job_id, self.shards = config, job_id, shards
        self.markers = committed_markers(config.out, shards, job_id)
        self.labelled_now, self.seconds, self.interrupted = 0, 0.0, False

    def label_missing(self, teacher: Teacher, stopped: Callable[[], bool]) -> None:
        """Label the shards without a valid marker; stops between batches when asked to."""
        self._check_quarantine()
        missing = [shard for shard in self.shards if shard.name not in self.markers]
        if not missing:
            return
        labeller = build_labeller(
            teacher,
            chosen_tasks(self.config.tasks, teacher),
            self.config.votes,
            device=best_device(self.config.device),
            dtype=self.config.dtype,
        )
        started = time.perf_counter()
        try:
            self._label(missing, labeller, stopped)
        except Interrupted:
            self.interrupted = True
        finally:
            self.seconds = time.perf_counter() - started

    def _label(
        self, missing: Sequence[InputShard], labeller: Labeller, stopped: Callable[[], bool]
    ) -> None:
        total = sum(shard.count for shard in self.shards)
        done = total - sum(shard.count for shard in missing)
        with progress_bar() as bar, worker_threads(self.config.threads) as pool:
            task = bar.add_task("labelling", total=total, completed=done)
            shard_labeller = ShardLabeller(
                labeller=labeller,
                job_id=self.job_id,
                dtype=self.config.dtype,
                batch_size=self.config.batch_size,
                pool=pool,
                stopped=stopped,
                advance=lambda: bar.advance(task),
            )
            for shard in missing:
                bar.update(task, description=f"labelling {shard.name}")
                self._commit(shard_labeller.label(shard, self.config.out))

    def _commit(self, marker: Marker) -> None:
        self.markers[marker.shard] = marker
        self.labelled_now += marker.ok
        self._check_quarantine()

    def _check_quarantine(self) -> None:
        """Fail as soon as too many photographs are bad, whatever the remaining ones are like."""
        total = sum(shard.count for shard in self.shards)
        bad = sum(marker.quarantined for marker in self.markers.values())
        if bad > self.config.max_bad_fraction * total:
            raise ValueError(
                f"{bad} of {total} photographs cannot be labelled, more than --max_bad_fraction "
                f"{self.config.max_bad_fraction}: {self._failures(bad)}"
            )

    def _failures(self, bad: int) -> str:
        """The first quarantined photographs with their reasons, and where the rest stand."""
        out = self.config.out
        with_errors = [name for name, marker in self.markers.items() if marker.quarantined]
        errors = [(name, error) for name in with_errors for error in read_errors(out, name)]
        shown = [f"{name}/{error.key}: {error.reason}" for name, error in errors[:SHOWN_FAILURES]]
        more = f"; and {bad - len(shown)} more" if bad > len(shown) else ""
        return f"{'; '.join(shown)}{more}; see {out}/*.errors.jsonl"

    def report(self) -> JobReport:
        return JobReport(
            job_id=self.job_id,
            shards=len(self.shards),
            shards_done=len(self.markers),
            labelled=sum(marker.ok for marker in self.markers.values()),
            quarantined=sum(marker.quarantined for marker in self.markers.values()),
            labelled_now=self.labelled_now,
            seconds=self.seconds,
            interrupted=self.interrupted,
        )


def best_device(name: str) -> str:
    """The device that "auto" stands for on this machine."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def worker_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what they have not begun when the block is left by an exception."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="label")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def stop_on_sigterm() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM came; the signal itself ends nothing.

    Outside the main thread, where Python takes no signals, the answer is always no.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped.is_set
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        yield stopped.is_set
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)

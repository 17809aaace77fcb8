"""`potstill label --plan`: what a labelling job will take, before it is begun; labels nothing."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from teacher.jobs.input_copy import SCRATCH_PREFIX, local_copy
from teacher.jobs.job_config import LabelConfig, best_device, job_teacher, label_settings
from teacher.jobs.place import open_place
from teacher.jobs.plan import photograph_shards
from teacher.jobs.relabel import job_planner
from teacher.jobs.slurm import chosen_shards
from teacher.jobs.worker import ShardWorker
from teacher.measure import inspect_shard
from teacher.painters.card import TeacherCard
from teacher.predictors.card import PredictorCard
from teacher.salvage import sound_photographs
from teacher.shards import InputShard, Manifest, Marker, ShardWriter

PROBED = 20
"""Photographs that are labelled to see how fast it goes and how large the labels are."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A few photographs, labelled as the job would label them, and thrown away."""

    photographs: int
    per_s: float
    label_bytes: float
    """Of one photograph."""


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """What a labelling job has done, and what it will take to end it."""

    job_id: str
    manifest: str
    """Where the frozen plan lies."""
    teacher: TeacherCard | PredictorCard
    tasks: tuple[str, ...]
    votes: int
    dtype: str
    device: str
    shards: int
    shards_done: int
    photographs: int
    photographs_done: int
    """Labelled or quarantined."""
    free_bytes: int | None
    """Room for labels; None behind a URL."""
    probe: Probe | None
    """None when nothing is left to label."""

    @property
    def remaining(self) -> int:
        return self.photographs - self.photographs_done

    @property
    def label_bytes(self) -> float:
        """Expected size of the labels that are still to come."""
        return self.remaining * self.probe.label_bytes if self.probe else 0.0

    @property
    def seconds(self) -> float:
        """Time to the end with one worker that is as fast as the probe."""
        return self.remaining / self.probe.per_s if self.probe else 0.0

    @property
    def fits(self) -> bool:
        """Whether there is room for the labels, as far as anybody can tell."""
        return self.free_bytes is None or self.label_bytes <= self.free_bytes


def plan_label_job(config: LabelConfig) -> JobPlan:
    """Freeze the manifest, or take up the one that is there, and probe how fast labelling is.

    Raises what run_label_job raises for bad input.
    """
    teacher = job_teacher(config)
    settings = label_settings(config, teacher)
    place = open_place(config.out)
    sources = photograph_shards(config.images, config.packed_folder)
    place.folder.mkdir(parents=True, exist_ok=True)
    manifest = job_planner(config)(sources, place, settings)
    shards = chosen_shards(manifest.inputs, config.shards, os.environ)
    done = place.markers([shard.name for shard in shards], manifest.job_id)
    missing = [shard for shard in shards if shard.name not in done]
    return JobPlan(
        job_id=manifest.job_id,
        manifest=f"{place}/manifest.json",
        teacher=teacher.card,
        tasks=tuple(settings["tasks"]),
        votes=config.votes,
        dtype=config.arithmetic,
        device=best_device(config.device),
        shards=len(shards),
        shards_done=len(done),
        photographs=sum(shard.count for shard in shards),
        photographs_done=sum(marker.ok + marker.quarantined for marker in done.values()),
        free_bytes=place.free_bytes(),
        probe=_probe(config, manifest, missing) if missing else None,
    )


def _probe(config: LabelConfig, manifest: Manifest, missing: Sequence[InputShard]) -> Probe:
    """Label the first photographs of what is missing, into a folder that is then deleted."""
    with TemporaryDirectory(prefix=SCRATCH_PREFIX) as scratch:
        folder = Path(scratch)
        first = list(islice(chain.from_iterable(map(_photographs, missing)), PROBED))
        inputs = tuple(_write_probe(folder / f"{name}.tar", first) for name in ("warm", "probe"))
        config = replace(config, out=folder / "labels")
        with ShardWorker(config, replace(manifest, inputs=inputs)) as worker:
            worker.label(0)  # loads, compiles and warms up
            started = time.perf_counter()
            marker = worker.label(1)
            return _measured(marker, time.perf_counter() - started)


def _write_probe(path: Path, photographs: Sequence[bytes]) -> InputShard:
    with ShardWriter(path) as shard:
        for number, data in enumerate(photographs):
            shard.add(f"{number:06d}", {"jpg": data})
    return inspect_shard(path)


def _photographs(shard: InputShard) -> Iterator[bytes]:
    with local_copy(shard) as copy:
        yield from (data for _, data in sound_photographs(Path(copy.path)))


def _measured(marker: Marker, seconds: float) -> Probe:
    photographs = marker.ok + marker.quarantined
    return Probe(
        photographs=photographs,
        per_s=photographs / seconds,
        label_bytes=marker.size_bytes / photographs,
    )


def plan_lines(plan: JobPlan) -> list[str]:
    """The plan as text, one line for each thing that somebody decides by."""
    card = plan.teacher
    rows = {
        "teacher": f"{card.name} from {card.path_or_hub_id}, "
        f"revision {card.revision or f'{card.weights_sha256[:12]} (sha256 of its weights)'}",
        "licence": card.licence or "not stated in the teacher's folder: unknown",
        "tasks": f"{', '.join(plan.tasks)}; steps {card.steps}, votes {plan.votes}, {plan.dtype}",
        "photographs": f"{plan.photographs:,}: {plan.photographs_done:,} done, "
        f"{plan.remaining:,} to go",
        "shards": f"{plan.shards:,}: {plan.shards_done:,} done, "
        f"{plan.shards - plan.shards_done:,} missing",
        **_forecast(plan),
        "plan": f"{plan.manifest}, job {plan.job_id}; nothing was labelled",
    }
    return [f"{name:<12} {text}" for name, text in rows.items()]


def _forecast(plan: JobPlan) -> dict[str, str]:
    if plan.probe is None:
        return {"to the end": "nothing: every shard is labelled"}
    free = "unknown room" if plan.free_bytes is None else f"{_size(plan.free_bytes)} free"
    short = "" if plan.fits else ": THE LABELS WILL NOT FIT"
    unit = "GPU-hours" if plan.device.startswith("cuda") else "hours of this machine's CPU"
    return {
        "disk": f"{_size(plan.label_bytes)} expected, {_size(plan.probe.label_bytes)} a "
        f"photograph; {free}{short}",
        "speed": f"{plan.probe.per_s:.1f} photographs/s on {plan.device}, "
        f"from {plan.probe.photographs} photographs",
        "to the end": f"{_duration(plan.seconds)} with one worker like this, "
        f"{plan.seconds / 3600:,.2f} {unit}",
    }


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _duration(seconds: float) -> str:
    """Days, hours, minutes or seconds: the two largest that are not 0."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{count} {unit}" for count, unit in parts if count][:2]
    return " ".join(shown) or "0 s"

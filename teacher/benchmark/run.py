"""How fast labels are made on this machine, and where the time goes: `potstill label --benchmark`.

Real photographs, cut to squares so that every batch is alike, and no job around them: nothing is
written but the report.
"""

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from teacher.benchmark.config import BenchmarkConfig
from teacher.benchmark.peak import peak_of
from teacher.benchmark.speed import STAGES, measure
from teacher.jobs.job_config import best_device, chosen_tasks
from teacher.jobs.sources import find_sources
from teacher.label import TeacherLabeller
from teacher.labeller import Labeller, build_labeller
from teacher.members import PHOTO_SUFFIXES
from teacher.painters import open_teacher
from teacher.painters.card import TeacherCard
from teacher.painters.opening import find_device
from teacher.painters.random_weights import random_painter
from teacher.painters.runtime import Runtime
from teacher.provenance import describe_machine, package_versions
from teacher.sample import check_tasks
from teacher.shard_tar import read_photographs

PRODUCTION = "klein-4b,kontext-12b"
"""Random weights that are measured on a GPU if nothing else is named."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One labeller to measure; loaded when its turn comes."""

    model: str
    steps: int
    compiled: bool
    load: Callable[[], Labeller]


def benchmark(config: BenchmarkConfig) -> dict[str, Any]:
    """Measure -> "machine", "versions", "peak" of the device, and "speeds", one for each subject.

    Raises ValueError or FileNotFoundError for photographs, a teacher, a device, tasks or steps that
    are not there.
    """
    device = find_device(best_device(config.device))
    usual = "bfloat16" if device.type == "cuda" else "float32"
    runtime = Runtime(device=str(device), dtype=config.dtype or usual)
    dtype = getattr(torch, runtime.dtype)
    before = peak_of(device, dtype)
    speeds = list(_measured(config, runtime, device))
    peak = max(
        before, peak_of(device, dtype)
    )  # other work on the machine only lowers what is found
    for speed in speeds:
        per_s = speed["photographs_per_s"] * speed["tflop"] * 1e12
        speed["utilisation"] = per_s / peak.flops
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    report = {
        "machine": {**describe_machine(), "device": name, "threads": torch.get_num_threads()},
        "versions": package_versions(),
        "peak": peak._asdict(),
        "speeds": speeds,
    }
    if config.out is not None:
        config.out.mkdir(parents=True, exist_ok=True)
        (config.out / "benchmark.json").write_text(json.dumps(report, indent=2) + "\n")
        (config.out / "benchmark.md").write_text(as_table(report) + "\n")
    return report


def _measured(
    config: BenchmarkConfig, runtime: Runtime, device: torch.device
) -> Iterator[dict[str, Any]]:
    """One entry of "speeds" after the other; a network is gone before the next is loaded."""
    files = list(islice(cycle(_photographs(config.images)), config.batch_size))
    if not files:
        raise ValueError(f"{config.images}: there is no photograph in its shards")
    counted: dict[tuple[str, int], float] = {}
    for subject in _subjects(config, runtime):
        what = (subject.model, subject.steps)
        tflop = counted.get(what, 0.0)
        speed = measure(subject.load(), files, device, batches=config.batches, tflop=tflop)
        counted[what] = speed.tflop
        gc.collect()  # networks hold themselves in circles
        yield {
            "model": subject.model,
            "steps": subject.steps,
            "compiled": subject.compiled,
            "dtype": runtime.dtype,
            "batch_size": config.batch_size,
            **asdict(speed),
        }


def _subjects(config: BenchmarkConfig, runtime: Runtime) -> Iterator[Subject]:
    """What is to be measured: eager before compiled, which cannot count its operations."""
    on_gpu = runtime.device.startswith("cuda")
    usual = PRODUCTION if on_gpu and config.teacher is None else ""
    names = _parts(usual if config.random is None else config.random)
    compiles = (
        [False, True] if (on_gpu if config.compiled is None else config.compiled) else [False]
    )
    for name in names:
        for steps in _steps(config.steps or "1,4"):
            for compiled in compiles:
                runs = replace(runtime, compile=compiled)
                load = partial(_random_labeller, config, name, steps, runs)
                yield Subject(model=name, steps=steps, compiled=compiled, load=load)
    if config.teacher is not None or not names:
        for steps in _steps(config.steps or "") or [None]:
            yield from _teacher_subjects(config, steps, runtime, compiles)


def _random_labeller(config: BenchmarkConfig, name: str, steps: int, runtime: Runtime) -> Labeller:
    painter = random_painter(name, resolution_px=config.resolution_px, steps=steps, runtime=runtime)
    return TeacherLabeller(painter, check_tasks(_parts(config.tasks)))


def _teacher_subjects(
    config: BenchmarkConfig, steps: int | None, runtime: Runtime, compiles: Sequence[bool]
) -> Iterator[Subject]:
    """A teacher, also compiled if it paints: what predicts labels directly is never compiled."""
    teacher = open_teacher(config.teacher or "embedded", revision=config.revision, steps=steps)
    own = [task for task in _parts(config.tasks) if task in teacher.card.tasks]
    tasks = chosen_tasks(",".join(own) or config.tasks, teacher)
    for compiled in compiles if isinstance(teacher.card, TeacherCard) else [False]:
        runs = replace(runtime, compile=compiled)
        yield Subject(
            model=teacher.card.name,
            steps=teacher.card.steps,
            compiled=compiled,
            load=partial(build_labeller, teacher, tasks, **asdict(runs)),
        )


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _steps(text: str) -> list[int]:
    if wrong := [part for part in _parts(text) if not part.isdecimal() or int(part) < 1]:
        raise ValueError(f"--steps must be whole numbers from 1, found {wrong[0]!r}")
    return [int(part) for part in _parts(text)]


def _photographs(images: Path) -> Iterator[bytes]:
    """The files of photographs, in shards or loose."""
    loose = sorted(file for file in images.rglob("*") if file.suffix[1:].lower() in PHOTO_SUFFIXES)
    if loose and not any(images.rglob("*.tar")):
        yield from (file.read_bytes() for file in loose)
        return
    for source in find_sources(images):
        yield from (data for _, data in read_photographs(Path(source.place)))


def as_table(report: Mapping[str, Any]) -> str:
    """The report as Markdown: what was measured, and the share of each stage."""
    stages = [s for s in STAGES if any(s in speed["stage_ms"] for speed in report["speeds"])]
    heads = ["model", "steps", "transformer", "px", "photographs/s", "TFLOP", "of peak", "GiB"]
    rows = [[*heads, *(f"{stage}, ms" for stage in stages)]]
    rows += [_row(speed, stages) for speed in report["speeds"]]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    machine, peak = report["machine"], report["peak"]
    device = machine["cpu"] if machine["device"] == "cpu" else machine["device"]
    speed = report["speeds"][0]
    about = (
        f"{device}, {speed['dtype']}, batches of {speed['batch_size']}; peak "
        f"{peak['flops'] / 1e12:.3g} TFLOP/s ({peak['source']})."
    )
    return "\n".join([about, "", *lines])


def _row(speed: Mapping[str, Any], stages: list[str]) -> list[str]:
    height_px, width_px = speed["size_px"]
    return [
        speed["model"],
        str(speed["steps"]),
        "compiled" if speed["compiled"] else "eager",
        f"{width_px} x {height_px}",
        f"{speed['photographs_per_s']:.3g}",
        f"{speed['tflop']:.3g}",
        f"{speed['utilisation']:.1%}",
        f"{speed['memory_bytes'] / 2**30:.1f}",
        *(f"{speed['stage_ms'].get(stage, 0):.3g}" for stage in stages),
    ]

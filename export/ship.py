"""From a trained student to the files that ship: each is judged first, and says what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from export.bundle import write_bundle
from export.card import describe, describe_file, output_names, write_markdown
from export.divergence import onnx_divergence, program_divergence
from export.drafts import Draft, draft, draft_int8, file_name
from export.graph import DeployGraph, Traced, trace_graph
from export.ladder import Step, climb, run_torch
from export.pictures import Picture, load_pictures
from export.rung import Rung
from export.session import inspect_model
from export.ship_config import ExportConfig, parse_size
from student.model import Student, deployable, load_student
from teacher.atomic import write_atomically
from teacher.provenance import sha256_file, write_run
from teacher.sample import resize_photograph

PHOTOGRAPHS = 32
"""Photographs that the rungs of the ladder are scored on."""
INT8_PHOTOGRAPHS = 96
"""Photographs for INT8, a third of them to calibrate with, the others to judge with."""
GOLDEN_PHOTOGRAPHS = 4
"""Photographs in a bundle."""


def fit_size(size: str, multiple_px: int) -> tuple[int, int]:
    """The size as numbers. Raises ValueError, naming near ones, where the student takes others."""
    height, width = size_px = parse_size(size)
    if height % multiple_px or width % multiple_px:
        near = "x".join(str(max(1, round(side / multiple_px)) * multiple_px) for side in size_px)
        raise ValueError(
            f"--size {size}: this student takes multiples of {multiple_px} px, such as {near}"
        )
    return size_px


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """What an export wrote, and what it did not."""

    files: Mapping[str, Path]
    """Labeller ("onnx_fp32") -> file"""
    refused: Mapping[str, str]
    """Labeller -> why its file does not ship"""
    rungs: Sequence[Rung]
    """What was found of every form of the student, from PyTorch down"""
    bundle: Path | None
    """Folder to copy to a device, if one was asked for"""

    def describe(self) -> str:
        """What a user should know, in one line for each rung and each file."""
        lines = [rung.describe() for rung in self.rungs]
        for path in self.files.values():
            runs_on = inspect_model(path.read_bytes(), str(path))["runs_on"]
            lines.append(f"{path} ({path.stat().st_size / 1e6:.1f} MB): for {runs_on}")
        lines += [f"{name} does not ship: {reason}" for name, reason in self.refused.items()]
        if self.bundle:
            lines.append(f"{self.bundle}: copy it to the device, see README.md in it")
        return "\n".join(lines)


def ship(config: ExportConfig) -> Shipment:
    """Write the files that were asked for, and run.json, into `config.out`.

    Raises ValueError when a float32 or float16 file does not agree with PyTorch (then none is
    written, unless `force`), and as load_student, load_pictures and trace_graph do.
    """
    student = load_student(config.student)
    size_px = None if config.size is None else fit_size(config.size, student.multiple_px)
    quantised = [name for name in config.precisions if name.startswith("int8")]
    pictures = load_pictures(
        config.images, config.labels, INT8_PHOTOGRAPHS if quantised else PHOTOGRAPHS
    )
    scored = pictures[:PHOTOGRAPHS]
    facts = describe(student, config.student, config.licence)
    drafts, rungs = draft_fp32(student, facts, size_px, scored)
    if "fp16" in config.precisions:
        halves = [draft(student, facts, "fp16", size) for size in _sizes(size_px)]
        steps = [step for half in halves for step in (half.step(), *half.gpu_steps())]
        rungs += climb(drafts[0].step(), steps, scored, student)
        drafts += halves
    if not config.force:
        require_passed(config.out, rungs)
    refused: dict[str, str] = {}
    for source, precision in product(drafts[: len(_sizes(size_px))], quantised):
        made, reason = draft_int8(source, pictures, student.config, precision)
        found = climb(drafts[0].step(), [made.step()], scored, student) if made else []
        if made and (found[0].passed or config.force):
            drafts.append(made)
            rungs += found
        else:
            name = source.name.replace("fp32", precision)
            refused[name] = found[0].failures[0] if found else reason
    return _write(config, drafts, rungs, refused, [picture.photograph for picture in scored])


def draft_fp32(
    student: Student,
    facts: Mapping[str, Any],
    size_px: tuple[int, int] | None,
    pictures: Sequence[Picture],
) -> tuple[list[Draft], list[Rung]]:
    """The float32 files, and the rungs from PyTorch to them."""
    names = output_names(student.config.tasks)
    graph = DeployGraph(deployable(student))
    traced = trace_graph(graph)
    drafts = [
        Draft(model=traced.model, metadata={**facts, **describe_file("fp32")}),
        *(draft(student, facts, "fp32", size) for size in _sizes(size_px)[1:]),
    ]
    steps = [
        Step(name="exported_program", run=run_torch(traced.unchecked(), names)),
        *(one.step() for one in drafts),
        *(step for one in drafts for step in one.gpu_steps()),
    ]
    pytorch = Step(name="pytorch", run=run_torch(DeployGraph(student), names))
    rungs = climb(pytorch, steps, pictures, student)
    name_suspects(rungs, graph, traced, pictures[0].photograph)
    return drafts, rungs


def name_suspects(
    rungs: list[Rung], graph: DeployGraph, traced: Traced, photograph: np.ndarray
) -> None:
    """Let the first rung that failed say where: in the exported program, or on the way to ONNX."""
    program, onnx_file = rungs[:2]
    if failed_px := program.failed_size():
        image = resize_photograph(photograph, *failed_px)[None]
        found = program_divergence(graph, traced.program, image)
        rungs[0] = replace(program, suspect=str(found or ""))
    elif failed_px := onnx_file.failed_size():
        image = resize_photograph(photograph, *failed_px)[None]
        found = onnx_divergence(traced.program, traced.model, image)
        rungs[1] = replace(onnx_file, suspect=str(found or ""))


def _sizes(size_px: tuple[int, int] | None) -> list[tuple[int, int] | None]:
    """Of the files of one precision: any size, and the one that was asked for."""
    return [None] if size_px is None else [None, size_px]


def require_passed(out: Path, rungs: Sequence[Rung]) -> None:
    """Raise ValueError naming the first rung that failed, how, and where it went wrong."""
    failed = next((rung for rung in rungs if not rung.passed), None)
    if failed:
        more = f" (and {len(failed.failures) - 1} more)" if failed.failures[1:] else ""
        suspect = f"; {failed.suspect}" if failed.suspect else ""
        raise ValueError(
            f"{out}: nothing written, {failed.name} does not say what {failed.top} says: "
            f"{failed.failures[0]}{more}{suspect}; --force writes it even so"
        )


def _write(
    config: ExportConfig,
    drafts: Sequence[Draft],
    rungs: Sequence[Rung],
    refused: Mapping[str, str],
    photographs: Sequence[np.ndarray],
) -> Shipment:
    config.out.mkdir(parents=True, exist_ok=True)
    found = {rung.name: rung for rung in rungs}
    files = {one.name: config.out / file_name(one.name) for one in drafts}
    for one in drafts:
        write_atomically(files[one.name], one.data(found[one.name]))
    for name in refused:  # a file of an earlier export would be taken for one of this
        (config.out / file_name(name)).unlink(missing_ok=True)
    write_run(
        config.out,
        config,
        files=[
            {"name": name, "file": path.name, "sha256": sha256_file(path)}
            for name, path in files.items()
        ],
        refused=[{"name": name, "reason": reason} for name, reason in refused.items()],
        ladder=[rung.summary() for rung in rungs],
    )
    bundle = None
    if config.bundle:
        card = write_markdown(drafts[0].metadata, (rung.describe() for rung in rungs))
        bundle = write_bundle(
            config.out / "bundle", list(files.values()), photographs[:GOLDEN_PHOTOGRAPHS], card
        )
    return Shipment(files=files, refused=refused, rungs=rungs, bundle=bundle)

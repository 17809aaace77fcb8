"""`potstill ablate`: students that differ in one thing each, trained alike and judged alike."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.ablation_chart import draw_counts, draw_variants
from distill.ablation_config import BASELINE, AblateConfig, count_name
from distill.ablation_table import Row, table
from distill.evaluate import evaluate
from distill.labellers import StudentLabeller
from student.model import load_student
from teacher.atomic import write_atomically
from teacher.progress import console
from teacher.provenance import claim_run

FREE_SETTINGS = ("variants", "labels_of", "counts", "reference", "out")
"""What may be added later to the same folder."""


def ablate(config: AblateConfig) -> list[Row]:
    """Train and judge what is not there yet; write the table and the charts after each student.

    A student whose training fails is told, has no row, and is tried again the next time.
    Raises ValueError for a folder of another ablation, and when no student could be trained.
    """
    claim_run(config.out, config, free=FREE_SETTINGS)
    failed = []
    for name, options in config.runs.items():
        try:
            _run(config, name, options)
        except ChildProcessError as error:
            console.print(f"{name}: {error}", highlight=False, soft_wrap=True)
            failed.append(name)
        write_results(config)
    rows = read_rows(config)
    if not rows:
        raise ValueError(f"{config.out}: no student could be trained: {', '.join(failed)}")
    return rows


def _run(config: AblateConfig, name: str, options: str) -> None:
    """Train and judge one student, unless that is done."""
    folder = config.out / name
    if (folder / "scores.json").exists():
        return
    console.print(f"ablate: {name} {options}", highlight=False)
    _train(config, folder, options)
    labeller = StudentLabeller(load_student(folder), name)
    scores = evaluate(labeller, config.on / "images", config.on / "labels")
    write_atomically(folder / "scores.json", (json.dumps(scores, indent=2) + "\n").encode())


def _train(config: AblateConfig, folder: Path, options: str) -> None:
    """`potstill train` in a process of its own; what was stopped goes on."""
    budget = {"--steps": config.steps, "--minutes": config.minutes}
    arguments = ["--images", config.images, "--labels", config.labels, "--out", folder, "--resume"]
    for flag, value in budget.items():
        arguments += [] if value is None else [flag, value]
    arguments += [*shlex.split(config.options), *shlex.split(options)]
    command = [sys.executable, "-m", "distill.main", "train", *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise ChildProcessError(f"training ended with exit code {done.returncode}, see above")


def read_rows(config: AblateConfig) -> list[Row]:
    """What is finished, in the order of the runs."""
    rows = []
    for name, options in config.runs.items():
        folder = config.out / name
        if (folder / "scores.json").exists():
            scores = json.loads((folder / "scores.json").read_text())
            run = json.loads((folder / "run.json").read_text())
            rows.append(Row(name, options, run["steps"], run["photographs"], scores))
    return rows


def write_results(config: AblateConfig) -> None:
    """results.json, table.md, and the charts of what is finished."""
    rows = read_rows(config)
    if not rows:
        return
    reference = _reference(config)
    counts = {count_name(n): n for n in config.counts}
    write_atomically(config.out / "results.json", _json(rows, reference))
    text = table(rows, BASELINE, reference)
    write_atomically(config.out / "table.md", f"{_heading(config)}\n\n{text}\n".encode())
    variants = [row for row in rows if row.name not in counts]
    if variants:
        draw_variants(variants, config.out / "variants.png", BASELINE, reference)
    counted = [row for row in rows if row.name in counts]
    if counted:
        draw_counts(counted, config.out / "counts.png", reference)


def _reference(config: AblateConfig) -> Mapping[str, Any] | None:
    return None if config.reference is None else json.loads(config.reference.read_text())


def _heading(config: AblateConfig) -> str:
    budget = f"{config.minutes:g} minutes" if config.minutes else f"{config.steps} steps"
    return f"Students of {config.labels}, {budget} each, judged on {config.on}."


def _json(rows: list[Row], reference: Mapping[str, Any] | None) -> bytes:
    found = {"rows": [row._asdict() for row in rows], "reference": reference}
    return (json.dumps(found, indent=2) + "\n").encode()

"""`potstill ablate`: students that differ in one thing each, trained alike and judged alike."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.ablation_chart import draw_counts, draw_variants
from distill.ablation_table import Row, table
from distill.evaluate import evaluate
from distill.labellers import StudentLabeller
from student import load_student
from teacher.atomic import write_atomically
from teacher.progress import console
from teacher.provenance import claim_run

BASELINE = "baseline"
VARIANTS: dict[str, str] = {
    BASELINE: "",
    "another_seed": "--seed 1",
    "no_confidence": "--objective.use_confidence false",
    "drop_top_10": "--objective.drop_top 0.1",
    "no_gradient": "--objective.gradient 0",
    "keep_90": "--objective.keep 0.9",
    "keep_80": "--objective.keep 0.8",
    "learned_weights": "--objective.learn_weights true",
    "dice": "--objective.dice 0.5",
    "consistency": "--objective.consistency 0.1",
    "relative": "--objective.relative 0.5",
    "feature_alignment": "--alignment.weight 1.0",
}
"""Name -> what differs from the baseline, as options of `potstill train`; `another_seed` shows how
much of a difference is chance."""
FREE_SETTINGS = ("variants", "labels_of", "counts", "reference", "out")
"""What may be added later to the same folder."""


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """Train students that differ in one thing each, with one budget and seed, and judge them.

    Each is trained in a process of its own. What is finished is not run again, and what was stopped
    goes on, so variants and counts can be added later.
    """

    images: Path
    """Image shards, or the folder that holds them."""
    labels: Path
    """Folder of the label shards that `potstill label` wrote."""
    on: Path
    """Held-out photographs with ground truth: a folder with images/ and labels/, as `potstill
    scenes --labels` writes it."""
    out: Path
    """Folder of the students, table.md, results.json, variants.png and counts.png."""
    minutes: float | None = None
    """Training time of each student."""
    steps: int | None = None
    """Training steps of each student; with --minutes too, whichever ends first."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """What to compare: names of distill/ablation.py, [] for none."""
    labels_of: tuple[str, ...] = ()
    """Further variants, that learn other labels of the same photographs: NAME=FOLDER, such as
    votes2=labels-votes-2/."""
    counts: tuple[int, ...] = ()
    """Also train the baseline on so many photographs, such as [1000,4000,16000]."""
    reference: Path | None = None
    """Scores of the teacher on the same photographs, by `potstill evaluate --out`: a line in the
    charts."""
    options: str = ""
    """Further options of `potstill train` for all of them, such as '--preset edge --seed 3'."""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.variants if name not in VARIANTS]:
            known = ", ".join(VARIANTS)
            raise ValueError(f"--variants: {unknown[0]!r} is none of {known}")
        if strays := [given for given in self.labels_of if not all(given.partition("="))]:
            raise ValueError(f"--labels_of: expected NAME=FOLDER, found {strays[0]!r}")
        if self.steps is None and self.minutes is None:
            raise ValueError("an ablation needs --steps or --minutes, the budget of each student")

    @property
    def runs(self) -> dict[str, str]:
        """Name of each run -> its options."""
        runs = {name: VARIANTS[name] for name in self.variants}
        for given in self.labels_of:
            name, _, folder = given.partition("=")
            runs[name] = shlex.join(["--labels", folder])
        return runs | {count_name(n): f"--photographs {n}" for n in self.counts}


def count_name(photographs: int) -> str:
    """The run on so many photographs."""
    return f"photographs_{photographs}"


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

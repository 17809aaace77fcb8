"""The verbs of training; what is slow to import is imported once a verb's options were read."""

import re
import sys
from typing import TYPE_CHECKING

from teacher.arguments import parse_arguments

if TYPE_CHECKING:
    from distill.config import TrainConfig

WIDE = 120
"""Characters in a line of a table that goes to a file."""


def import_(argv: list[str]) -> int:
    """Turn a data set in its official layout into image shards and ground-truth label shards."""
    from distill.datasets import ImportConfig, import_dataset

    examples = """\
  potstill import camvid CamVid/ --split val --out sets/camvid-val
  potstill import diode diode/ --tasks depth --out sets/diode
  potstill import folder photographs/ --only unlabelled --out sets/unlabelled"""
    config = parse_arguments(
        ImportConfig,
        argv,
        prog="potstill import",
        examples=examples,
        positionals=("format", "folder"),
    )
    card = import_dataset(config)
    official = f" of {card.official_count}" if card.official_count else ""
    tasks = ", ".join(card.tasks) or "no ground truth"
    print(f"{config.out}: {card.name} {card.split}, {card.count}{official} photographs, {tasks}")
    return 0


def train(argv: list[str]) -> int:
    """Train a student on labelled shards."""
    from distill.arguments import TrainArguments, option_value

    examples = """\
  potstill train --images photographs/ --labels labels/ --out runs/student --minutes 10
  potstill train --images shards/ --labels labels/ --out runs/student --steps 2000 --tasks '[depth]'
  potstill train --images shards/ --labels labels/ --out runs/student --steps 20000 --resume
  potstill train --recipe edge-cpu --images shards/ --labels labels/ --out runs/edge --minutes 30
  potstill train --find-batch-size --preset small --images shards/ --labels labels/ --out none
  torchrun --nproc_per_node 8 -m distill.main train --recipe quality --images shards/ \\
      --labels labels/ --out runs/quality"""
    if name := option_value(argv, "recipe"):
        from distill.recipes import recipe_flags

        argv = [*recipe_flags(name), *argv]
    config = parse_arguments(TrainArguments, argv, prog="potstill train", examples=examples)
    if config.find_batch_size:
        return _find_batch_size(config)
    from distill.train import train as run_training
    from teacher.progress import console

    out = run_training(config)
    if not console.quiet:  # in the first process only
        print(f"{out}: student.safetensors, student.json, run.json, curves.png")
    return 0


def _find_batch_size(config: "TrainConfig") -> int:
    from distill.batch_size import find_batch_size, recommended

    rates = []
    for rate in find_batch_size(config):
        print(rate.describe(), flush=True)
        rates.append(rate)
    print(f"recommended: --batch_size {recommended(rates).batch_size}")
    return 0


def ablate(argv: list[str]) -> int:
    """Train students that differ in one thing each, and judge them alike."""
    from distill.ablation_config import AblateConfig

    examples = """\
  potstill ablate --images shards/ --labels labels/ --on held-out/ --out runs/ablation --minutes 5
  potstill ablate --images shards/ --labels labels/ --on held-out/ --out runs/ablation \\
      --steps 500 --variants baseline,keep_90 --labels_of votes2=labels-votes-2/
  potstill ablate --images shards/ --labels labels/ --on held-out/ --out runs/counts --minutes 5 \\
      --variants '[]' --counts 1000,4000,16000"""
    config = parse_arguments(AblateConfig, argv, prog="potstill ablate", examples=examples)
    from distill.ablation import ablate as run_ablation

    run_ablation(config)
    print((config.out / "table.md").read_text().rstrip())
    print(f"{config.out}: table.md, results.json, charts")
    return 0


def evaluate_suite(argv: list[str]) -> int:
    """Score teachers and students on imported data sets, beside published results."""
    from distill.suite_config import SuiteConfig

    examples = """\
  potstill evaluate --suite sets/ --labeller teacher/embedded --labeller runs/student --out table/
  potstill evaluate --suite sets/ --labeller runs/student --out table/ --tasks '[depth]'"""
    appended = [re.sub("^--labeller(?==|$)", "--labeller+", argument) for argument in argv]
    config = parse_arguments(SuiteConfig, appended, prog="potstill evaluate", examples=examples)
    from rich.console import Console

    from distill.published import read_published
    from distill.suite import evaluate_suite as run_suite
    from distill.suite_table import as_terminal, sections

    found = sections(run_suite(config), read_published(), brief=True)
    Console(width=None if sys.stdout.isatty() else WIDE).print(as_terminal(found))
    print(f"{config.out}: table.md, chart.png, results.json")
    return 0

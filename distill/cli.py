"""The verbs of training; what is slow to import is imported when its verb is called."""

import re
import sys

from teacher.arguments import parse_arguments

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
    from distill.train import TrainConfig
    from distill.train import train as run_training

    examples = """\
  potstill train --images photographs/ --labels labels/ --out runs/student --minutes 10
  potstill train --images shards/ --labels labels/ --out runs/student --steps 2000 --tasks '[depth]'
  potstill train --images shards/ --labels labels/ --out runs/student --steps 20000 --resume true"""
    config = parse_arguments(TrainConfig, argv, prog="potstill train", examples=examples)
    print(f"{run_training(config)}: student.safetensors, student.json, run.json, metrics/")
    return 0


def evaluate(argv: list[str]) -> int:
    """Score a teacher or a student against labels."""
    import json

    from distill.ceiling import ceiling_config
    from distill.evaluate import EvaluateConfig, evaluate_config, format_scores

    examples = """\
  potstill evaluate --labeller runs/student --images heldout/ --labels heldout/labels
  potstill evaluate --labeller teacher/embedded --images heldout/ --labels heldout/labels
  potstill evaluate --labeller marigold-depth/ --images heldout/ --labels heldout/labels \\
      --alignment least_squares
  potstill evaluate --labeller FOLDER --lora runs/tuned/teacher --steps 1 --images heldout/ \\
      --labels heldout/labels
  potstill evaluate --ceiling --labeller teacher/embedded --images held/ --labels held/labels
  potstill evaluate --suite sets/ --labeller teacher/embedded --labeller runs/student --out table/
  potstill evaluate --suite sets/ --help"""
    if any(argument.partition("=")[0] == "--suite" for argument in argv):
        return evaluate_suite(argv)
    config = parse_arguments(EvaluateConfig, argv, prog="potstill evaluate", examples=examples)
    scores = ceiling_config(config) if config.ceiling else evaluate_config(config)
    if config.out is not None:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(json.dumps(scores, indent=2) + "\n")
    print(format_scores(scores))
    return 0


def evaluate_suite(argv: list[str]) -> int:
    """Score teachers and students on imported data sets, beside published results."""
    from rich.console import Console

    from distill.published import read_published
    from distill.suite import SuiteConfig
    from distill.suite import evaluate_suite as run_suite
    from distill.suite_table import as_terminal, sections

    examples = """\
  potstill evaluate --suite sets/ --labeller teacher/embedded --labeller runs/student --out table/
  potstill evaluate --suite sets/ --labeller runs/student --out table/ --tasks '[depth]'"""
    appended = [re.sub("^--labeller(?==|$)", "--labeller+", argument) for argument in argv]
    config = parse_arguments(SuiteConfig, appended, prog="potstill evaluate", examples=examples)
    found = sections(run_suite(config), read_published(), brief=True)
    Console(width=None if sys.stdout.isatty() else WIDE).print(as_terminal(found))
    print(f"{config.out}: table.md, chart.png, results.json")
    return 0

"""The verbs of this package: evaluate, export, compare, latency, web, quickstart."""

import json
import re
import sys
from itertools import takewhile
from typing import TYPE_CHECKING

from teacher.arguments import parse_arguments

if TYPE_CHECKING:
    from distill.evaluate_config import EvaluateConfig

EVALUATE_EXAMPLES = """\
  potstill evaluate runs/student --on held_out/labels
  potstill evaluate runs/export/student_int8.onnx --on held_out/labels --images held_out/images
  potstill evaluate teacher/embedded --on held_out/labels --votes 4 --out runs/teacher.json
  potstill evaluate photographs/labels --on corrected/labels --images photographs/
  potstill evaluate marigold-depth/ --on held_out/labels --alignment least_squares
  potstill evaluate FOLDER --lora runs/tuned/teacher --steps 1 --on held_out/labels
  potstill evaluate teacher/embedded --on held_out/labels --ceiling
  potstill evaluate --suite sets/ --labeller teacher/embedded --labeller runs/student --out table/
  potstill evaluate --suite sets/ --help"""
EXPORT_EXAMPLES = """\
  potstill export --student runs/student --out runs/export
  potstill export --student runs/student --out runs/export --images photographs/
  potstill export --student runs/student --out runs/export --images held_out/images \\
      --labels held_out/labels --precisions fp32,fp16,int8
  potstill export --student runs/student --out runs/export --size 480x640 --bundle"""
COMPARE_EXAMPLES = """\
  potstill compare --teacher teacher/embedded --student runs/student --onnx runs/export \\
      --images held_out/images --labels held_out/labels --out runs/comparison
  potstill compare --teacher teacher/embedded --votes 4 --student runs/student \\
      --onnx runs/export/student_fp32.onnx,runs/export/student_int8.onnx \\
      --reference depth-anything/ --price_per_hour 0.35 --currency EUR \\
      --images held_out/images --labels held_out/labels --out runs/comparison"""
WEB_EXAMPLES = """\
  potstill web runs/export/student_fp32.onnx
  potstill web runs/export/student_fp32.onnx --port 9000
  potstill web runs/export/student_fp32.onnx --out page/"""
QUICKSTART_EXAMPLES = """\
  potstill quickstart
  potstill quickstart --quick
  potstill quickstart --real data/ --out runs/real"""
LATENCY_EXAMPLES = """\
  potstill latency runs/export/student_fp32.onnx runs/export/student_int8.onnx
  potstill latency runs/export/student_fp32.onnx --threads 1,2,4 --batch 1,8 --out latency.json
  potstill latency edge.onnx other.onnx --size 252x252 --runs 1000 --seconds 120"""


def evaluate(argv: list[str]) -> int:
    """Score a teacher, a student, an ONNX file or a label set against labels."""
    from distill.cli import evaluate_suite
    from distill.evaluate_config import EvaluateConfig

    if any(argument.partition("=")[0] == "--suite" for argument in argv):
        return evaluate_suite(argv)
    argv = [re.sub("^--labels(?==|$)", "--on", argument) for argument in argv]  # as train says it
    config = parse_arguments(
        EvaluateConfig,
        argv,
        prog="potstill evaluate",
        examples=EVALUATE_EXAMPLES,
        positionals=("labeller",),
    )
    return _evaluate(config)


def _evaluate(config: "EvaluateConfig") -> int:
    from rich.console import Console

    from distill.ceiling import ceiling_config
    from distill.cli import WIDE
    from distill.evaluate import evaluate_config
    from distill.evaluate_table import score_lines, score_table
    from export.labellers import load_labeller

    scores = ceiling_config(config) if config.ceiling else evaluate_config(config, load_labeller)
    if config.out is not None:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    print(score_lines(scores))
    if "slices" in scores:
        Console(width=None if sys.stdout.isatty() else WIDE).print(score_table(scores))
    return 0


def export(argv: list[str]) -> int:
    """Write a student as ONNX and check it against PyTorch."""
    from export.ship_config import ExportConfig

    config = parse_arguments(ExportConfig, argv, prog="potstill export", examples=EXPORT_EXAMPLES)
    from export.ship import ship

    print(ship(config).describe())
    return 0


def compare(argv: list[str]) -> int:
    """Teacher, student and ONNX side by side, as a table, a JSON file and a report."""
    from export.compare_config import CompareConfig

    config = parse_arguments(
        CompareConfig, argv, prog="potstill compare", examples=COMPARE_EXAMPLES
    )
    from rich.console import Console

    from export.compare import compare as run_comparison
    from export.figures import comparison_tables

    comparison = run_comparison(config)
    Console().print(comparison_tables(comparison))
    for name in ("report/index.html", "comparison.json", "card/README.md"):
        print(config.out / name)
    return 0


def latency(argv: list[str]) -> int:
    """How long files take on this machine, in turns, and how near they come to its limits."""
    from export.timing_config import TimingConfig

    files = list(takewhile(lambda word: not word.startswith("-"), argv))
    named = [f"--files=[{','.join(files)}]"] if files else []
    config = parse_arguments(
        TimingConfig,
        named + argv[len(files) :],
        prog="potstill latency",
        examples=LATENCY_EXAMPLES,
    )
    from rich.console import Console

    from distill.cli import WIDE
    from export.timing import run_timing, timing_table

    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(timing_table(run_timing(config)))
    return 0


def web(argv: list[str]) -> int:
    """An exported student in a browser on this machine."""
    from export.web.config import WebConfig

    config = parse_arguments(
        WebConfig, argv, prog="potstill web", examples=WEB_EXAMPLES, positionals=("model",)
    )
    from export.web.server import run_web

    run_web(config)
    return 0


def quickstart(argv: list[str]) -> int:
    """The whole pipeline, small, on this machine."""
    from export.quickstart_config import QuickstartConfig

    config = parse_arguments(
        QuickstartConfig, argv, prog="potstill quickstart", examples=QUICKSTART_EXAMPLES
    )
    from export.quickstart import run_quickstart, run_real_quickstart

    if config.real is None:
        run_quickstart(config)
    else:
        run_real_quickstart(config, config.real)
    return 0

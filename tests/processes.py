"""Real processes that can be signalled and killed, without paying for imports each time."""

import json
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.process import BaseProcess
from pathlib import Path

import distill.main
from teacher.jobs.job import LabelConfig, run_label_job

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["teacher.jobs.job", "teacher.painters.flux_control"])


def start_potstill(argv: Sequence[str]) -> BaseProcess:
    """Start `potstill ARGV` in a process of its own, forked from one that has imported torch."""
    process = FORKS.Process(target=_exit_with, args=(list(argv),))
    process.start()
    return process


def start_label_job(config: LabelConfig, report: Path) -> BaseProcess:
    """Run a labelling job in a process of its own, which writes its JobReport as JSON."""
    process = FORKS.Process(target=_label_and_report, args=(config, report))
    process.start()
    return process


def _label_and_report(config: LabelConfig, report: Path) -> None:
    report.write_text(json.dumps(asdict(run_label_job(config))))


def _exit_with(argv: list[str]) -> None:
    sys.exit(distill.main.main(argv))

"""Real processes that can be signalled and killed, without paying for imports each time."""

import multiprocessing
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

import distill.main

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["teacher.job", "teacher.painters.flux_control"])


def start_potstill(argv: Sequence[str]) -> BaseProcess:
    """Start `potstill ARGV` in a process of its own, forked from one that has imported torch."""
    process = FORKS.Process(target=_exit_with, args=(list(argv),))
    process.start()
    return process


def _exit_with(argv: list[str]) -> None:
    sys.exit(distill.main.main(argv))

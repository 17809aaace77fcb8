"""`python -m export.session verify student.onnx golden/`: the command on a device."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from .providers import PREFERENCE, Providers, short_name
from .verify import verify

PASSED, FAILED, BAD_INPUT = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Verify a file; 0 when it passed, 1 when it is wrong here, 2 when the input will not do."""
    arguments = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        found = verify(
            arguments.model,
            arguments.golden,
            providers=as_providers(arguments.provider),
            engine_cache=arguments.engine_cache,
            threads=arguments.threads,
            runs=arguments.runs,
        )
    except (ValueError, OSError) as error:
        print(f"verify: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    print(found)
    return PASSED if found.passed else FAILED


def make_parser() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(prog="python -m session", description="A student on a device.")
    verbs = parser.add_subparsers(required=True, metavar="verify")
    command = verbs.add_parser("verify", help="replay golden photographs; parity and latency")
    command.add_argument("model", type=Path, help="the ONNX file")
    command.add_argument("golden", type=Path, help="folder of golden photographs")
    command.add_argument("--provider", default="auto", choices=["auto", *map(spell, PREFERENCE)])
    command.add_argument("--engine-cache", type=Path, help="own folder for TensorRT's engines")
    command.add_argument("--threads", type=int, help="CPU threads; every core without it")
    command.add_argument("--runs", type=int, default=30, help="runs that are timed (default 30)")
    return parser


def spell(provider: str) -> str:
    """cuda for CUDAExecutionProvider."""
    return short_name(provider).lower()


def as_providers(text: str) -> Providers:
    """What a user wrote, as onnxruntime spells it; the CPU runs what a provider cannot."""
    if text == "auto":
        return "auto"
    named = next(provider for provider in PREFERENCE if spell(provider) == text)
    return list(dict.fromkeys([named, PREFERENCE[-1]]))


if __name__ == "__main__":
    sys.exit(main())

"""What only the command line of `potstill train` takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from distill.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class TrainArguments(TrainConfig):
    """Train a student on labelled photographs.

    A run that was stopped, or killed, goes on from its last checkpoint with --resume, and ends with
    the weights that it would have had: on a CPU with --steps, to the last bit.
    """

    recipe: str | None = None
    """Start from a recipe: quick, edge-cpu, edge-gpu or quality (see distill/recipes.py); other
    options override it."""
    find_batch_size: bool = False
    """Train nothing: time steps with 1, 2, 4 ... photographs, and recommend a --batch_size."""


def option_value(argv: Sequence[str], name: str) -> str | None:
    """The value of an option that decides about the defaults of others, or None."""
    for word, following in zip(argv, [*argv[1:], ""]):
        flag, equals, value = word.partition("=")
        if flag.replace("_", "-") == f"--{name}":
            return value if equals else following
    return None

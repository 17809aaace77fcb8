"""Command-line arguments from dataclasses: flags, YAML files and `--print_config`."""

import inspect
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, get_origin, get_type_hints

import yaml

Config = TypeVar("Config")


def parse_arguments(
    config_class: type[Config],
    argv: list[str],
    *,
    prog: str,
    examples: str = "",
    positionals: Sequence[str] = (),
) -> Config:
    """Parse `argv` into an instance of a frozen, keyword-only dataclass.

    Every field becomes a flag (`--some_field` or `--some-field`); the docstring under a field is
    its help. `--config FILE` reads YAML, `--print_config` prints the whole configuration. The
    fields named in `positionals` may also be given as the first arguments, without their flags. A
    field that is a tuple takes `a,b` for `[a, b]`.
    An unknown flag or a value of the wrong type exits with code 2, as argparse does.
    """
    from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

    class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Show defaults, and keep the line breaks of the examples."""

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    epilog = f"examples:\n{examples}" if examples else None
    summary = inspect.getdoc(config_class)
    parser = ArgumentParser(
        prog=prog, description=summary, epilog=epilog, formatter_class=Formatter
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    parser.add_class_arguments(config_class)
    known = {flag for action in parser._actions for flag in action.option_strings}
    types = get_type_hints(config_class)
    switches = {f"--{name}" for name, type_ in types.items() if type_ is bool}
    lists = {f"--{name}" for name, type_ in types.items() if get_origin(type_) is tuple}
    argv = [_underscored(argument, known) for argument in _flagged(argv, positionals)]
    argv = _bracketed(_with_values(argv, switches), lists)
    parsed = parser.parse_args(argv)
    return config_class(
        **{k: v for k, v in vars(parser.instantiate(parsed)).items() if k != "config"}
    )


def given_options(argv: Sequence[str]) -> set[str]:
    """Names of the options that the arguments or their YAML file (--config) set."""
    words = [word.partition("=") for word in argv]
    given = {word[2:].replace("-", "_") for word, *_ in words if word.startswith("--")}
    for (word, equals, value), following in zip(words, [*argv[1:], ""]):
        path = Path(value if equals else following)
        if word == "--config" and path.is_file():
            given |= set(yaml.safe_load(path.read_text(encoding="utf-8")) or ())
    return given


def _flagged(argv: list[str], positionals: Sequence[str]) -> list[str]:
    """Accept `camvid CamVid/` for `--format camvid --folder CamVid/`."""
    count = next((at for at, word in enumerate(argv) if word.startswith("-")), len(argv))
    count = min(count, len(positionals))
    named = [f"--{name}={word}" for name, word in zip(positionals, argv[:count])]
    return named + argv[count:]


def _bracketed(argv: list[str], lists: set[str]) -> list[str]:
    """Accept `--tasks depth,normal` and `--tasks depth` for `--tasks [depth,normal]`."""
    spelled = []
    for before, argument in zip(["", *argv], argv):
        flag, equals, value = argument.partition("=")
        if before in lists and not argument.startswith(("[", "--")):
            argument = f"[{argument}]"
        elif flag in lists and equals and not value.startswith("["):
            argument = f"{flag}=[{value}]"
        spelled.append(argument)
    return spelled


def _with_values(argv: list[str], switches: set[str]) -> list[str]:
    """Accept `--quick` for `--quick true`."""
    spelled = []
    for argument, following in zip(argv, [*argv[1:], "--"]):
        bare = argument in switches and following.startswith("--")
        spelled += [argument, "true"] if bare else [argument]
    return spelled


def _underscored(argument: str, known: set[str]) -> str:
    """Accept `--per-shard` for `--per_shard`."""
    flag, equals, value = argument.partition("=")
    candidate = "--" + flag[2:].replace("-", "_")
    if flag.startswith("--") and flag not in known and candidate in known:
        return candidate + equals + value
    return argument

"""Command-line arguments from dataclasses: flags, YAML files and `--print_config`."""

import inspect
from argparse import RawDescriptionHelpFormatter
from typing import TypeVar, get_type_hints

Config = TypeVar("Config")


def parse_arguments(
    config_class: type[Config], argv: list[str], *, prog: str, examples: str = ""
) -> Config:
    """Parse `argv` into an instance of a frozen, keyword-only dataclass.

    Every field becomes a flag (`--some_field` or `--some-field`); the docstring under a field is
    its help. `--config FILE` reads YAML, `--print_config` prints the whole configuration.
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
    argv = _with_values([_underscored(argument, known) for argument in argv], switches)
    parsed = parser.parse_args(argv)
    return config_class(
        **{k: v for k, v in vars(parser.instantiate(parsed)).items() if k != "config"}
    )


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

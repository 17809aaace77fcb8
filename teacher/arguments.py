"""Command-line arguments from dataclasses: flags, YAML files and `--print_config`."""

from argparse import RawDescriptionHelpFormatter
from typing import TypeVar

Config = TypeVar("Config")


def parse_arguments(
    config_class: type[Config], argv: list[str], *, prog: str, examples: str = ""
) -> Config:
    """Parse `argv` into an instance of a frozen, keyword-only dataclass.

    Every field becomes a flag (`--some_field` or `--some-field`); the docstring under a field is
    its help. `--config FILE` reads YAML, `--print_config` prints the whole configuration.
    An unknown flag or a value of the wrong type exits with code 2, as argparse does.
    """
    from jsonargparse import ArgumentParser, set_parsing_settings

    class Formatter(RawDescriptionHelpFormatter):
        """Keep the line breaks of the examples."""

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    epilog = f"examples:\n{examples}" if examples else None
    summary = (config_class.__doc__ or "").strip()
    parser = ArgumentParser(
        prog=prog, description=summary, epilog=epilog, formatter_class=Formatter
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    parser.add_class_arguments(config_class)
    known = {flag for action in parser._actions for flag in action.option_strings}
    parsed = parser.parse_args([_underscored(argument, known) for argument in argv])
    return config_class(
        **{k: v for k, v in vars(parser.instantiate(parsed)).items() if k != "config"}
    )


def _underscored(argument: str, known: set[str]) -> str:
    """Accept `--per-shard` for `--per_shard`."""
    flag, equals, value = argument.partition("=")
    candidate = "--" + flag[2:].replace("-", "_")
    if flag.startswith("--") and flag not in known and candidate in known:
        return candidate + equals + value
    return argument

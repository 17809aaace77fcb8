"""Flags from dataclasses."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from teacher.arguments import parse_arguments


@dataclass(frozen=True, kw_only=True)
class Config:
    """What it does."""

    out: Path
    """Where to."""
    per_shard: int = 3
    """How many."""
    quick: bool = False
    """Whether to hurry."""
    names: tuple[str, ...] = ()
    """Who."""


def parse(*argv: str) -> Config:
    return parse_arguments(Config, list(argv), prog="potstill x", examples="  potstill x --out y")


def test_fields_become_flags_with_dashes_or_underscores():
    assert parse("--out", "a") == Config(out=Path("a"))
    assert parse("--out=a", "--per-shard", "5") == Config(out=Path("a"), per_shard=5)
    assert parse("--out=a", "--per_shard=5") == Config(out=Path("a"), per_shard=5)


@pytest.mark.parametrize(
    "argv", [("--quick", "--out", "a"), ("--out", "a", "--quick"), ("--out=a", "--quick", "true")]
)
def test_a_switch_needs_no_value(argv):
    assert parse(*argv).quick


def test_a_switch_can_be_turned_off():
    assert not parse("--out", "a", "--quick", "false").quick


@pytest.mark.parametrize("names", ["a,b-c", "[a,b-c]", "[a, b-c]"])
def test_a_list_needs_no_brackets(names):
    assert parse("--out=x", "--names", names).names == ("a", "b-c")
    assert parse("--out=x", f"--names={names}", "--per-shard=2").names == ("a", "b-c")


def test_a_list_of_one():
    assert parse("--out=x", "--names", "a").names == ("a",)


@pytest.mark.parametrize(
    "argv",
    [
        ("a", "5"),
        ("a", "--per-shard", "5"),
        ("--out", "a", "--per-shard", "5"),
        ("--per-shard=5", "--out=a"),
    ],
)
def test_the_first_arguments_may_go_without_their_flags(argv):
    parsed = parse_arguments(
        Config, list(argv), prog="potstill x", positionals=("out", "per_shard")
    )
    assert parsed == Config(out=Path("a"), per_shard=5)


def test_one_argument_too_many(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(Config, ["a", "b"], prog="potstill x", positionals=("out",))
    assert "b" in capsys.readouterr().err


def test_a_yaml_file_sets_what_the_flags_do_not(tmp_path):
    (tmp_path / "config.yaml").write_text("per_shard: 7\nout: b\n")
    parsed = parse("--config", str(tmp_path / "config.yaml"), "--out", "a")
    assert parsed == Config(out=Path("a"), per_shard=7)


@pytest.mark.parametrize("argv", [(), ("--out", "a", "--nix"), ("--out=a", "--per-shard", "x")])
def test_wrong_flags_exit_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*argv)
    assert stop.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_help_shows_meaning_and_examples(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    for text in ("What it does.", "Where to.", "default: 3", "examples:\n  potstill x --out y"):
        assert text in shown

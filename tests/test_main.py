"""The console command as a user meets it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill.main import VERBS, main, one_line

README = Path(__file__).parent.parent / "README.md"


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "distill.main", *arguments], capture_output=True, text=True
    )


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in VERBS)


def test_help_loads_no_torch():
    code = (
        "import sys; from distill.main import main; main(['--help']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


def test_help_answers_well_within_the_time_of_importing_torch():
    def seconds(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        return time.perf_counter() - start

    quick = min(seconds("-m", "distill.main", "--help") for _ in range(3))
    assert quick < 0.5 * seconds("-c", "import torch")


def test_an_unknown_verb_is_one_line_and_code_2():
    done = run("destil")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "destil" in done.stderr
    assert "quickstart" in done.stderr


def test_version():
    assert run("--version").stdout.startswith("potstill ")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_stands_in_the_readme(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert f"potstill {verb}" in shown
    assert "examples:" in shown
    assert f"potstill {verb}" in README.read_text()


def test_an_error_is_folded_into_one_line():
    assert one_line(ValueError("first\n  second")) == "first second"
    assert one_line(ValueError()) == "ValueError"

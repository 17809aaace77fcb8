"""The console command as a user meets it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill.main import VERBS, main, one_line

README = Path(__file__).parent.parent / "README.md"

HELPS = (
    *("", *VERBS, "evaluate --suite sets/", "label --benchmark", "tune --base FOLDER"),
    "train --recipe edge-cpu",
)
"""All that `--help` may be asked of."""
HELP_IN_TURN = """
import contextlib, io, json, sys
from distill.main import main

def heavy():
    names = {"torch", "lightning", "timm", "onnxruntime", "diffusers", "transformers"}
    return names & set(sys.modules)

loaded = {}
for words in json.load(sys.stdin):
    before = heavy()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main([*words.split(), "--help"])
    loaded[words] = sorted(heavy() - before)
print(json.dumps(loaded))
"""


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "distill.main", *arguments], capture_output=True, text=True
    )


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in VERBS)


@pytest.fixture(scope="module")
def loaded_by_help():
    """What each help imports of the slow packages; asked for in one process, which is quicker."""
    command = [sys.executable, "-c", HELP_IN_TURN]
    asked = json.dumps(HELPS)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("words", HELPS)
def test_help_loads_nothing_that_takes_seconds(words, loaded_by_help):
    assert loaded_by_help[words] == []


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

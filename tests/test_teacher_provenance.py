"""What made a file: the machine that figures come from, and the run that a folder belongs to."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from teacher.cores import usable_cores
from teacher.provenance import claim_run, describe_machine


def test_the_machine_is_described() -> None:
    machine = describe_machine()
    assert machine["cpu"]
    assert machine["cores"] == usable_cores() >= 1
    assert machine["memory_bytes"] > 2**28
    assert json.loads(json.dumps(machine)) == machine


@dataclass(frozen=True, kw_only=True)
class Firing:
    heat: int = 900
    hands: int = 2


def test_a_folder_belongs_to_one_configuration(tmp_path: Path) -> None:
    claim_run(tmp_path, Firing())
    claim_run(tmp_path, Firing())
    claim_run(tmp_path, replace(Firing(), hands=3), free=("hands",))
    with pytest.raises(ValueError, match=r"a run with another heat; give another --out"):
        claim_run(tmp_path, replace(Firing(), heat=1200, hands=3))
    assert json.loads((tmp_path / "run.json").read_text())["config"]["heat"] == 900

"""Leases: one holder at a time, the dead are found out, the living are left alone."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from teacher.jobs import leases as leases_module
from teacher.jobs.leases import FOLDER, STALE_S, SUFFIX, Leases
from teacher.process_id import ProcessId, this_process

ROOT = Path(__file__).parent.parent


def hold(out: Path, name: str, process: ProcessId | None, *, age_s: float = 0) -> Path:
    """A lease as another process leaves it; None: it died before it wrote its name."""
    path = out / FOLDER / f"{name}{SUFFIX}"
    path.parent.mkdir(exist_ok=True)
    fields = {"process": str(process), "node": "elsewhere", "since": ""}
    path.write_text("" if process is None else json.dumps(fields))
    touched_s = time.time() - age_s
    os.utime(path, (touched_s, touched_s))
    return path


def far_away() -> ProcessId:
    return replace(this_process(), host="0123456789ab")


def test_a_lease_has_one_holder_until_it_is_given_back(tmp_path: Path) -> None:
    with Leases(tmp_path) as mine, Leases(tmp_path) as other:
        assert mine.take("000000")
        assert not other.take("000000")
        assert other.is_in_good_hands("000000")
        assert other.take("000001")
        mine.release("000000")
        assert other.take("000000")
    assert [file.name for file in (tmp_path / FOLDER).iterdir()] == ["lock"]


TAKE_AND_DIE = """
import os, pathlib, sys
from teacher.jobs.leases import Leases
leases = Leases(pathlib.Path(sys.argv[1]))
leases.folder.mkdir()
assert leases.take("000000")
os._exit(0)
"""


def test_the_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", TAKE_AND_DIE, str(tmp_path)], cwd=ROOT, check=True)
    assert json.loads((tmp_path / FOLDER / "000000.lease").read_text())["process"] != str(
        this_process()
    )
    with Leases(tmp_path) as leases:
        assert not leases.is_in_good_hands("000000")
        assert leases.take("000000")


def test_a_pid_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    hold(tmp_path, "000000", replace(this_process(), started=1))
    with Leases(tmp_path) as leases:
        assert leases.take("000000")


@pytest.mark.parametrize("process", [far_away(), None])
def test_elsewhere_only_a_lease_that_nobody_touches_is_free(
    tmp_path: Path, process: ProcessId | None
) -> None:
    hold(tmp_path, "fresh", process)
    hold(tmp_path, "old", process, age_s=STALE_S + 10)
    with Leases(tmp_path) as leases:
        assert not leases.take("fresh")
        assert leases.take("old")


def test_whoever_touches_its_lease_is_alive(tmp_path: Path) -> None:
    path = hold(tmp_path, "000000", far_away(), age_s=30)
    with Leases(tmp_path) as leases:
        assert not leases.is_in_good_hands("000000"), "it may have died 30 seconds ago"
        assert not leases.is_in_good_hands("000000")
        os.utime(path)
        assert leases.is_in_good_hands("000000")


def test_leases_are_touched_while_they_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_module, "HEARTBEAT_S", 0.01)
    with Leases(tmp_path) as leases:
        leases.take("000000")
        path = tmp_path / FOLDER / "000000.lease"
        os.utime(path, (1, 1))
        deadline_s = time.monotonic() + 5
        while path.stat().st_mtime == 1 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1


def test_a_lease_that_another_took_over_is_not_given_back(tmp_path: Path) -> None:
    with Leases(tmp_path) as leases:
        leases.take("000000")
        path = hold(tmp_path, "000000", far_away())
        leases.release("000000")
        assert path.exists()


def test_process_ids_survive_as_text() -> None:
    assert ProcessId.parse(str(this_process())) == this_process()
    assert not this_process().is_dead()
    for text in ("", "0123456789ab", "a-b-c", "a-1"):
        assert ProcessId.parse(text) is None

"""Nothing stops a labelling job for good: signals, kills, and what dead runs leave behind."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing.process import BaseProcess as Process
from pathlib import Path

import pytest
from jobs import label, shard_bytes, write_image_shards
from processes import start_potstill
from tiny import build_teacher

from teacher.jobs.leftovers import QUIET_S, remove_leftovers
from teacher.jobs.status import job_status
from teacher.jobs.stop_signals import stop_on_signals
from teacher.process_id import this_process

ROOT = Path(__file__).parent.parent
TASKS = "depth"
"""One task is enough here, and three times faster."""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny", start="noise")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_image_shards(tmp_path / "images")


def arguments(images: Path, out: Path, teacher: Path) -> list[str]:
    options = {"images": images, "out": out, "teacher": teacher, "tasks": TASKS, "batch_size": 2}
    return ["label", *(f"--{name}={value}" for name, value in options.items())]


def wait_for_shards(out: Path, process: Process, done: int) -> None:
    """Until this many shards are done and the next one is begun, or the process has ended."""
    while process.is_alive():
        if len(list(out.glob("*.done.json"))) >= done and list(out.glob(".0*.tmp")):
            return
        time.sleep(0.002)


def test_temporary_files_of_living_processes_stay(tmp_path: Path) -> None:
    dead = replace(this_process(), started=1)
    there = replace(dead, host="0123456789ab")
    owners = {"me": this_process(), "dead": dead, "far": there, "old": there}
    files = {name: tmp_path / f".{name}.tar.{owner}.77.tmp" for name, owner in owners.items()}
    files["nameless"] = tmp_path / ".0.tar.0123456789ab.tmp"
    for file in files.values():
        file.touch()
    os.utime(files["old"], (time.time() - QUIET_S - 10,) * 2)
    remove_leftovers(tmp_path)
    left = {name for name, file in files.items() if file.exists()}
    assert left == {"me", "far", "nameless"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_its_handler_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stopped:
        assert not stopped()
        signal.raise_signal(number)
        assert stopped()
    assert signal.getsignal(number) == before
    with ThreadPoolExecutor(1) as pool, pool.submit(stop_on_signals).result() as stopped:
        assert not stopped()


def test_a_second_ctrl_c_does_not_wait(capsys: pytest.CaptureFixture[str]) -> None:
    with stop_on_signals():
        signal.raise_signal(signal.SIGINT)
        assert "Ctrl-C again stops at once" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_sigterm_ends_with_75_and_the_next_run_goes_on(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    label(images, tmp_path / "whole", teacher, tasks=TASKS)
    out = tmp_path / "labels"
    process = start_potstill(arguments(images, out, teacher))
    wait_for_shards(out, process, done=1)
    process.terminate()
    process.join()
    assert process.exitcode == 75
    assert not list(out.glob(".*.tmp"))
    assert job_status(out).remaining > 0
    label(images, out, teacher, tasks=TASKS)
    assert shard_bytes(out) == shard_bytes(tmp_path / "whole")


def test_killed_at_random_points_it_ends_with_the_same_bytes(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    started = time.monotonic()
    label(images, tmp_path / "whole", teacher, tasks=TASKS)
    shard_s = (time.monotonic() - started) / 4
    rng, killed = random.Random(0), 0
    for trial in range(6):
        out = tmp_path / f"trial{trial}"
        process = start_potstill(arguments(images, out, teacher))
        wait_for_shards(out, process, done=trial % 4)
        time.sleep(rng.uniform(0, shard_s))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        label(images, out, teacher, tasks=TASKS)
        assert shard_bytes(out) == shard_bytes(tmp_path / "whole")
    assert killed >= 3, "few of the kills came in time: the trials prove little"


@pytest.mark.slow
def test_fifty_random_signals_over_twenty_shards(teacher: Path, tmp_path: Path) -> None:
    images = write_image_shards(tmp_path / "images", shards=20)
    label(images, tmp_path / "whole", teacher, tasks=TASKS)
    whole = shard_bytes(tmp_path / "whole")
    rng, ends, left = random.Random(0), Counter[int | None](), []
    for trial in range(50):
        out = tmp_path / f"trial{trial}"
        process = start_potstill(arguments(images, out, teacher))
        wait_for_shards(out, process, done=rng.randrange(20))
        time.sleep(rng.uniform(0, 0.1))
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(process.pid or 0, rng.choice((signal.SIGKILL, signal.SIGTERM)))
        process.join()
        ends[process.exitcode] += 1
        left.append(20 - len(list(out.glob("*.done.json"))))
        label(images, out, teacher, tasks=TASKS)
        assert shard_bytes(out) == whole
        assert not list(out.glob(".*.tmp"))
        shutil.rmtree(out)
    print(f"\nexit codes {dict(ends)}; shards left {min(left)} to {max(left)}, {sum(left)} in all")
    assert set(ends) <= {-signal.SIGKILL, 75, 0}
    assert ends[-signal.SIGKILL] >= 15
    assert ends[75] >= 15


@pytest.mark.slow
def test_the_command_itself_survives_kills_in_a_row(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    """A process started from scratch, killed again and again on the same folder."""
    label(images, tmp_path / "whole", teacher, tasks=TASKS)
    out, rng = tmp_path / "labels", random.Random(1)
    command = [sys.executable, "-m", "distill.main", *arguments(images, out, teacher)]
    started = time.monotonic()
    subprocess.run([*command, "--out", str(tmp_path / "timed")], cwd=ROOT, check=True)
    duration_s = time.monotonic() - started
    for _ in range(10):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.7, 1) * duration_s)  # before that, Python imports torch
        process.kill()
        process.wait()
    subprocess.run(command, cwd=ROOT, check=True)
    assert shard_bytes(out) == shard_bytes(tmp_path / "whole")

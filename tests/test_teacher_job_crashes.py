"""Nothing stops a labelling job for good: signals, kills, and what dead runs leave behind."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess as Process
from pathlib import Path

import pytest
from jobs import label, shard_bytes, write_image_shards
from processes import start_potstill
from tiny import build_teacher

from teacher.job import stop_on_sigterm
from teacher.status import job_status

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


def test_files_of_a_living_run_are_left_alone(images: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher, tasks=TASKS)
    temporary = out / ".000003.tar.0123456789ab.tmp"
    temporary.write_bytes(b"of another run")
    with (out / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        label(images, out, teacher, tasks=TASKS)
        assert temporary.exists()
    label(images, out, teacher, tasks=TASKS)
    assert not temporary.exists()


def test_sigterm_is_noted_and_its_handler_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_sigterm() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped()
    assert signal.getsignal(signal.SIGTERM) == before
    with ThreadPoolExecutor(1) as pool, pool.submit(stop_on_sigterm).result() as stopped:
        assert not stopped()


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
    for trial in range(10):
        out = tmp_path / f"trial{trial}"
        process = start_potstill(arguments(images, out, teacher))
        wait_for_shards(out, process, done=trial % 4)
        time.sleep(rng.uniform(0, shard_s))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        label(images, out, teacher, tasks=TASKS)
        assert shard_bytes(out) == shard_bytes(tmp_path / "whole")
    assert killed >= 5, "few of the kills came in time: the trials prove little"


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

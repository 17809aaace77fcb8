"""The labelling job with the Ray engine: options, errors, and the same bytes as in one process."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs import label, shard_bytes, write_image_shards
from tiny import build_teacher

from distill.main import main
from teacher.jobs.engines import ray_options
from teacher.jobs.job_config import LabelConfig
from teacher.jobs.ray_cluster import joined_cluster
from teacher.jobs.status import job_status

ROOT = Path(__file__).parent.parent
LOCAL = {"engine": "ray", "address": "local", "threads": 1}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny", start="noise")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_image_shards(tmp_path / "images")


@pytest.fixture
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would else write a token into the home folder, and keep to it in this process."""
    pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "spark"}, "--engine must be one of process, ray, found 'spark'"),
        ({"workers": 0}, "--workers must be at least 1, found 0"),
        ({"gpus_per_worker": 0}, "--gpus_per_worker must be above 0"),
        ({"engine": "ray", "device": "cuda:1"}, "Ray gives out the GPUs; say --device cuda"),
    ],
)
def test_options_are_checked_before_anything_runs(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelConfig(images=Path("images"), out=Path("labels"), **options)


@pytest.mark.parametrize(
    ("device", "gpus", "needs_gpu"), [("auto", 0.5, False), ("cuda", 0.5, True), ("cpu", 0, False)]
)
def test_a_worker_takes_gpus_as_the_device_says(device: str, gpus: float, needs_gpu: bool) -> None:
    config = LabelConfig(
        images=Path("images"),
        out=Path("labels"),
        engine="ray",
        device=device,
        gpus_per_worker=0.5,
        threads=3,
    )
    options = ray_options(config)
    assert (options.gpus_per_worker, options.needs_gpu) == (gpus, needs_gpu)
    assert options.cpus_per_worker == 3


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ValueError, match=r"pip install potstill\[ray\]"),
        joined_cluster("local"),
    ):
        pass


def test_an_address_without_a_port_is_refused() -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    with (
        pytest.raises(ValueError, match="auto, local or HOST:PORT, found 'gpu-17'"),
        joined_cluster("gpu-17"),
    ):
        pass


def test_an_address_where_nobody_answers_is_told_at_once() -> None:
    """Ray itself tries for two minutes, and then ends the process."""
    pytest.importorskip("ray", reason="ray is not installed")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with (
            pytest.raises(ValueError, match=r"no Ray cluster answers there.*ray start --head"),
            joined_cluster(address),
        ):
            pass


def test_auto_takes_the_address_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:x")
    with (
        pytest.raises(ValueError, match=r"auto, local or HOST:PORT, found '127\.0\.0\.1:x'"),
        joined_cluster("auto"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.usefixtures("no_token")
def test_the_bytes_are_those_of_one_process(images: Path, teacher: Path, tmp_path: Path) -> None:
    whole = label(images, tmp_path / "whole", teacher)
    report = label(images, tmp_path / "labels", teacher, workers=2, **LOCAL)
    assert (report.shards_done, report.labelled_now) == (4, whole.labelled_now)
    assert report.device_busy > 0
    assert shard_bytes(tmp_path / "labels") == shard_bytes(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.usefixtures("no_token")
def test_a_shard_that_was_damaged_later_is_named_and_the_others_are_done(
    images: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "labels"
    label(images, out, teacher, shards="0", tasks="depth")
    damaged = bytearray((images / "000002.tar").read_bytes())
    damaged[600] ^= 1
    (images / "000002.tar").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"1 shards cannot be labelled.*000002\.tar changed since"):
        label(images, out, teacher, tasks="depth", **LOCAL)
    assert job_status(out).remaining == 7


@pytest.mark.slow
@pytest.mark.usefixtures("no_token")
def test_sigterm_ends_the_command_with_75(images: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    options = {"images": images, "out": out, "teacher": teacher, "batch_size": 2, **LOCAL}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "distill.main", "label", *arguments, "--workers=1"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and not list(out.glob("*.done.json")):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    assert not list(out.glob(".*.tmp"))
    assert main(["label", *arguments, "--engine=process"]) == 0
    label(images, tmp_path / "whole", teacher)
    assert shard_bytes(out) == shard_bytes(tmp_path / "whole")

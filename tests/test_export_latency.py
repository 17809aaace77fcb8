"""Latency: percentiles of real runs, in a process of its own. No test asserts a speed."""

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from exported import onnx_file, photographs, student_folder

from export.labellers import count_parameters, load_labeller, size_bytes, weights_sha256
from export.latency import (
    LatencyConfig,
    measure_latency,
    summarise,
    time_calls,
)
from student import load_student


def make_config(**fields: object) -> LatencyConfig:
    given = {"labeller": Path("x"), "photographs": Path("p"), "out": Path("o")}
    return LatencyConfig(**{**given, **fields})  # type: ignore[arg-type]


def test_percentiles_are_times_that_occurred() -> None:
    times_ms = np.arange(1.0, 101.0)
    found = summarise(times_ms, make_config(batch=2), (32, 48), load_average=1.5)
    assert (found.min_ms, found.p50_ms, found.p90_ms, found.p99_ms) == (1, 50, 90, 99)
    assert found.n == 100
    assert found.images_per_s == pytest.approx(2 * 100 / 5.05)
    assert (found.height_px, found.width_px) == (32, 48)
    assert found.peak_memory_bytes > 10_000_000


def test_of_few_runs_the_99th_percentile_is_the_slowest() -> None:
    found = summarise(np.array([3.0, 1.0, 2.0]), make_config(), (1, 1), load_average=0)
    assert (found.p50_ms, found.p99_ms) == (2, 3)


def test_warm_up_calls_are_not_timed() -> None:
    calls: list[int] = []
    times_ms = time_calls(calls.append, make_config(warmup=2, runs=4))
    assert calls == [0, 1, 0, 1, 2, 3]
    assert len(times_ms) == 4


def test_time_runs_out_but_a_few_calls_are_always_timed() -> None:
    counter = itertools.count()

    def call(index: int) -> None:
        next(counter)
        time.sleep(0.002)

    assert len(time_calls(call, make_config(warmup=0, runs=1000, seconds=0.001))) == 5


def test_an_onnx_file_is_timed_in_a_process_of_its_own() -> None:
    found = measure_latency(onnx_file(), photographs(), threads=1, batch=3, warmup=1, runs=4)
    assert found.n == 4
    assert found.batch == 3
    assert found.threads == 1
    assert (found.height_px, found.width_px) == photographs().shape[1:3]
    assert 0 < found.min_ms <= found.p50_ms <= found.p90_ms <= found.p99_ms
    # Python, numpy and onnxruntime; PyTorch alone would take more.
    assert found.peak_memory_bytes < 250_000_000


def test_a_labeller_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"broken\.onnx: timing failed with exit code 2: .*broken"):
        measure_latency(path, photographs(), threads=1)


def test_parameters_and_sizes_of_the_same_student() -> None:
    student = load_student(student_folder())
    expected = sum(v.numel() for v in student.state_dict().values())
    assert count_parameters(student_folder()) == expected
    assert count_parameters(onnx_file()) == pytest.approx(expected, rel=0.05)
    assert size_bytes(onnx_file()) == onnx_file().stat().st_size
    assert size_bytes(student_folder()) > 4 * expected
    assert len(weights_sha256(student_folder())) == 64


def test_a_student_and_its_file_are_labellers_alike() -> None:
    found = [load_labeller(p).predict(photographs(2)) for p in (student_folder(), onnx_file())]
    for student, onnx in zip(*found, strict=True):
        assert student.depth_m is not None
        assert onnx.depth_m is not None
        assert onnx.classes == student.classes
        assert onnx.depth_m == pytest.approx(student.depth_m, rel=1e-3)


def test_a_path_that_is_no_labeller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the folder of a student"):
        load_labeller(tmp_path)

"""Latency: percentiles of real runs, in processes of their own. No test asserts a speed."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import onnx_file, photographs, student_folder

from export.gauges import energy_j, load_average, peak_memory_bytes
from export.labellers import count_parameters, load_labeller, size_bytes, weights_sha256
from export.latency import Timed, measure_latency, measure_together, summarise, tail_ms
from export.session import Predictor
from export.stopwatch import Order, Stopwatch
from export.timed_session import BoundSession
from export.turns import Taken
from student.model import load_student


def make_order(**fields: Any) -> Order:
    given = {
        "labeller": "x",
        "photographs": "p",
        "threads": 1,
        "batch": 1,
        "votes": 1,
        "steps": None,
        "warmup": 3,
        "size_px": None,
        "device": "cpu",
    }
    return Order(**{**given, **fields})


def test_percentiles_are_times_that_occurred() -> None:
    taken = Taken(times_ms=list(np.arange(1.0, 101.0)), core_ms=[3.0, 1.0, 2.0])
    found = summarise(taken, make_order(batch=2), (32, 48), load=1.5)
    assert (found.min_ms, found.p50_ms, found.p90_ms) == (1, 50, 90)
    assert (found.core_min_ms, found.core_p50_ms) == (1, 2)
    assert found.n == 100
    assert found.images_per_s == pytest.approx(2 * 100 / 5.05)
    assert (found.height_px, found.width_px) == (32, 48)


def test_a_99th_percentile_needs_662_runs() -> None:
    assert tail_ms(np.arange(661.0), 0.99) is None
    assert tail_ms(np.arange(662.0), 0.99) == 660  # one run may be slower
    assert tail_ms(np.arange(63.0), 0.9) is None
    assert tail_ms(np.arange(64.0), 0.9) == 62


@pytest.mark.parametrize("count", [662, 2000, 10_000])
def test_the_rule_is_that_of_a_binomial_law(count: int) -> None:
    """As many may be slower as chance would allow in one measurement of a hundred."""
    slower = count - 1 - int(tail_ms(np.arange(float(count)), 0.99) or 0)
    at_most = [sum(math.comb(count, k) * 0.01**k * 0.99 ** (count - k) for k in range(t + 1))
               for t in (slower, slower + 1)]  # fmt: skip
    assert at_most[0] <= 0.01 < at_most[1]


def test_energy_is_that_of_all_photographs() -> None:
    taken = Taken(times_ms=[1.0] * 4, energy_j=[3.0, 5.0])
    assert summarise(taken, make_order(batch=2), (1, 1), 0).energy_j_per_image == 1
    unknown = Taken(times_ms=[1.0], energy_j=[None])
    assert summarise(unknown, make_order(), (1, 1), 0).energy_j_per_image is None
    wrapped = Taken(times_ms=[1.0, 1.0], energy_j=[2.0, -262_143.0])
    assert summarise(wrapped, make_order(), (1, 1), 0).energy_j_per_image is None


def test_counters_of_energy_are_added_up(tmp_path: Path) -> None:
    domains = {"package-0": 2_000_000, "package-1": 3_500_000, "psys": 9_000_000}
    for number, (name, microjoules) in enumerate(domains.items()):
        folder = tmp_path / f"intel-rapl:{number}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{microjoules}\n")
    core = tmp_path / "intel-rapl:0:0"  # a part of package 0
    core.mkdir()
    (core / "energy_uj").write_text("1000000\n")
    assert energy_j(tmp_path) == 5.5
    assert energy_j(tmp_path / "none") is None


def test_gauges_answer_here() -> None:
    assert peak_memory_bytes() > 10_000_000
    assert load_average() >= 0


def test_warm_up_calls_and_the_first_of_a_turn_are_not_timed(tmp_path: Path) -> None:
    stored = tmp_path / "photographs.npy"
    np.save(stored, photographs())
    stopwatch = Stopwatch(
        make_order(labeller=str(onnx_file()), photographs=str(stored), warmup=2, size_px=(32, 64))
    )
    assert stopwatch.count == 2
    told = stopwatch.turn(3, seconds=60)
    assert stopwatch.count == 6
    assert len(told["times_ms"]) == len(told["core_ms"]) == 3
    assert all(core < whole for core, whole in zip(told["core_ms"], told["times_ms"]))
    assert len(stopwatch.turn(9, seconds=0)["times_ms"]) == 1  # something is always timed


def test_bound_values_give_the_same_outputs_call_after_call() -> None:
    """What a GPU does, on the CPU: other pixels at the same addresses."""
    predictor = Predictor(onnx_file(), threads=1)
    bound = BoundSession(predictor.session, (48, 48), device="cpu")
    for photograph in photographs()[:2]:
        expected = predictor.session.run(predictor.outputs, {"image": photograph[None]})
        before_ms = bound.core_ms
        found = bound.run(predictor.outputs, {"image": photograph[None]})
        assert all(np.array_equal(np.asarray(one), other) for one, other in zip(expected, found))
        assert bound.core_ms > before_ms


def test_files_are_timed_in_turns_each_in_a_process_of_its_own() -> None:
    files = {"one": Timed(path=onnx_file()), "other": Timed(path=onnx_file())}
    found = measure_together(files, photographs(), threads=1, batch=3, warmup=1, runs=4)
    assert list(found) == ["one", "other"]
    for seen in found.values():
        assert seen.n == 4
        assert (seen.batch, seen.threads) == (3, 1)
        assert (seen.height_px, seen.width_px) == photographs().shape[1:3]
        assert seen.onnx_px == (32, 32)
        assert seen.provider == "CPUExecutionProvider"
        assert 0 < seen.min_ms <= seen.p50_ms <= seen.p90_ms
        assert seen.p99_ms is None
        assert seen.core_min_ms is not None
        assert 0 < seen.core_min_ms < seen.p50_ms
        # Python, numpy and onnxruntime; PyTorch alone would take more.
        assert seen.peak_memory_bytes < 250_000_000


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


def test_checkpoints_of_a_students_training_are_not_its_weights(tmp_path: Path) -> None:
    trained = shutil.copytree(student_folder(), tmp_path / "trained")
    shutil.copytree(student_folder(), trained / "checkpoints" / "best-step_000001")
    assert count_parameters(trained) == count_parameters(student_folder())
    assert size_bytes(trained) == size_bytes(student_folder())
    assert weights_sha256(trained) == weights_sha256(student_folder())


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

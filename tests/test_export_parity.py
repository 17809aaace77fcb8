"""Parity: that it passes for what agrees, and above all that it fails for what does not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from exported import onnx_file, photographs, stored_student, student_folder, traced
from onnx import numpy_helper

import export.ship
from export.card import output_names
from export.graph import TRACED_MULTIPLES, DeployGraph
from export.ladder import Step, climb, run_onnx, run_torch
from export.parity import ParityRow, Run, dead_outputs, difference, untraced_sizes, varies
from export.pictures import Picture
from export.rung import Rung
from export.session import Predictor
from export.ship import require_passed, ship
from export.ship_config import ExportConfig

PICTURES = [Picture(photograph=photograph) for photograph in photographs()]


@pytest.fixture(scope="module")
def pytorch() -> Run:
    student = stored_student()
    return run_torch(DeployGraph(student), output_names(student.config.tasks))


def judge(top: Run, run: Run, precision: str = "fp32") -> Rung:
    steps = [Step(name="found", run=run, precision=precision)]
    return climb(Step(name="top", run=top), steps, PICTURES[:2], stored_student())[0]


def scaled(part: str, factor: float) -> onnx.ModelProto:
    """The exported file with one of its weights scaled."""
    model = onnx.load(onnx_file())
    tensor = next(t for t in model.graph.initializer if t.name.endswith(part))
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * factor, tensor.name))
    return model


def run_scaled(part: str, factor: float) -> Run:
    return run_onnx(Predictor(scaled(part, factor).SerializeToString()))


def test_the_export_agrees_with_pytorch(pytorch: Run) -> None:
    rung = judge(pytorch, run_onnx(Predictor(onnx_file())))
    assert rung.passed
    assert {row.batch for row in rung.rows} == {1, 3}
    assert len({(row.height_px, row.width_px) for row in rung.rows}) == 5
    assert rung.failed_size() is None
    require_passed(Path("out"), [rung])


@pytest.mark.parametrize("part", ["ls2.gamma", "qkv.bias", "patch_embed.proj.weight"])
def test_a_weight_that_is_off_by_two_percent_fails(pytorch: Run, part: str) -> None:
    assert judge(pytorch, run_scaled(part, 1.0)).passed
    assert not judge(pytorch, run_scaled(part, 1.02)).passed


def but_where_traced(run: Run, factor: float) -> Run:
    """Depth that is right at one size only."""

    def off(batch: np.ndarray) -> Mapping[str, np.ndarray]:
        outputs = dict(run(batch))
        if batch.shape[1:3] != untraced_sizes(16)[0]:
            outputs["depth_m"] = outputs["depth_m"] * np.float32(factor)
        return outputs

    return off


def test_a_size_that_was_baked_in_fails(pytorch: Run) -> None:
    rung = judge(pytorch, but_where_traced(pytorch, 1.002))
    assert {row.output for row in rung.rows if not row.passed} == {"depth_m"}
    with pytest.raises(ValueError, match=r"out: nothing written, found .*depth_m at .*--force"):
        require_passed(Path("out"), [rung])


def test_no_size_that_is_compared_was_traced() -> None:
    for multiple_px in (14, 16, 28, 32):
        up = [tuple(-(-n // multiple_px) for n in size) for size in untraced_sizes(multiple_px)]
        assert TRACED_MULTIPLES not in up
        assert len(set(up)) == 5


def still(run: Run) -> Run:
    """Depth that is the same for every picture."""
    return lambda batch: {**run(batch), "depth_m": np.full(batch.shape[:3], 3.0, np.float32)}


def test_an_output_that_never_varies_is_found_out(pytorch: Run) -> None:
    rung = judge(still(pytorch), still(pytorch))
    assert rung.dead == ["depth_m"]
    with pytest.raises(ValueError, match="depth_m hardly varies"):
        require_passed(Path("out"), [rung])


def test_each_precision_has_limits_of_its_own(pytorch: Run) -> None:
    def noisy(batch: np.ndarray) -> Mapping[str, np.ndarray]:
        outputs = pytorch(batch)
        return {**outputs, "depth_m": outputs["depth_m"] * np.float32(1.0008)}

    assert not judge(pytorch, noisy).passed
    assert judge(pytorch, noisy, "fp16").passed
    failures = judge(pytorch, but_where_traced(pytorch, 1.05), "fp16").failures
    assert any("depth_m: mean difference" in failure for failure in failures)


def test_a_rung_is_scored_against_the_truth_and_the_rung_above(pytorch: Run) -> None:
    def farther(batch: np.ndarray) -> Mapping[str, np.ndarray]:
        outputs = pytorch(batch)
        return {**outputs, "depth_m": outputs["depth_m"] * np.float32(1.1)}

    rung = judge(pytorch, farther)
    assert rung.above["depth"]["absrel"] == pytest.approx(0.1, rel=1e-5)
    assert rung.above["segment"]["miou"] == 1.0
    assert rung.truth == {}
    assert any("absrel 0.1 against top" in failure for failure in rung.failures)


def test_what_is_lost_against_the_truth() -> None:
    scores = {"absrel": 0.2, "delta1": 0.8}
    fields = {"name": "a", "top": "b", "rows": (), "dead": (), "above": {}, "photographs": 1}

    def lost(precision: str, **worse: float) -> list[str]:
        rung = Rung(
            **fields,
            precision=precision,
            truth={"depth": scores | worse},
            truth_above={"depth": scores},
        )
        return rung.failures

    assert lost("int8", absrel=0.2009, delta1=0.797) == []
    assert lost("int8", absrel=0.1, delta1=0.9) == []
    assert "absrel against the truth from 0.2 to 0.2011" in lost("int8", absrel=0.2011)[0]
    assert "delta1 against the truth from 0.8 to 0.795" in lost("int8", delta1=0.795)[0]


def test_differences_by_hand() -> None:
    normal = np.zeros((1, 2, 2, 3), np.float32)
    assert difference("normal", normal, normal + 0.5) == (0.25, 0.25, 0.25)
    narrow_m = np.array([[[4.0, 5.0]]], np.float32)  # a range of 1 m
    assert difference("depth_m", narrow_m, narrow_m + 0.25)[2] == 0.25
    wide_m = np.array([[[1.0, 100.0]]], np.float32)  # but 1 m away
    assert difference("depth_m", wide_m, wide_m + 0.25)[2] == 0.25
    ids = np.array([[[0, 1], [2, 2]]], np.uint8)
    assert difference("segment", ids, np.array([[[0, 1], [2, 0]]], np.uint8))[0] == 0.25


def test_sky_is_as_far_as_it_begins() -> None:
    depth_m = np.linspace(1, 201, 2001, dtype=np.float32).reshape(1, 1, -1)
    sky = depth_m.copy()
    sky[0, 0, -3:] = np.inf
    assert difference("depth_m", sky, sky) == (0, 0, 0)
    assert difference("depth_m", sky, depth_m)[2] == 0  # a matter of classes
    assert difference("depth_m", sky * np.inf, sky * np.inf) == (0, 0, 0)
    sky[0, 0, 989] = np.inf  # of 99.9 m
    assert difference("depth_m", depth_m, sky)[2] == pytest.approx(0.1 / 99.9, rel=1e-3)
    sky[0, 0, 0] = np.inf
    assert difference("depth_m", depth_m, sky)[2] == pytest.approx(99)


def test_nan_never_passes() -> None:
    depth_m = np.full((1, 2, 2), 4.0, np.float32)
    mean, p999, worst = difference("depth_m", depth_m, depth_m * np.nan)
    row = ParityRow(
        output="depth_m", batch=1, height_px=2, width_px=2, mean=mean, p999=p999, worst=worst
    )
    assert not row.passed


def test_a_larger_picture_may_be_off_by_more() -> None:
    row = ParityRow(
        output="depth_m", batch=1, height_px=128, width_px=128, mean=0, p999=3e-4, worst=4e-4
    )
    assert not row.passed
    assert replace(row, height_px=480, width_px=640).passed
    assert not replace(row, height_px=480, width_px=640, p999=2e-3).passed


def test_what_counts_as_alive() -> None:
    rng = np.random.default_rng(0)
    assert varies(rng.random((3, 8, 8)).astype(np.float32))
    same = np.broadcast_to(rng.random((8, 8)).astype(np.float32), (3, 8, 8))
    assert not varies(same)
    assert dead_outputs({"depth_m": same, "confidence": same, "segment": same}) == {"depth_m"}


@pytest.fixture
def broken_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that gets a weight wrong."""
    broken = replace(traced(), model=scaled("qkv.bias", 2))
    monkeypatch.setattr(export.ship, "trace_graph", lambda graph: broken)


@pytest.mark.usefixtures("broken_export")
def test_a_wrong_export_is_not_written_and_the_node_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing written, onnx_fp32 .*--force") as caught:
        ship(ExportConfig(student=student_folder(), out=tmp_path))
    assert "backbone.network.blocks.0.attn.qkv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("broken_export")
def test_a_wrong_export_that_is_forced_says_so(tmp_path: Path) -> None:
    shipment = ship(ExportConfig(student=student_folder(), out=tmp_path, force=True))
    assert "onnx_fp32         DISAGREES" in shipment.describe()
    assert Predictor(shipment.files["onnx_fp32"]).metadata["parity"]["passed"] is False

"""Parity: that it passes for what agrees, and above all that it fails for what does not."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exported import onnx_file, photographs, stored_student, student_folder
from onnx import numpy_helper
from torch import Tensor

import export.graph
from export.graph import TRACED_MULTIPLES, DeployGraph, ExportConfig, export_student
from export.parity import (
    ParityReport,
    ParityRow,
    check_parity,
    difference,
    untraced_sizes,
    varies,
)
from export.session import Predictor


@pytest.fixture(scope="module")
def graph() -> DeployGraph:
    return DeployGraph(stored_student()).eval()


def scaled(part: str, factor: float) -> Predictor:
    """The exported file with one of its weights scaled."""
    model = onnx.load(onnx_file())
    tensor = next(t for t in model.graph.initializer if t.name.endswith(part))
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * factor, tensor.name))
    return Predictor(model.SerializeToString())


def test_the_export_agrees_with_pytorch(graph: DeployGraph) -> None:
    report = check_parity(graph, Predictor(onnx_file()), photographs())
    assert report.passed
    assert {row.batch for row in report.rows} == {1, 3}
    assert len({(row.height_px, row.width_px) for row in report.rows}) == 5
    report.require_passed(Path("student.onnx"))


@pytest.mark.parametrize("part", ["ls2.gamma", "qkv.bias", "patch_embed.proj.weight"])
def test_a_weight_that_is_off_by_two_percent_fails(graph: DeployGraph, part: str) -> None:
    assert check_parity(graph, scaled(part, 1.0), photographs(2)).passed
    assert not check_parity(graph, scaled(part, 1.02), photographs(2)).passed


class ExactOnlyWhereTraced:
    """A graph with the traced size baked in: right there, a little off everywhere else."""

    def __init__(self, graph: DeployGraph):
        self.graph, self.multiple_px = graph, graph.multiple_px

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        depth_m, *rest = self.graph(image)
        baked = tuple(count * self.multiple_px - 3 for count in TRACED_MULTIPLES)
        return (depth_m if image.shape[1:3] == baked else depth_m * 1.002, *rest)


def test_a_size_that_was_baked_in_fails(graph: DeployGraph) -> None:
    report = check_parity(ExactOnlyWhereTraced(graph), Predictor(onnx_file()), photographs(2))
    with pytest.raises(ValueError, match=r"not written.*depth_m at "):
        report.require_passed(Path("student.onnx"))
    assert {row.output for row in report.rows if not row.passed} == {"depth_m"}


def test_no_size_that_is_compared_was_traced() -> None:
    for multiple_px in (14, 16, 28, 32):
        up = [tuple(-(-n // multiple_px) for n in size) for size in untraced_sizes(multiple_px)]
        assert TRACED_MULTIPLES not in up
        assert len(set(up)) == 5


class Dead:
    """A graph whose depth is the same for every picture."""

    multiple_px = 16

    def __init__(self, graph: DeployGraph):
        self.graph = graph

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        depth_m, *rest = self.graph(image)
        return (torch.full_like(depth_m, 3.0), *rest)


def test_an_output_that_never_varies_is_found_out(graph: DeployGraph) -> None:
    report = check_parity(Dead(graph), Predictor(onnx_file()), photographs(2))
    assert report.dead == ["depth_m"]
    assert not report.passed
    alone = ParityReport(rows=[], dead=report.dead, photographs=2)
    with pytest.raises(ValueError, match="depth_m hardly varies"):
        alone.require_passed(Path("student.onnx"))


def test_differences_by_hand() -> None:
    normal = np.zeros((1, 2, 2, 3), np.float32)
    assert difference("normal", normal, normal + 0.5) == (0.25, 0.25)
    narrow_m = np.array([[[4.0, 5.0]]], np.float32)  # a range of 1 m
    assert difference("depth_m", narrow_m, narrow_m + 0.25)[1] == 0.25
    wide_m = np.array([[[1.0, 100.0]]], np.float32)  # but 1 m away
    assert difference("depth_m", wide_m, wide_m + 0.25)[1] == 0.25
    ids = np.array([[[0, 1], [2, 2]]], np.uint8)
    assert difference("segment", ids, np.array([[[0, 1], [2, 0]]], np.uint8)) == (0.25, 0.25)


def test_nan_never_passes() -> None:
    depth_m = np.full((1, 2, 2), 4.0, np.float32)
    p999, worst = difference("depth_m", depth_m, depth_m * np.nan)
    row = ParityRow(output="depth_m", batch=1, height_px=2, width_px=2, p999=p999, worst=worst)
    assert not row.passed
    report = ParityReport(rows=[row], dead=[], photographs=1)
    with pytest.raises(ValueError, match="disagrees"):
        report.require_passed(Path("student.onnx"))


def test_what_counts_as_alive() -> None:
    rng = np.random.default_rng(0)
    assert varies(rng.random((3, 8, 8)).astype(np.float32))
    assert not varies(np.broadcast_to(rng.random((8, 8)).astype(np.float32), (3, 8, 8)))


@pytest.fixture
def broken_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that gets a weight wrong."""
    traced = onnx.load(onnx_file())
    tensor = next(t for t in traced.graph.initializer if t.name.endswith("qkv.bias"))
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 2, tensor.name))
    monkeypatch.setattr(export.graph, "trace_student", lambda student: traced)


@pytest.mark.usefixtures("broken_export")
def test_a_wrong_export_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"student_fp32\.onnx: not written.*--force") as caught:
        export_student(ExportConfig(student=student_folder(), out=tmp_path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("broken_export")
def test_a_wrong_export_that_is_forced_says_so(tmp_path: Path) -> None:
    config = ExportConfig(student=student_folder(), out=tmp_path, force=True)
    path, report = export_student(config)
    assert not report.passed
    assert "DISAGREES" in report.describe()
    assert Predictor(path).metadata["parity"]["passed"] is False

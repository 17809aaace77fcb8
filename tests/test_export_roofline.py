"""What a graph must compute and move, against values worked out by hand; the verb `latency`."""

import json
from pathlib import Path

import numpy as np
import pytest
from exported import onnx_file
from onnx import TensorProto, helper, numpy_helper

from distill.main import main
from export.graph_cost import GraphCost, count_cost, fix_size, operations
from export.quantiser import StaticQuantiser
from export.roofline import Peaks, place


def small_graph() -> bytes:
    """uint8 (N, H, W, 3) -> Conv 3x3 to 8 channels -> mean -> MatMul to 5 -> Gemm to 4."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["maps"], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("ReduceMean", ["maps", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["hidden"], name="matmul"),
        helper.make_node("Gemm", ["hidden", "wide"], ["out"], transB=1, name="gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 4])],
        [weight("kernel", 8, 3, 3, 3), weight("matrix", 8, 5), weight("wide", 4, 5), axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


def test_operations_and_bytes_of_a_small_graph() -> None:
    batch, height, width = 2, 6, 10
    cost = count_cost(small_graph(), batch, (height, width))
    convolution = 2 * batch * height * width * 8 * (3 * 3 * 3)
    assert cost.float_flop == convolution + 2 * batch * 5 * 8 + 2 * batch * 4 * 5
    assert cost.int8_op == 0
    image = batch * height * width * 3
    numbers = (
        (image + batch * height * width * 8 + 8 * 27)  # Conv: in, out, weights
        + (batch * 8 + batch * 5 + 8 * 5)  # MatMul
        + (batch * 4 + 4 * 5)  # Gemm, whose input is counted
    )
    assert cost.bytes_moved == image + 4 * numbers


def test_a_file_of_one_photograph_is_called_for_each() -> None:
    fixed = fix_size(small_graph(), (1, 6, 10, 3)).SerializeToString()
    one, three = (count_cost(fixed, batch, (6, 10)) for batch in (1, 3))
    assert one == count_cost(small_graph(), 1, (6, 10))
    assert (three.float_flop, three.bytes_moved) == (3 * one.float_flop, 3 * one.bytes_moved)


def test_a_transposed_convolution_spreads_every_value() -> None:
    node = helper.make_node("ConvTranspose", ["x", "kernel"], ["y"], strides=[2, 2])
    shapes = {"x": (1, 16, 5, 7), "kernel": (16, 8, 2, 2), "y": (1, 8, 10, 14)}
    assert operations(node, shapes) == 2 * (16 * 5 * 7) * (8 * 2 * 2)


def test_quantised_products_count_as_integers_and_move_bytes() -> None:
    photographs = list(np.random.default_rng(0).integers(0, 256, (2, 6, 10, 3), np.uint8))
    quantiser = StaticQuantiser(small_graph(), photographs)
    assert list(quantiser.nodes) == ["conv", "matmul"]  # gemm is the head
    cost = count_cost(quantiser.quantise(["conv"]), 2, (6, 10))
    whole = count_cost(small_graph(), 2, (6, 10))
    assert cost.int8_op == 2 * 2 * 6 * 10 * 8 * 27
    assert cost.float_flop + cost.int8_op == whole.float_flop
    assert cost.bytes_moved < 0.4 * whole.bytes_moved


def test_every_product_of_a_student_has_known_shapes() -> None:
    sized = fix_size(onnx_file().read_bytes(), (1, 64, 96, 3))
    known = {info.name for info in (*sized.graph.value_info, *sized.graph.output)}
    products = [node for node in sized.graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]
    assert products
    assert all(node.output[0] in known for node in products)


def test_the_limit_is_the_slower_of_computing_and_moving() -> None:
    peaks = Peaks(float_gflop_s=100, int8_gop_s=400, memory_gb_s=10, threads=1)
    computing = GraphCost(float_flop=10**9, int8_op=4 * 10**9, bytes_moved=10**6)
    found = place(computing, peaks, measured_ms=40)
    assert (found.limit_ms, found.bound_by, found.reached) == (20, "compute", 0.5)
    moving = GraphCost(float_flop=10**6, int8_op=0, bytes_moved=10**9)
    assert place(moving, peaks, measured_ms=200).limit_ms == pytest.approx(100)
    assert place(moving, peaks, measured_ms=200).bound_by == "memory"


def test_the_verb_prints_a_table_and_writes_what_it_found(tmp_path: Path, capsys) -> None:
    out = tmp_path / "latency.json"
    command = ["latency", str(onnx_file()), "--size", "64x96", "--runs", "3", "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "student_fp32.onnx" in printed
    assert "of limit" in printed
    assert "p99" not in printed  # of three runs nothing can be said
    found = json.loads(out.read_text())
    assert found["rows"][0]["latency"]["onnx_px"] == [64, 96]
    assert found["rows"][0]["roofline"]["gflop"] > 0
    assert found["peaks"][0]["float_gflop_s"] > 1


def test_errors_of_the_verb(tmp_path: Path, capsys) -> None:
    assert main(["latency", str(tmp_path / "none.onnx")]) == 2
    assert "none.onnx: no such file" in capsys.readouterr().err
    assert main(["latency", str(onnx_file()), "--threads", "0"]) == 2
    assert "must be at least 1" in capsys.readouterr().err

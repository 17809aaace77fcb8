"""INT8: which nodes, what the file is like, what the search excludes, and what the verdict says."""

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
import pytest
from exported import make_student, onnx_file, photographs
from onnx import ModelProto, TensorProto, helper

from export.graph import serialise, trace_student
from export.ladder import Rung
from export.pictures import Picture
from export.quantise import make_int8, quantise_dynamic, quantise_static
from export.quantiser import DynamicQuantiser, NoProductsError, StaticQuantiser, prepare
from export.sensitivity import Found, Judge, damage, exclude_worst, failures
from export.session import METADATA_KEY, Predictor
from export.structure import find_int8_nodes, output_heads
from export.verdict import give_verdict

HYBRID = {"embed_dims": [8, 8, 16, 16], "layers": [1, 1, 1, 1]}


@pytest.fixture(scope="module")
def vit() -> bytes:
    return onnx_file().read_bytes()


@pytest.fixture(scope="module")
def hybrid() -> bytes:
    student = make_student(backbone="swiftformer_xs", backbone_arguments=HYBRID)
    return serialise(trace_student(student), {})


def stored_bytes(model: ModelProto) -> int:
    return sum(len(tensor.raw_data) or tensor.ByteSize() for tensor in model.graph.initializer)


def producers(model: ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def test_attention_products_and_heads_stay_float(vit: bytes) -> None:
    graph = prepare(vit).graph
    stored = {tensor.name for tensor in graph.initializer}
    chosen = {node.name for node in find_int8_nodes(graph)}
    attention = [
        node
        for node in graph.node
        if node.op_type == "MatMul" and not stored.intersection(node.input)
    ]
    assert len(attention) == 2 * 2  # two of each block
    assert not chosen.intersection(node.name for node in attention)
    heads = {node.name for node in output_heads(graph)}
    assert len(heads) == 2 * 3  # of each task, and of its confidence
    assert not chosen & heads
    products = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert len(chosen) == len(products) - len(attention) - len(heads)


@pytest.mark.slow
def test_a_hybrid_gives_its_convolutions(hybrid: bytes) -> None:
    nodes = find_int8_nodes(prepare(hybrid).graph)
    assert {node.op_type for node in nodes} >= {"Conv", "MatMul"}
    assert any(a.name == "group" and a.i > 1 for node in nodes for a in node.attribute)


@pytest.mark.parametrize("kind", ["vit", pytest.param("hybrid", marks=pytest.mark.slow)])
def test_an_int8_file_is_smaller_standard_and_near(
    kind: str, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(kind)
    data = quantise_static(source, list(photographs()))
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model)
    assert stored_bytes(model) < 0.6 * stored_bytes(onnx.load_from_string(source))
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    assert {node.domain for node in model.graph.node} == {""}
    assert list(model.metadata_props) == list(onnx.load_from_string(source).metadata_props)
    assert b"/tmp" not in data
    assert data == quantise_static(source, list(photographs()))


def test_what_is_no_product_reads_and_writes_float(vit: bytes) -> None:
    model = onnx.load_from_string(quantise_static(vit, list(photographs())))
    made = producers(model)
    for node in model.graph.node:
        if node.op_type in ("LayerNormalization", "Softmax", "Gelu"):
            assert made[node.input[0]].op_type != "QuantizeLinear"
    names = {node.op_type for node in model.graph.node}
    assert names & {"QLinearConv", "QLinearMatMul"} == set()  # QDQ: any runtime can read it


def test_predictions_stay_near(vit: bytes) -> None:
    batch = photographs()
    before = Predictor(vit, threads=1)(batch)
    for data in (quantise_static(vit, list(batch)), quantise_dynamic(vit)):
        after = Predictor(data, threads=1)(batch)
        assert before.normal is not None
        assert after.normal is not None
        cosine = (before.normal * after.normal).sum(-1).clip(-1, 1)
        assert 0 < np.degrees(np.arccos(cosine)).mean() < 5


def test_activations_are_signed_for_arm(vit: bytes) -> None:
    found = {}
    for target in ("x86", "arm"):
        model = onnx.load_from_string(quantise_static(vit, list(photographs(1)), target=target))
        stored = {t.name: t.data_type for t in model.graph.initializer}
        points = [n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"]
        found[target] = {stored[name] for name in points}
    assert found == {"x86": {TensorProto.UINT8}, "arm": {TensorProto.INT8}}


def test_dynamic_int8_leaves_convolutions_and_needs_no_photograph(vit: bytes) -> None:
    assert "Conv" in {node.op_type for node in find_int8_nodes(prepare(vit).graph)}
    quantiser = DynamicQuantiser(vit)
    model = onnx.load_from_string(quantiser.quantise(quantiser.nodes))
    kinds = [node.op_type for node in model.graph.node]
    assert "MatMulInteger" in kinds
    assert "ConvInteger" not in kinds
    assert {node.domain for node in model.graph.node} == {""}


def test_convolutions_alone_leave_dynamic_int8_nothing_to_do() -> None:
    kernels = [np.ones((4, 3, 1, 1), np.float32), np.ones((1, 4, 1, 1), np.float32)]
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w0"], ["middle"], name="first"),
        helper.make_node("Conv", ["middle", "w1"], ["out"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, 8, 8])],
        [onnx.numpy_helper.from_array(k, f"w{at}") for at, k in enumerate(kernels)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(NoProductsError, match="INT8: all products are convolutions"):
        DynamicQuantiser(model.SerializeToString())
    quantise_static(model.SerializeToString(), list(photographs(2, 8)))


def test_excluded_nodes_keep_their_weights(vit: bytes) -> None:
    quantiser = StaticQuantiser(vit, list(photographs(1)))
    some = quantise_static(vit, list(photographs(1)), exclude=quantiser.nodes[1:])
    assert some == quantiser.quantise(quantiser.nodes[:1])
    assert len(quantiser.quantise(quantiser.nodes)) < len(some) < len(vit)


HARM_DEG = {"good": 0.1, "bad": 0.6, "fair": 0.2, "worst": 9.0}


class FourNodes:
    """A quantiser whose file is the list of its nodes."""

    nodes = tuple(HARM_DEG)

    def quantise(self, nodes: Collection[str]) -> bytes:
        return json.dumps(sorted(nodes)).encode()


class SumOfHarm:
    """Judges such a file by the sum of what its nodes do to the normals."""

    def __init__(self, base_deg: float = 0.0) -> None:
        self.base_deg = base_deg

    def judge(self, model: bytes, count: int | None = None) -> Rung:
        harm = sum(HARM_DEG[node] for node in json.loads(model))
        return make_rung(mean_deg=self.base_deg + harm)


def make_rung(mean_deg: float) -> Rung:
    return Rung(
        name="onnx_int8",
        top="onnx_fp32",
        precision="int8",
        rows=(),
        dead=(),
        above={"normal": {"mean_deg": mean_deg}},
        truth={},
        truth_above={},
        photographs=1,
    )


def search(judge: Any) -> Found:
    return exclude_worst(FourNodes(), judge)


def test_as_few_nodes_are_excluded_as_needed_the_worst_first() -> None:
    found = search(SumOfHarm())  # 1 degree is the limit without labels
    assert list(found.excluded) == ["worst"]
    assert found.model == FourNodes().quantise(["good", "bad", "fair"])
    assert damage(found.rung) == pytest.approx(np.radians(0.9))
    assert list(search(SumOfHarm(base_deg=0.6)).excluded) == ["worst", "bad"]


def test_a_verdict_names_the_nodes_that_forbid_it(vit: bytes) -> None:
    found = search(SumOfHarm(base_deg=5))
    assert found.model is None
    verdict = give_verdict(vit, FourNodes.nodes, found, None, photographs())
    assert not verdict.ships
    assert verdict.speed is None
    assert "no choice of its 4 products is within tolerance" in verdict.reason
    assert "normal: mean_deg 14.9" in verdict.reason
    assert "most damage alone: worst, bad, fair, good" in verdict.reason


def test_a_file_that_is_not_faster_does_not_ship(vit: bytes) -> None:
    from test_export_latency import make_order

    from export.latency import summarise
    from export.turns import Taken
    from export.verdict import Speed

    def latency(core_ms: float) -> Any:
        taken = Taken(times_ms=[core_ms + 1], core_ms=[core_ms])
        return summarise(taken, make_order(), (48, 48), 0)

    found = search(SumOfHarm())
    for int8_ms, ships in ((10.0, False), (9.9, False), (5.0, True)):
        speed = Speed(fp32=latency(10.0), int8=latency(int8_ms))
        verdict = give_verdict(vit, FourNodes.nodes, found, speed, photographs())
        assert verdict.ships == ships
        assert verdict.excluded == ("worst",)
        named = "float32 for accuracy: worst" if ships else "of float32's time, so that INT8 could"
        assert named in verdict.reason


def test_a_judge_finds_no_fault_with_the_file_itself(vit: bytes) -> None:
    student = make_student()
    pictures = [Picture(photograph=photograph) for photograph in photographs()]
    rung = Judge(vit, pictures, student.config).judge(vit)
    assert damage(rung) < 1e-3
    assert failures(rung) == []


@pytest.mark.slow
def test_make_int8_judges_and_times_a_file(vit: bytes) -> None:
    pictures = [Picture(photograph=photograph) for photograph in photographs(6)]
    data, verdict = make_int8(vit, pictures, make_student().config)
    assert (data is not None) == verdict.ships
    assert verdict.reason
    assert METADATA_KEY in {p.key for p in onnx.load_from_string(data or vit).metadata_props}


def test_bad_input_is_refused_in_one_line(vit: bytes) -> None:
    with pytest.raises(ValueError, match="calibration: expected photographs, found none; give"):
        quantise_static(vit, [])
    for data in (b"nothing", b""):
        with pytest.raises(ValueError, match="INT8: not an ONNX file"):
            quantise_dynamic(data)
    with pytest.raises(ValueError, match="target: expected one of x86, arm, found 'mips'"):
        quantise_static(vit, list(photographs()), target="mips")
    with pytest.raises(ValueError, match="found 1; give more with --images"):
        make_int8(vit, [Picture(photograph=photographs()[0])], make_student().config)
    shape = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 8, 8, 3])
    out = helper.make_tensor_value_info("out", TensorProto.UINT8, [1, 8, 8, 3])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["out"])], "g", [shape], [out]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(ValueError, match="INT8: the graph has no product with weights"):
        quantise_dynamic(model.SerializeToString())

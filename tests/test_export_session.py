"""The predictor for devices: what it returns, what it refuses to open, and where it runs."""

import json
import logging
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from exported import onnx_file, photographs
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from export.session import METADATA_KEY, Predictor, inspect_model, providers
from teacher.scenes.objects import CLASSES

SKY = CLASSES.index("sky")

METADATA = {
    "schema": 2,
    "tasks": ["depth"],
    "classes": [],
    "multiple_px": 16,
    "depth_kind": "metric",
    "trained_px": [32, 32],
}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(onnx_file(), threads=1)


def make_model(**changes: object) -> ModelProto:
    """A graph with the right input and one output, and metadata that may be changed."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])
    depth = helper.make_tensor_value_info("depth_m", TensorProto.FLOAT, ["n", "h", "w", 3])
    cast = helper.make_node("Cast", ["image"], ["depth_m"], to=TensorProto.FLOAT)
    graph = helper.make_graph([cast], "g", [image], [depth])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: json.dumps({**METADATA, **changes})})
    return model


def refusal(model: ModelProto | bytes, tmp_path: Path) -> str:
    """The one line with which a file is refused."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"model\.onnx") as caught:
        Predictor(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_one_photograph_gives_planes_of_its_size(predictor: Predictor) -> None:
    photograph = photographs()[0][:40, :45]
    prediction = predictor(photograph)
    assert prediction.depth_m is not None
    assert prediction.depth_m.shape == (40, 45)
    assert prediction.depth_m.dtype == np.float32
    assert (prediction.depth_m > 0).all()
    assert prediction.normal is not None
    assert prediction.normal.shape == (40, 45, 3)
    assert np.allclose(np.linalg.norm(prediction.normal, axis=-1), 1, atol=1e-5)
    assert prediction.segment is not None
    assert prediction.segment.dtype == np.uint8
    assert prediction.segment.max() < len(CLASSES)
    assert (prediction.segment[np.isposinf(prediction.depth_m)] == SKY).all()
    assert prediction.confidence is not None
    assert prediction.confidence.shape == (40, 45, 3)
    assert ((prediction.confidence >= 0) & (prediction.confidence <= 1)).all()
    assert prediction.tasks == ("depth", "normal", "segment")
    assert prediction.classes == CLASSES


def test_a_batch_is_its_photographs_one_by_one(predictor: Predictor) -> None:
    batch = predictor(photographs())
    for row, photograph in enumerate(photographs()):
        alone = predictor(photograph)
        assert np.allclose(batch[row].depth_m, alone.depth_m, rtol=1e-4)
        assert np.mean(batch[row].segment != alone.segment) < 1e-3


def test_a_view_that_is_not_contiguous_is_the_same_photograph(predictor: Predictor) -> None:
    flipped = photographs()[0][:, ::-1]
    assert np.array_equal(predictor(flipped).depth_m, predictor(flipped.copy()).depth_m)


def test_the_smallest_photograph_that_is_taken(predictor: Predictor) -> None:
    found = predictor(np.zeros((16, 16, 3), np.uint8))
    assert found.depth_m is not None
    assert found.depth_m.shape == (16, 16)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((15, 64, 3), np.uint8),
        np.zeros((0, 64, 64, 3), np.uint8),
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((1, 1, 64, 64, 3), np.uint8),
        [[1, 2], [3]],
        "photograph.jpg",
    ],
)
def test_what_is_no_photograph_is_refused(predictor: Predictor, image: object) -> None:
    with pytest.raises(ValueError, match=r"^image: ") as caught:
        predictor(image)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.onnx: no such ONNX file"):
        Predictor(tmp_path / "nothing.onnx")


def test_more_pixels_than_the_limit() -> None:
    predictor = Predictor(onnx_file(), threads=1, max_pixels=2 * 48 * 48)
    predictor(photographs()[:2])
    with pytest.raises(ValueError, match=r"image: shape .* 6912 pixels, more than max_pixels=4608"):
        predictor(photographs()[:3])


def test_a_file_of_one_size_takes_no_other() -> None:
    model = make_model()
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 32, 48, 3)):
        dim.dim_value = size
    predictor = Predictor(model.SerializeToString())
    assert predictor.size_px == (32, 48)
    predictor(np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(
        ValueError, match=r"image: shape \(1, 48, 32, 3\); .* \(1, 32, 48, 3\) only"
    ):
        predictor(np.zeros((48, 32, 3), np.uint8))


def test_an_unknown_provider() -> None:
    with pytest.raises(ValueError, match=r"providers: .* not AbacusExecutionProvider"):
        Predictor(onnx_file(), providers=["AbacusExecutionProvider"])


@pytest.fixture
def no_gpu_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime built for CUDA on a machine without: offered, but it does not start."""
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.usefixtures("no_gpu_starts")
def test_auto_takes_what_starts_and_says_what_did_not(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor(make_model().SerializeToString(), providers="auto")
    assert predictor.session.get_providers() == ["CPUExecutionProvider"]
    (record,) = caplog.records
    assert "ONNX model runs on CPU: CUDA did not start" in record.getMessage()
    assert capfd.readouterr().err == ""


def test_auto_on_a_machine_with_a_processor_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with caplog.at_level(logging.INFO):
        Predictor(make_model().SerializeToString(), providers="auto")
    assert [r.getMessage() for r in caplog.records] == [
        "ONNX model runs on CPU; onnxruntime offers CPU"
    ]


@pytest.mark.usefixtures("no_gpu_starts")
def test_a_provider_that_was_named_and_does_not_start_is_no_silent_fallback() -> None:
    with pytest.raises(ValueError, match="providers: CUDAExecutionProvider did not start"):
        Predictor(make_model().SerializeToString(), providers=["CUDAExecutionProvider"])


def test_tensorrt_keeps_its_engines_where_it_is_told(tmp_path: Path) -> None:
    options = providers.provider_options("TensorrtExecutionProvider", tmp_path / "engines")
    assert options["trt_engine_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == str(tmp_path / "engines")
    assert (tmp_path / "engines").is_dir()
    assert providers.provider_options("CPUExecutionProvider", tmp_path / "none") == {}
    assert not (tmp_path / "none").exists()


def test_the_tensorrt_of_jetpack_6_is_named_and_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = ["TensorrtExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(providers, "tensorrt_version", lambda: (10, 3, 0))
    predictor = Predictor(make_model().SerializeToString(), providers="auto")
    assert predictor.session.get_providers() == ["CPUExecutionProvider"]
    (record,) = caplog.records
    message = record.getMessage()
    assert "TensorRT 10.3.0 gives wrong results for vision transformers (NVIDIA/Tens" in message
    assert providers.what_is_wrong((10, 9, 0)) is None
    assert providers.what_is_wrong(None) is None


def test_the_model_of_these_tests_is_sound() -> None:
    assert Predictor(make_model().SerializeToString()).tasks == ("depth",)


@pytest.mark.parametrize("data", [b"", b"not a model at all", b"\xff" * 64, b"\x3a\xff\xff\x7f"])
def test_bytes_that_are_no_model(data: bytes, tmp_path: Path) -> None:
    message = refusal(data, tmp_path)
    assert "not an ONNX file" in message or "no 'potstill' metadata" in message


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    whole = onnx_file().read_bytes()
    assert "cut short" in refusal(whole[: len(whole) // 2], tmp_path)


def test_a_model_of_somebody_else(tmp_path: Path) -> None:
    model = make_model()
    del model.metadata_props[:]
    assert "no 'potstill' metadata" in refusal(model, tmp_path)


def test_metadata_that_is_not_json(tmp_path: Path) -> None:
    model = make_model()
    helper.set_model_props(model, {METADATA_KEY: "{"})
    assert "not JSON" in refusal(model, tmp_path)


@pytest.mark.parametrize("schema", [0, 1, "2", None])
def test_another_schema(schema: object, tmp_path: Path) -> None:
    message = refusal(make_model(schema=schema), tmp_path)
    assert f"schema {schema!r}" in message
    assert "export the student again" in message


def test_metadata_without_a_field(tmp_path: Path) -> None:
    model = make_model()
    rest = {key: value for key, value in METADATA.items() if key != "multiple_px"}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(rest)})
    assert "lacks multiple_px" in refusal(model, tmp_path)


def test_metadata_of_another_type(tmp_path: Path) -> None:
    message = refusal(make_model(classes="sky", multiple_px="16"), tmp_path)
    assert "another type of classes, multiple_px" in message


def test_weights_in_another_file(tmp_path: Path) -> None:
    model = make_model()
    weights = model.graph.initializer.add(name="w", dims=[4], data_type=TensorProto.FLOAT)
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")
    assert "external data" in refusal(model, tmp_path)


def test_weights_in_another_file_hidden_in_a_subgraph(tmp_path: Path) -> None:
    model = make_model()
    weights = TensorProto(name="w", dims=[4], data_type=TensorProto.FLOAT)
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../secret")
    constant = helper.make_node("Constant", [], ["c"])
    constant.attribute.append(helper.make_attribute("value", weights))
    branch = helper.make_graph([constant], "b", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch))
    assert "external data" in refusal(model, tmp_path)


def test_a_tensor_larger_than_the_file_can_hold(tmp_path: Path) -> None:
    model = make_model()
    model.graph.initializer.add(name="w", dims=[1 << 20, 1 << 20], data_type=TensorProto.FLOAT)
    assert "claims a tensor of 1048576 x 1048576 in a file of" in refusal(model, tmp_path)


def test_a_tensor_of_a_negative_size(tmp_path: Path) -> None:
    model = make_model()
    model.graph.initializer.add(name="w", dims=[-1], data_type=TensorProto.FLOAT)
    assert "claims a tensor of" in refusal(model, tmp_path)


def test_a_sparse_tensor(tmp_path: Path) -> None:
    model = make_model()
    model.graph.sparse_initializer.add(dims=[1 << 40])
    assert "sparse tensors" in refusal(model, tmp_path)


def test_a_file_larger_than_onnx_can_be(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 31)  # a hole: it takes no room on the disk
    with pytest.raises(ValueError, match=r"model\.onnx: 2147483648 bytes, an ONNX file holds"):
        Predictor(path)


def test_operators_of_another_domain(tmp_path: Path) -> None:
    model = make_model()
    model.graph.node[0].domain = "com.evil"
    assert "domain 'com.evil'" in refusal(model, tmp_path)


def test_an_import_of_another_domain(tmp_path: Path) -> None:
    model = make_model()
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    assert "domain 'com.evil'" in refusal(model, tmp_path)


def test_graphs_nested_without_end(tmp_path: Path) -> None:
    model = make_model()
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(20):
        node = helper.make_node("If", ["x"], ["y"], then_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    model.graph.node.append(graph.node[0])
    assert "nested deeper" in refusal(model, tmp_path)


def test_another_input(tmp_path: Path) -> None:
    model = make_model()
    model.graph.input[0].name = model.graph.node[0].input[0] = "pixels"
    assert "expected one input 'image'" in refusal(model, tmp_path)


def test_an_input_that_is_not_uint8(tmp_path: Path) -> None:
    model = make_model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    assert "found 'image' of 4 dimensions, not uint8" in refusal(model, tmp_path)


def test_a_second_input(tmp_path: Path) -> None:
    model = make_model()
    model.graph.input.add(name="mask").CopyFrom(
        helper.make_tensor_value_info("mask", TensorProto.UINT8, ["n"])
    )
    assert "found 'image' of 4 dimensions, 'mask' of 1 dimensions" in refusal(model, tmp_path)


def test_an_unknown_output(tmp_path: Path) -> None:
    model = make_model()
    model.graph.output[0].name = model.graph.node[0].output[0] = "albedo"
    assert "unknown outputs ['albedo']" in refusal(model, tmp_path)


def test_a_graph_that_onnxruntime_refuses(tmp_path: Path) -> None:
    model = make_model()
    model.graph.node[0].op_type = "NoSuchOperator"
    assert "onnxruntime cannot open it" in refusal(model, tmp_path)


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_no_bytes_break_the_inspection(data: bytes) -> None:
    with pytest.raises(ValueError, match="model"):
        inspect_model(data, "model")


@given(st.data())
@settings(max_examples=100)
def test_no_flipped_byte_breaks_the_inspection(data: st.DataObject) -> None:
    model = bytearray(make_model().SerializeToString())
    at = data.draw(st.integers(0, len(model) - 1))
    model[at] = data.draw(st.integers(0, 255))
    try:
        inspect_model(bytes(model), "model")
    except ValueError as error:
        assert "model" in str(error)  # noqa: PT017


def test_the_inspection_agrees_with_the_onnx_package() -> None:
    model = onnx.load(onnx_file())
    stored = {entry.key: entry.value for entry in model.metadata_props}
    assert inspect_model(onnx_file().read_bytes(), "m") == json.loads(stored[METADATA_KEY])

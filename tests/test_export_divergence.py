"""The first value that differs: faults are built in, and must be named."""

import numpy as np
import onnx
import pytest
from exported import make_student, onnx_file, photographs, traced
from onnx import numpy_helper
from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3

from export.divergence import onnx_divergence, program_divergence, value_distance
from export.graph import DeployGraph, trace_graph

IMAGE = photographs(1)


def tampered(name: str) -> onnx.ModelProto:
    model = onnx.load(onnx_file())
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.05, name))
    return model


@pytest.mark.parametrize(
    ("weight", "module", "operator"),
    [
        ("backbone.network.patch_embed.proj.weight", "backbone.network.patch_embed.proj", "conv2d"),
        ("backbone.network.blocks.1.attn.qkv.bias", "backbone.network.blocks.1.attn.qkv", "linear"),
        ("backbone.network.blocks.0.ls2.gamma", "backbone.network.blocks.0.ls2", "mul"),
        ("heads.depth.1.bias", "heads.depth.1", "conv2d"),
    ],
)
def test_a_weight_that_was_tampered_with_is_named(weight: str, module: str, operator: str) -> None:
    found = onnx_divergence(traced().program, tampered(f"student.{weight}"), IMAGE)
    assert found is not None
    assert found.module == module
    assert operator in found.operator
    assert found.value in str(found)


def test_a_sound_export_has_no_divergence() -> None:
    assert onnx_divergence(traced().program, onnx.load(onnx_file()), IMAGE) is None


@pytest.mark.slow
def test_a_position_grid_of_the_traced_size_is_named() -> None:
    arguments = {"depth": 1, "embed_dim": 32, "num_heads": 2, "dynamic_img_size": True}
    student = make_student(backbone="vit_small_patch16_dinov3", backbone_arguments=arguments)
    student.backbone.network.rope = RotaryEmbeddingDinoV3(16)  # divides by float(size)
    graph = DeployGraph(student)
    found = program_divergence(graph, trace_graph(graph).program, IMAGE)
    assert found is not None
    assert "div" in found.operator
    assert found.module == "backbone"


def test_distances_by_hand() -> None:
    value = np.array([0.0, 2.0], np.float32)
    assert value_distance(value, value + 0.5) == 0.25
    assert value_distance(value, np.zeros(3, np.float32)) == np.inf
    assert value_distance(value, value * np.nan) == np.inf
    assert value_distance(np.full(2, 10.0), np.full(2, 10.1)) == pytest.approx(0.1)

"""What a graph must compute and move, counted from the ONNX file at one size.

Operations are those of its products (a multiplication and an addition are two); what lies between
them is small. Bytes are what must be moved even if everything between two products were fused:
weights, what products read and write, and the graph's own inputs and outputs.
"""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper

from export.session import INPUT_NAME
from export.structure import PRODUCTS

INTEGER_PRODUCTS = ("MatMulInteger", "ConvInteger")
COUNTED = (*PRODUCTS, "ConvTranspose", *INTEGER_PRODUCTS)
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class GraphCost:
    """Of one batch."""

    float_flop: int
    """Floating-point operations of products"""
    int8_op: int
    """The same in 8-bit integers"""
    bytes_moved: int


def count_cost(model: bytes, batch: int, size_px: tuple[int, int]) -> GraphCost:
    """The cost of a file of `potstill export` for a batch of photographs of one height and width.

    A file that takes one photograph alone is called for each.
    """
    calls = batch if _takes_one(model) else 1
    once = count_sized(fix_size(model, (batch // calls, *size_px, 3)))
    return GraphCost(
        float_flop=calls * once.float_flop,
        int8_op=calls * once.int8_op,
        bytes_moved=calls * once.bytes_moved,
    )


def _takes_one(model: bytes) -> bool:
    shape = onnx.load_from_string(model).graph.input[0].type.tensor_type.shape
    return shape.dim[0].dim_value == 1


def fix_size(model: bytes, shape: Shape) -> ModelProto:
    """The graph for one shape of its input, constants folded, with the shape of every value."""
    source = onnx.load_from_string(model)
    source.graph.input[0].CopyFrom(
        helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, shape)
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sized.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(
            source.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        sized = onnx.load(path)
    del sized.graph.value_info[:]  # of the open size
    return onnx.shape_inference.infer_shapes(sized, data_prop=True)


def count_sized(model: ModelProto) -> GraphCost:
    """The cost of a graph whose values all have a known shape; those without one do not count."""
    graph = model.graph
    values = Values(model)
    float_flop = int8_op = 0
    moved = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        if node.op_type not in COUNTED:
            continue
        count = operations(node, values.shapes)
        if node.op_type in INTEGER_PRODUCTS or values.is_quantised(node.input[1]):
            int8_op += count
        else:
            float_flop += count
        moved |= {values.stored(name) for name in (*node.input, *node.output) if name}
    return GraphCost(
        float_flop=float_flop,
        int8_op=int8_op,
        bytes_moved=sum(values.size_bytes(name) for name in moved),
    )


def operations(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Multiplications and additions of a product: 2 for each value out and each term in it."""
    names = (node.input[0], node.input[1], node.output[0])
    if any(name not in shapes for name in names):
        return 0
    left, right, out = (shapes[name] for name in names)
    if node.op_type == "ConvTranspose":  # every value in is spread over a patch
        return 2 * math.prod(left) * math.prod(right[1:])
    if node.op_type.startswith("Conv"):
        terms = math.prod(right[1:])
    elif node.op_type == "Gemm":
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        terms = right[1] if transposed else right[0]
    else:
        terms = right[max(len(right) - 2, 0)]
    return 2 * math.prod(out) * terms


class Values:
    """Shapes and types of the values in a graph, and how quantised ones are stored."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.makers = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        infos = (*graph.value_info, *graph.input, *graph.output)
        self.shapes: dict[str, Shape] = {
            info.name: tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
            for info in infos
            if all(d.HasField("dim_value") for d in info.type.tensor_type.shape.dim)
        }
        self.shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self.types = {info.name: info.type.tensor_type.elem_type for info in infos}
        self.types |= {tensor.name: tensor.data_type for tensor in graph.initializer}

    def is_quantised(self, name: str) -> bool:
        """Whether a float value is an integer one that was only just made float."""
        maker = self.makers.get(name)
        return maker is not None and maker.op_type == "DequantizeLinear"

    def stored(self, name: str) -> str:
        """The integer value that stands for a float one where both are there."""
        if self.is_quantised(name):
            return self.makers[name].input[0]
        readers = self.readers.get(name, [])
        if len(readers) == 1 and readers[0].op_type == "QuantizeLinear":
            return readers[0].output[0]
        return name

    def size_bytes(self, name: str) -> int:
        """0 for a value of unknown shape."""
        if name not in self.shapes:
            return 0
        kind = helper.tensor_dtype_to_np_dtype(self.types[name])
        return math.prod(self.shapes[name]) * kind.itemsize

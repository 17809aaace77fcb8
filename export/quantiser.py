"""Graphs with chosen nodes in INT8: static, with ranges seen on photographs, or dynamic.

Both need operators of the standard domain alone, keep the file's metadata, and write the same bytes
for the same input. They take over from onnxruntime how a node is quantised; which ones are is
decided by structure (export.structure) and by measurement (export.sensitivity).
"""

import logging
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationMethod,
    QDQQuantizer,
    QuantType,
    TensorData,
    TensorsData,
    quant_pre_process,
    quantize_dynamic,
)

from export.calibration import SHARES, Ranges, observe_ranges
from export.graph import scrub
from export.structure import CLAMPS, PRODUCTS, clamps_after, find_int8_nodes

STEPS = {"x86": QuantType.QUInt8, "arm": QuantType.QInt8}
"""Activations: x86 multiplies unsigned by signed bytes; ARM and TensorRT take signed ones alone."""


QUANTISED = {"DequantizeLinear", "DynamicQuantizeLinear"}
"""One of these stands beside every node in INT8."""


class NoProductsError(ValueError):
    """A graph that has nothing for INT8 to do."""


class Quantiser(Protocol):
    """Something that can put any choice of its nodes into INT8."""

    @property
    def nodes(self) -> Sequence[str]:
        """Names of the nodes that may be quantised, in the order of the graph."""
        ...

    def quantise(self, nodes: Collection[str]) -> bytes:
        """The file with exactly these nodes in INT8."""
        ...


class StaticQuantiser:
    """QuantizeLinear / DequantizeLinear pairs around each node, with ranges that were observed."""

    def __init__(
        self, model: bytes, photographs: Sequence[np.ndarray], *, target: str = "x86"
    ) -> None:
        """model: an FP32 file of `potstill export`. photographs: (H, W, 3) uint8.

        target: "x86", or "arm" for ARM and TensorRT. Raises ValueError as prepare and
        observe_ranges do, and for an unknown target.
        """
        if target not in STEPS:
            raise ValueError(f"target: expected one of {', '.join(STEPS)}, found {target!r}")
        self.source, self.target = model, target
        self.prepared = prepare(model)
        products = find_int8_nodes(self.prepared.graph)
        self.nodes = [node.name for node in products]
        clamps = clamps_after(self.prepared.graph, set(self.nodes))
        values = [name for n in (*products, *clamps) for name in (n.input[0], n.output[0])]
        self.ranges = observe_ranges(self.prepared, list(dict.fromkeys(values)), photographs)
        self.share = SHARES[0]
        """Which of the ranges are taken, see export.calibration"""

    def quantise(self, nodes: Collection[str]) -> bytes:
        """As Quantiser.quantise; weights have a scale for each output channel."""
        chosen = set(nodes)
        chosen |= {clamp.name for clamp in clamps_after(self.prepared.graph, chosen)}
        model = ModelProto()
        model.CopyFrom(self.prepared)
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=STEPS[self.target],
            tensors_range=_as_tensors_data(self.ranges[self.share]),
            nodes_to_quantize=sorted(chosen),
            nodes_to_exclude=[],
            op_types_to_quantize=[*PRODUCTS, *CLAMPS],
            extra_options={"ActivationSymmetric": self.target == "arm"},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        return _finish(quantizer.model.model, self.source)


class DynamicQuantiser:
    """Matrix products whose activations get their range at every call.

    Convolutions stay float: with ConvInteger the convolutional preset became slower.
    """

    def __init__(self, model: bytes) -> None:
        """model: an FP32 file of `potstill export`.

        Raises ValueError as prepare does, and NoProductsError for a graph of convolutions alone.
        """
        self.source = model
        self.prepared = prepare(model)
        chosen = find_int8_nodes(self.prepared.graph)
        self.nodes = [node.name for node in chosen if node.op_type != "Conv"]
        if not self.nodes:  # onnxruntime would take none for all
            raise NoProductsError(
                "INT8: all products are convolutions, which stay float32 in dynamic INT8"
            )

    def quantise(self, nodes: Collection[str]) -> bytes:
        """As Quantiser.quantise."""
        with tempfile.TemporaryDirectory() as folder, _quiet():
            path = Path(folder) / "int8.onnx"
            quantize_dynamic(
                self.prepared,
                path,
                op_types_to_quantize=["MatMul", "Gemm"],
                nodes_to_quantize=sorted(nodes),
                per_channel=True,
            )
            return _finish(onnx.load(path), self.source)


def prepare(model: bytes) -> ModelProto:
    """The graph with constants folded and biases merged, as onnxruntime itself would do first.

    Its symbolic shape inference is left out: it fails on graphs of an open size. Raises ValueError
    for bytes that are no ONNX file, and NoProductsError for a graph without a product that INT8
    could take.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "source.onnx", Path(folder) / "prepared.onnx"
        source.write_bytes(model)
        try:
            onnx.checker.check_model(str(source))
            quant_pre_process(str(source), str(out), skip_symbolic_shape=True)
        except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"INT8: not an ONNX file that can be quantised: {reason}") from error
        prepared = onnx.load(out)
    if not find_int8_nodes(prepared.graph):
        raise NoProductsError(
            "INT8: the graph has no product with weights ahead of its output heads"
        )
    return prepared


def _as_tensors_data(ranges: Ranges) -> TensorsData:
    bounds: dict[str, TensorData | tuple[Any, ...]] = {
        name: (np.array(low), np.array(high)) for name, (low, high) in ranges.items()
    }
    return TensorsData(CalibrationMethod.MinMax, bounds)


def _finish(model: ModelProto, source: bytes) -> bytes:
    """The file's bytes, without notes of the quantiser and with the metadata of the source.

    Raises ValueError when onnxruntime skipped every node, which it does silently.
    """
    original = onnx.load_from_string(source)
    if not QUANTISED & {node.op_type for node in model.graph.node}:
        raise ValueError("INT8: onnxruntime quantised no node")
    scrub(model)
    model.metadata_props.extend(original.metadata_props)
    del model.opset_import[:]  # onnxruntime lists its own domains, although no node is of them
    model.opset_import.extend(original.opset_import)
    model.producer_name, model.producer_version = original.producer_name, original.producer_version
    return model.SerializeToString(deterministic=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without onnxruntime's advice to do what has been done: it looks for a note of its own."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

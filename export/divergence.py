"""The first value at which two forms of one graph part: where an export went wrong.

Values keep their names from the exported program to the ONNX graph, so both are run with every
value given out, on one photograph, and compared in the order in which they are computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Interpreter, Node

from export.graph import TRACED_BATCH, DeployGraph, trace_graph
from export.parity import TINY
from export.session import INPUT_NAME

DIVERGED = 1e-4
"""|difference| / range of a value inside the graph that float32 in another order does not explain;
seen are 1e-6 to 1e-5."""

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Where two forms part."""

    value: str
    """Its name in the exported program and in the ONNX graph"""
    operator: str
    module: str
    """The part of the student that computes it, such as backbone.network.blocks.1.attn"""
    difference: float
    """Largest |difference| as a share of the range; inf where the shapes differ"""

    def __str__(self) -> str:
        return (
            f"the first value that differs is {self.value} ({self.operator} in "
            f"{self.module or 'the graph'}), by {self.difference:.1e} of its range"
        )


def program_divergence(
    graph: DeployGraph, program: ExportedProgram, image: np.ndarray
) -> Divergence | None:
    """Where a program went wrong at the size of a batch: a constant of the size it was traced at.

    The same graph is traced again at that size, which makes the same values under the same names.
    """
    shape = (TRACED_BATCH, *image.shape[1:3])
    there = trace_graph(graph, shape).program
    expected, found = program_values(there, image), program_values(program, image)
    return find_divergence(there, expected, found, DIVERGED)


def onnx_divergence(
    program: ExportedProgram, model: ModelProto, image: np.ndarray
) -> Divergence | None:
    """Where an ONNX graph does not compute what the program that it was made from computes."""
    expected = program_values(program, image)
    found = onnx_values(model, image, list(expected))
    return find_divergence(program, expected, found, DIVERGED)


def find_divergence(
    program: ExportedProgram, expected: Values, found: Values, limit: float
) -> Divergence | None:
    """The first value of the program's order that differs; None where no single one does."""
    nodes = {node.name: node for node in program.graph.nodes}
    for name, value in expected.items():
        if name in found and name in nodes:
            distance = value_distance(value, found[name])
            if not distance <= limit:
                return Divergence(
                    value=name,
                    operator=str(nodes[name].target),
                    module=module_of(nodes[name]),
                    difference=distance,
                )
    return None


def value_distance(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest |difference| as a share of the range; inf for another shape, and for NaN."""
    if expected.shape != found.shape:
        return np.inf
    wide = expected.astype(np.float64)
    finite = np.isfinite(wide)
    if not finite.any():
        return 0.0
    distance = np.abs(wide - found)[finite].max()
    scale = max(np.ptp(wide[finite]), np.abs(wide[finite]).max() * 0.1, TINY)
    return float(np.nan_to_num(distance / scale, nan=np.inf))


def module_of(node: Node) -> str:
    """The innermost part of the student that a node belongs to."""
    stack: Mapping[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return paths[-1].removeprefix("L['self'].").removeprefix("student.") if paths else ""


class _Recorder(Interpreter):
    """Runs a graph node by node, and keeps what each gives."""

    def __init__(self, program: ExportedProgram):
        super().__init__(program.module(check_guards=False))
        self.values: dict[str, np.ndarray] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor) and n.op == "call_function":
            self.values[n.name] = result.detach().numpy()
        return result


def program_values(program: ExportedProgram, image: np.ndarray) -> Values:
    """Every tensor that an exported program computes for a batch, by name, in order."""
    recorder = _Recorder(program)
    with torch.no_grad():
        recorder.run(torch.from_numpy(image))
    return recorder.values


def onnx_values(model: ModelProto, image: np.ndarray, names: Sequence[str]) -> Values:
    """The values of these names that an ONNX graph computes for a batch, without optimisation."""
    watched = ModelProto()
    watched.CopyFrom(model)
    computed = {name for node in model.graph.node for name in node.output}
    chosen = [name for name in names if name in computed]
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in chosen)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = session.run(chosen, {INPUT_NAME: image})
    return {name: np.asarray(value) for name, value in zip(chosen, found)}

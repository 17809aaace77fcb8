"""The deployable graph: uint8 photographs in; metres, unit normals, class ids and confidence out.

The exported file is one ONNX graph without a sidecar, for any batch, height and width or for one
size, which says of itself what it is (metadata) and holds no path of the machine that wrote it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx import GraphProto, ModelProto
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional as F

from distill.depth_losses import SKY_M
from export.card import OPSET, output_names, sky_class
from export.half import halve
from export.session import INPUT_NAME, METADATA_KEY
from student.model import Student, deployable

TRACED_MULTIPLES = (5, 6)
"""Height and width of the traced example, in multiples, less a few pixels: square or exact sizes
would let the exporter merge dimensions that only happen to be equal."""
TRACED_BATCH = 2
"""With a batch of 1 the exporter fixes the batch, silently."""
OPEN_SHAPES = {INPUT_NAME: {0: "batch", 1: "height", 2: "width"}}


class DeployGraph(nn.Module):
    """A student wrapped so that a device has nothing left to do but to pass pixels."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student.eval()
        self.tasks = student.config.tasks
        self.multiple_px = student.multiple_px
        self.sky_id = sky_class(student.config)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(N, H, W, 3) uint8 sRGB -> the outputs of each task, at the size of the image.

        depth_m (N, H, W) float32, inf where the class is sky and the depth 100 m or more; normal
        (N, H, W, 3) float32; segment (N, H, W) uint8; confidence (N, H, W, T) float32 0..1, in
        the order of the tasks.
        """
        height, width = image.shape[1], image.shape[2]
        pixels = image.float().permute(0, 3, 1, 2) / 255
        predicted = self.student(resize(pixels, self._up(height), self._up(width)))
        outputs = {
            name: FINISH[name](predicted[name], height, width)
            for name in (*self.tasks, "confidence")
        }
        if self.sky_id is not None:
            is_sky = (outputs["segment"] == self.sky_id) & (outputs["depth"] >= SKY_M)
            outputs["depth"] = outputs["depth"].masked_fill(is_sky, torch.inf)
        if "segment" in outputs:
            outputs["segment"] = outputs["segment"].to(torch.uint8)
        return tuple(outputs.values())

    def _up(self, length: int) -> int:
        """The next multiple that the student takes."""
        return (length + self.multiple_px - 1) // self.multiple_px * self.multiple_px


def resize(planes: Tensor, height: int, width: int) -> Tensor:
    """(N, C, h, w) -> (N, C, height, width). Antialiasing and cubic kernels differ by runtime.

    What has that size already passes as it is, so that a graph of one size holds no Resize for it;
    of a size that is open (a SymInt) nobody can tell.
    """
    if isinstance(height, int) and tuple(planes.shape[-2:]) == (height, width):
        return planes
    return F.interpolate(planes, size=(height, width), mode="bilinear", align_corners=False)


def finish_depth(depth: Tensor, height: int, width: int) -> Tensor:
    """(N, h, w) -> depth_m (N, H, W)."""
    return resize(depth[:, None], height, width)[:, 0]


def finish_normal(normal: Tensor, height: int, width: int) -> Tensor:
    """(N, 3, h, w) -> normal (N, H, W, 3), each that of the nearest pixel.

    A blend of vectors that oppose each other is almost zero, and its direction is rounding error.
    """
    rows, columns = nearest(normal.shape[2], height), nearest(normal.shape[3], width)
    return normal.index_select(2, rows).index_select(3, columns).permute(0, 2, 3, 1)


def nearest(before: int, after: int) -> Tensor:
    """(after,) int64: the index of the nearest of `before` pixels, in whole numbers, so that every
    runtime picks the same one."""
    return (2 * torch.arange(after) + 1) * before // (2 * after)


def finish_segment(logits: Tensor, height: int, width: int) -> Tensor:
    """(N, C, h, w) -> class ids (N, H, W); the logits would be 4 C times as large."""
    return resize(logits, height, width).argmax(dim=1)


def finish_confidence(confidence: Tensor, height: int, width: int) -> Tensor:
    """(N, T, h, w) -> confidence (N, H, W, T)."""
    return resize(confidence, height, width).permute(0, 2, 3, 1)


FINISH = {
    "depth": finish_depth,
    "normal": finish_normal,
    "segment": finish_segment,
    "confidence": finish_confidence,
}


def trace_student(
    student: Student, *, size_px: tuple[int, int] | None = None, half: bool = False
) -> ModelProto:
    """The student as an ONNX graph without metadata.

    size_px: height and width of a graph for one photograph of one size; otherwise batch, height
    and width are open. half: in float16, for GPUs.
    Raises ValueError for more classes than a uint8 can name, and for a backbone that PyTorch cannot
    export.
    """
    deployed = deployable(student)
    graph = DeployGraph(halve(deployed) if half else deployed)
    traced = trace_graph(graph, (1, *size_px), fixed=True) if size_px else trace_graph(graph)
    return traced.model


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A graph in two further forms."""

    program: ExportedProgram
    """Runs in PyTorch"""
    model: ModelProto
    """ONNX, without metadata"""

    def unchecked(self) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """The program as a function like DeployGraph.forward.

        It goes past the program's checks, which refuse what the tracer took for granted, such as
        more than one patch in height: whether it is right there is measured.
        """
        return self.program.module(check_guards=False).forward


def trace_graph(
    graph: DeployGraph, shape: tuple[int, int, int] | None = None, *, fixed: bool = False
) -> Traced:
    """Export a graph; errors as those of trace_student.

    shape: batch, height and width of the traced example; fixed: and of everything that it will
    ever take.
    """
    config = graph.student.config
    if len(config.classes) > 255:
        raise ValueError(
            f"student: {len(config.classes)} classes, an exported graph names at most 255"
        )
    height, width = (count * graph.multiple_px - 3 for count in TRACED_MULTIPLES)
    example = torch.zeros(*(shape or (TRACED_BATCH, height, width)), 3, dtype=torch.uint8)
    try:
        program = torch.onnx.export(
            graph.eval(),
            (example,),
            input_names=[INPUT_NAME],
            output_names=output_names(config.tasks),
            dynamic_shapes=None if fixed else OPEN_SHAPES,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ValueError(f"backbone {config.backbone}: cannot export it: {reason}") from error
    assert program is not None
    assert program.exported_program is not None
    return Traced(program=program.exported_program, model=scrub(program.model_proto))


def scrub(model: ModelProto) -> ModelProto:
    """Remove, in place, what the exporter notes down: stack traces with paths, and origins.

    Shapes of intermediate values go with them; every runtime infers them anew.
    """
    model.doc_string = ""
    del model.metadata_props[:]
    _scrub_graph(model.graph)
    return model


def _scrub_graph(graph: GraphProto) -> None:
    del graph.value_info[:]
    notes = (graph, *graph.node, *graph.initializer, *graph.input, *graph.output)
    for element in notes:
        element.ClearField("doc_string")
        element.ClearField("metadata_props")
    for node in graph.node:
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
            if attribute.type == onnx.AttributeProto.GRAPH:
                _scrub_graph(attribute.g)


def serialise(model: ModelProto, metadata: Mapping[str, Any]) -> bytes:
    """The file's bytes: the same for the same student, versions and metadata."""
    text = json.dumps(metadata, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    return model.SerializeToString(deterministic=True)

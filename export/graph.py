"""The deployable graph: uint8 photographs in; metres, unit normals, class ids and confidence out.

The exported file is one ONNX graph without a sidecar, for any batch, height and width, which says
of itself what it is (metadata), holds no path of the machine that wrote it, and is written only
after it was seen to agree with PyTorch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import GraphProto, ModelProto
from torch import Tensor, nn
from torch.nn import functional as F

from export.card import describe, output_names
from export.parity import ParityReport, check_parity, load_photographs
from export.session import INPUT_NAME, METADATA_KEY, Predictor
from student import Student, load_student
from teacher.atomic import write_atomically
from teacher.provenance import sha256_file, write_run

OPSET = 20
"""LayerNormalization and Gelu are operators of their own, and every runtime of today reads it."""

TRACED_MULTIPLES = (5, 6)
"""Height and width of the traced example, in multiples, less a few pixels: square or exact sizes
would let the exporter merge dimensions that only happen to be equal."""
TRACED_BATCH = 2
"""With a batch of 1 the exporter fixes the batch, silently."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a trained student as ONNX, and check the file against PyTorch."""

    student: Path
    """Folder of `potstill train` (student.safetensors, student.json)."""
    out: Path
    """Folder for student_fp32.onnx."""
    images: Path | None = None
    """Photographs to check the file with: image shards or a folder of image files. Without it,
    rendered scenes are taken."""
    force: bool = False
    """Write the file even if it does not agree with PyTorch; its metadata then says so."""


class DeployGraph(nn.Module):
    """A student wrapped so that a device has nothing left to do but to pass pixels."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student
        self.multiple_px = student.multiple_px

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(N, H, W, 3) uint8 sRGB -> the outputs of each task, at the size of the image.

        depth_m (N, H, W) float32; normal (N, H, W, 3) float32; segment (N, H, W) uint8;
        confidence (N, H, W) float32, the softmax probability of the chosen class.
        """
        height, width = image.shape[1], image.shape[2]
        pixels = image.permute(0, 3, 1, 2).float() / 255
        predicted = self.student(resize(pixels, self._up(height), self._up(width)))
        outputs: list[Tensor] = []
        for task, plane in predicted.items():
            outputs += FINISH[task](plane, height, width)
        return tuple(outputs)

    def _up(self, length: int) -> int:
        """The next multiple that the student takes."""
        return (length + self.multiple_px - 1) // self.multiple_px * self.multiple_px


def resize(planes: Tensor, height: int, width: int) -> Tensor:
    """(N, C, h, w) -> (N, C, height, width). Antialiasing and cubic kernels differ by runtime."""
    return F.interpolate(planes, size=(height, width), mode="bilinear", align_corners=False)


def finish_depth(depth: Tensor, height: int, width: int) -> tuple[Tensor]:
    """(N, h, w) -> depth_m (N, H, W)."""
    return (resize(depth[:, None], height, width)[:, 0],)


def finish_normal(normal: Tensor, height: int, width: int) -> tuple[Tensor]:
    """(N, 3, h, w) -> normal (N, H, W, 3): a blend of unit vectors is shorter than one."""
    return (F.normalize(resize(normal, height, width), dim=1, eps=1e-6).permute(0, 2, 3, 1),)


def finish_segment(logits: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(N, C, h, w) -> segment (N, H, W) uint8, confidence; logits would be C times as large."""
    logits = resize(logits, height, width)
    return logits.argmax(dim=1).to(torch.uint8), logits.softmax(dim=1).amax(dim=1)


FINISH = {"depth": finish_depth, "normal": finish_normal, "segment": finish_segment}


def trace_student(student: Student) -> ModelProto:
    """The student as an ONNX graph for any batch, height and width, without metadata.

    Raises ValueError for more classes than a uint8 can name, and for a backbone that PyTorch
    cannot export.
    """
    if len(student.config.classes) > 255:
        raise ValueError(
            f"student: {len(student.config.classes)} classes, an exported graph names at most 255"
        )
    height, width = (count * student.multiple_px - 3 for count in TRACED_MULTIPLES)
    example = torch.zeros(TRACED_BATCH, height, width, 3, dtype=torch.uint8)
    try:
        program = torch.onnx.export(
            DeployGraph(student).eval(),
            (example,),
            input_names=[INPUT_NAME],
            output_names=output_names(student.config.tasks),
            dynamic_shapes={INPUT_NAME: {0: "batch", 1: "height", 2: "width"}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ValueError(
            f"backbone {student.config.backbone}: cannot export it: {reason}"
        ) from error
    if program is None:
        raise ValueError("student: torch.onnx.export returned no program")
    return scrub(program.model_proto)


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


def export_student(config: ExportConfig) -> tuple[Path, ParityReport]:
    """Write `out`/student_fp32.onnx and run.json; returns its path and how well it agrees.

    Raises ValueError when the file does not agree with PyTorch (then none is left behind, unless
    `force`), and as load_student and load_photographs do.
    """
    student = load_student(config.student)
    photographs = load_photographs(config.images)
    model = trace_student(student)
    metadata = {"precision": "fp32", "opset": OPSET, **describe(student, config.student)}
    config.out.mkdir(parents=True, exist_ok=True)
    path = config.out / "student_fp32.onnx"
    unchecked = serialise(model, metadata)
    report = check_parity(DeployGraph(student).eval(), Predictor(unchecked), photographs)
    if not config.force:
        report.require_passed(path)
    write_atomically(path, serialise(model, {**metadata, "parity": report.summary()}))
    write_run(config.out, config, parity=report.summary(), sha256=sha256_file(path))
    return path, report

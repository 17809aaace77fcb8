"""Files that are not written yet: a graph, and what it will say of itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx import ModelProto

from export.card import describe_file
from export.graph import serialise, trace_student
from export.ladder import Step, run_onnx
from export.pictures import Picture, pictures_sha256
from export.quantise import CALIBRATED, make_int8
from export.quantiser import NoProductsError
from export.rung import Rung
from export.session import Predictor
from student.model import Student, StudentConfig
from teacher.cores import usable_cores

GPU_PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A file before it was judged."""

    model: ModelProto
    metadata: Mapping[str, Any]
    """All but the parity"""

    @property
    def name(self) -> str:
        """Of the labeller: onnx_fp32, onnx_fp32_480x640."""
        size_px = self.metadata["size_px"]
        fixed = f"_{size_px[0]}x{size_px[1]}" if size_px else ""
        return f"onnx_{self.metadata['precision']}{fixed}"

    def unjudged(self) -> bytes:
        """The file's bytes, without what was found of it."""
        return serialise(self.model, self.metadata)

    def step(self) -> Step:
        """The file as a step of the ladder, run by onnxruntime on the CPU."""
        return Step(
            name=self.name,
            run=run_onnx(Predictor(self.unjudged(), threads=usable_cores())),
            precision=self.metadata["precision"],
            size_px=self.metadata["size_px"],
        )

    def gpu_steps(self) -> Iterator[Step]:
        """The file as steps run by each GPU runtime that starts on this machine."""
        precision = self.metadata["precision"]
        for name, provider in GPU_PROVIDERS.items() if torch.cuda.is_available() else ():
            try:
                predictor = Predictor(self.unjudged(), providers=(provider,))
            except ValueError:  # not installed
                continue
            yield Step(
                name=f"{self.name}_{name}",
                run=run_onnx(predictor),
                precision="tf32" if precision == "fp32" else precision,
                size_px=self.metadata["size_px"],
            )

    def data(self, rung: Rung) -> bytes:
        """The file's bytes, with what was found of it."""
        return serialise(self.model, {**self.metadata, "parity": rung.summary()})


def file_name(name: str) -> str:
    """Of a labeller's file: onnx_fp32_480x640 -> student_fp32_480x640.onnx"""
    return f"student_{name.removeprefix('onnx_')}.onnx"


def draft(
    student: Student, facts: Mapping[str, Any], precision: str, size_px: tuple[int, int] | None
) -> Draft:
    """Trace a student in float32 or float16. facts: of export.card.describe."""
    model = trace_student(student, size_px=size_px, half=precision == "fp16")
    return Draft(model=model, metadata={**facts, **describe_file(precision, size_px)})


def draft_int8(
    source: Draft, pictures: Sequence[Picture], config: StudentConfig, precision: str
) -> tuple[Draft | None, str]:
    """Quantise a float32 draft (int8, int8_dynamic); or None, and why it does not ship."""
    dynamic = precision == "int8_dynamic"
    try:
        data, verdict = make_int8(
            source.unjudged(), pictures, config, dynamic=dynamic, threads=usable_cores()
        )
    except NoProductsError as error:
        return None, str(error)
    if data is None:
        return None, verdict.reason
    digest = None if dynamic else pictures_sha256(pictures[::CALIBRATED])
    facts = describe_file(precision, source.metadata["size_px"], digest)
    metadata = {**source.metadata, **facts, "quantisation": verdict.reason}
    return Draft(model=onnx.load_from_string(data), metadata=metadata), verdict.reason

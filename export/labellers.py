"""Everything that maps photographs to labels, found by its path: teacher, student or ONNX file.

PyTorch is imported only for what needs it: the process that times an ONNX file shall not carry it.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from distill.metrics import Prediction
from export.session import CPU_ONLY, Predictor
from export.session import Prediction as DevicePrediction
from teacher.model_folder import is_model_folder
from teacher.provenance import sha256_file
from teacher.sample import TASKS, resize_photograph

if TYPE_CHECKING:
    from distill.labellers import Labeller

CACHED_INSTRUCTIONS = "instructions.safetensors"
"""Embeddings of a teacher's instructions: inputs, not parameters."""


class OnnxLabeller:
    """An exported student behind the interface that teachers and checkpoints have."""

    def __init__(self, path: Path, *, threads: int | None = None, device: str = "cpu"):
        self.name = path.stem
        providers = CPU_ONLY if device == "cpu" else "auto"
        self.predictor = Predictor(path, threads=threads, providers=providers)
        trained_px = self.predictor.metadata["trained_px"]
        self.height_px, self.width_px = self.predictor.size_px or trained_px

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        """As Labeller.predict, at the size that the student was trained on, as a student does.

        A file for one size predicts at that one, one photograph at a time.
        """
        fitted = [resize_photograph(p, self.height_px, self.width_px) for p in photographs]
        if self.predictor.size_px:
            return [self._row(self.predictor(photograph)) for photograph in fitted]
        found = self.predictor(np.stack(fitted))
        return [self._row(found[row]) for row in range(len(fitted))]

    def _row(self, found: DevicePrediction) -> Prediction:
        metric = self.predictor.metadata["depth_kind"] == "metric"
        return Prediction(
            depth_m=found.depth_m if metric else None,
            affine_depth=None if metric else found.depth_m,
            normal=found.normal,
            segment=found.segment,
            classes=found.classes,
            confidence=_all_tasks(found.confidence, found.tasks),
        )


def _all_tasks(stated: np.ndarray | None, tasks: Sequence[str]) -> np.ndarray | None:
    """(H, W, T) in the order of a file's tasks -> (H, W, 3) in the order of TASKS."""
    if stated is None:
        return None
    full = np.zeros((*stated.shape[:2], len(TASKS)), np.float32)
    full[..., [TASKS.index(task) for task in tasks]] = stated
    return full


def load_labeller(
    path: Path,
    *,
    threads: int | None = None,
    device: str = "cpu",
    tasks: Sequence[str] = TASKS,
    votes: int = 1,
    steps: int | None = None,
    lora: Path | None = None,
) -> "Labeller":
    """Open a teacher folder, a student folder or an ONNX file; the errors of each pass through.

    threads: CPU threads for an operator; of PyTorch's labellers, those of the whole process. The
    others: see distill.labellers.load_labeller; steps and lora are a teacher's.
    """
    if path.suffix == ".onnx":
        if steps is not None or lora is not None:
            raise ValueError(f"{path} is an ONNX file, which takes neither --steps nor --lora")
        return OnnxLabeller(path, threads=threads, device=device)
    import torch

    from distill.labellers import load_labeller as load_torch_labeller

    if threads is not None:
        torch.set_num_threads(threads)
    return load_torch_labeller(path, device, tasks, votes, steps=steps, lora=lora)


def weight_files(path: Path) -> list[Path]:
    """The files that hold a labeller's weights: the ONNX file, a student's, or a teacher's parts.

    What else a student's training left in its folder, such as checkpoints, is not counted.
    """
    if path.suffix == ".onnx":
        return [path]
    if (student := path / "student.safetensors").is_file():
        return [student]
    return [p for p in sorted(path.rglob("*.safetensors")) if p.name != CACHED_INSTRUCTIONS]


def size_bytes(path: Path) -> int:
    """Bytes on disk of a labeller's weights."""
    return sum(file.stat().st_size for file in weight_files(path))


def count_parameters(path: Path) -> int:
    """Numbers in a labeller's weights, read from the files' headers."""
    if path.suffix == ".onnx":
        return _onnx_parameters(path)
    return sum(_safetensors_parameters(file) for file in weight_files(path))


def _safetensors_parameters(path: Path) -> int:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as tensors:
        names = list(tensors.keys())
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)


def _onnx_parameters(path: Path) -> int:
    """Floating-point numbers among the initialisers; shapes and indices are no parameters."""
    import onnx

    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    return sum(math.prod(t.dims) for t in tensors if t.data_type in floats)


def weights_sha256(path: Path) -> str:
    """Which weights these are: the file's digest, or that of a teacher's card."""
    if not is_model_folder(path):
        return sha256_file(weight_files(path)[0])
    from teacher.painters import open_teacher

    return open_teacher(path).card.weights_sha256

"""Labellers: everything that maps photographs to predictions, behind one interface.

A teacher, a student, an exported model: the others stand in export/labellers.py.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from distill.depth_losses import SKY_M
from distill.metrics import Prediction
from distill.slices import SKY
from student.model import Student, load_student
from teacher.labeller import Labeller as JobLabeller
from teacher.labeller import LabelPlanes, build_labeller
from teacher.model_folder import is_model_folder
from teacher.painters import open_teacher
from teacher.sample import TASKS, resize_nearest, resize_photograph


class Labeller(Protocol):
    """Everything that maps photographs to labels."""

    @property
    def name(self) -> str: ...

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        """Label photographs (B, H, W, 3) uint8 sRGB; predictions may have another size."""
        ...


class StudentLabeller:
    """A student, run in float32 at the size that it was trained on."""

    def __init__(self, student: Student, name: str = "student") -> None:
        self.student = student.eval()
        self.name = name

    @torch.inference_mode()
    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        """As Labeller.predict; photographs are resized to the student's size."""
        fitted = [resize_photograph(p, *self.student.config.image_size) for p in photographs]
        images = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 255
        outputs = self.student(images.to(self.student.mean.device))
        return read_outputs(outputs, self.student)


class PainterLabeller:
    """A teacher; the seed of a painting follows from the photograph's pixels."""

    def __init__(self, teacher: JobLabeller, name: str = "teacher") -> None:
        self.teacher = teacher
        self.name = name

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        """As Labeller.predict, at the teacher's size."""
        fitted = [self.teacher.fit(photograph) for photograph in photographs]
        painted = self.teacher.paint(fitted, [_pixel_seed(p) for p in photographs])
        return [_prediction(self.teacher.read(item)) for item in painted]


def _prediction(labels: LabelPlanes) -> Prediction:
    metric = labels.depth_kind == "metric"
    return Prediction(
        depth_m=labels.depth_m if metric else None,
        affine_depth=None if metric else labels.depth_m,
        normal=labels.normal,
        segment=labels.segment,
        classes=labels.classes,
        confidence=labels.confidence.astype(np.float32) / 255,
    )


def _pixel_seed(photograph: np.ndarray) -> int:
    return int.from_bytes(hashlib.sha256(photograph.tobytes()).digest()[:8], "big")


def read_outputs(outputs: Mapping[str, Tensor], student: Student) -> list[Prediction]:
    """The outputs of a student for a batch as predictions.

    Metric depth is inf, as labels say sky, where the class "sky" wins and the depth is 100 m or
    more: the class alone calls pixels at the border of far things sky, and each would count as an
    error of a kilometre.
    """
    config = student.config
    metric = config.depth_kind == "metric"
    arrays: dict[str, np.ndarray] = {}
    if "normal" in outputs:
        arrays["normal"] = outputs["normal"].float().permute(0, 2, 3, 1).cpu().numpy()
    if "segment" in outputs:
        arrays["segment"] = outputs["segment"].argmax(1).cpu().numpy()
    if "depth" in outputs:
        depth = outputs["depth"].float().cpu().numpy()
        if metric and SKY in config.classes and "segment" in arrays:
            is_sky = (arrays["segment"] == config.classes.index(SKY)) & (depth >= SKY_M)
            depth = np.where(is_sky, np.inf, depth)
        arrays["depth_m" if metric else "affine_depth"] = depth.astype(np.float32)
    if "confidence" in outputs:
        arrays["confidence"] = _confidence(outputs["confidence"], config.tasks)
    count = len(next(iter(outputs.values())))
    return [
        Prediction(**{k: v[i] for k, v in arrays.items()}, classes=config.classes)
        for i in range(count)
    ]


def _confidence(stated: Tensor, tasks: Sequence[str]) -> np.ndarray:
    """(B, T, h, w) in the order of a student's tasks -> (B, h, w, 3) in the order of TASKS."""
    full = stated.new_zeros(len(stated), len(TASKS), *stated.shape[2:], dtype=torch.float32)
    full[:, [TASKS.index(task) for task in tasks]] = stated.float()
    return full.permute(0, 2, 3, 1).cpu().numpy()


def load_labeller(
    path: Path,
    device: str = "cpu",
    tasks: Sequence[str] = TASKS,
    votes: int = 1,
    *,
    steps: int | None = None,
    lora: Path | None = None,
) -> Labeller:
    """The teacher or student in a folder; a teacher merges so many paintings of a photograph.

    steps, lora: of a teacher, see teacher.painters.open_teacher.

    Raises ValueError when the folder holds neither, and what load_painter and load_student raise.
    """
    if (path / "student.json").is_file():
        if steps is not None or lora is not None:
            raise ValueError(f"{path} is a student, which takes neither --steps nor --lora")
        return StudentLabeller(load_student(path, device), path.name)
    if is_model_folder(path) or str(path) == "embedded":
        teacher = open_teacher(path, steps=steps, lora=lora)
        known = [task for task in tasks if task in teacher.card.tasks]
        labeller = build_labeller(teacher, known or tasks, votes, device=device)
        return PainterLabeller(labeller, path.name)
    raise ValueError(
        f"{path}: expected the folder of a student (student.json) or of a teacher "
        "(model_index.json, or config.json of a network of transformers), found neither; exported "
        "students are .onnx files"
    )


def resize_prediction(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    """A prediction at another (height, width): the nearest pixels, so that no surfaces blend."""
    planes = ("depth_m", "affine_depth", "normal", "segment", "confidence")
    found = {name: getattr(prediction, name) for name in planes}
    return replace(
        prediction,
        **{name: resize_nearest(p, *size) for name, p in found.items() if p is not None},
    )

"""Teacher against exported student, per photograph, timed in one run on one thread each."""

import numpy as np
import pytest
import torch

from export.session import Predictor
from export.ship import ship
from export.ship_config import ExportConfig
from student.model import StudentConfig, build_student, save_student
from teacher.label import TeacherLabeller
from teacher.painters import EMBEDDED, load_painter
from teacher.scenes.objects import CLASSES


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)


def test_teacher(benchmark, photograph):
    torch.set_num_threads(1)
    teacher = TeacherLabeller(load_painter(str(EMBEDDED)))
    benchmark.pedantic(teacher.label, ([photograph], [0]), rounds=20, warmup_rounds=2)


def test_student(benchmark, photograph, tmp_path):
    student = save_student(build_student(StudentConfig(classes=CLASSES)), tmp_path / "student")
    config = ExportConfig(student=student, out=tmp_path / "export", force=True)
    predictor = Predictor(ship(config).files["onnx_fp32"], threads=1)
    benchmark.pedantic(predictor, (photograph,), rounds=200, warmup_rounds=5)

"""The student: a small, fast network that predicts depth, normals and segmentation in one pass."""

from student.model import (
    Student,
    StudentConfig,
    build_student,
    deployable,
    load_student,
    save_student,
)
from student.open_vocabulary import embed_names, save_embeddings, with_classes
from student.presets import PRESETS

__all__ = [
    "PRESETS",
    "Student",
    "StudentConfig",
    "build_student",
    "deployable",
    "embed_names",
    "load_student",
    "save_embeddings",
    "save_student",
    "with_classes",
]

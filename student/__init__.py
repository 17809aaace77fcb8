"""The student: a small, fast network that predicts depth, normals and segmentation in one pass."""

from student.model import Student, StudentConfig, build_student, load_student, save_student

__all__ = ["Student", "StudentConfig", "build_student", "load_student", "save_student"]

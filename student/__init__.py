"""The student: a small, fast network that predicts depth, normals and segmentation in one pass."""

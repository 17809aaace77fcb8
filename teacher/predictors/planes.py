"""From what a decoder painted to planes of depth and normals."""

import numpy as np
from torch import Tensor

from teacher.predictors.disparity import disparity_to_depth
from teacher.predictors.protocol import Predicted


def depth_rows(values: Tensor, at_infinity: float | None = None) -> list[Predicted]:
    """Affine depth (B, H, W), 0 near to 1 far; with `at_infinity` it is disparity instead."""
    rows = values.float().cpu().numpy()
    if at_infinity is None:
        return [Predicted(depth=row) for row in rows]
    return [Predicted(depth=disparity_to_depth(row, at_infinity)) for row in rows]


def normal_rows(vectors: Tensor, axes: tuple[int, int, int] = (1, 1, 1)) -> list[Predicted]:
    """Vectors (B, 3, H, W) of any length, in other axes than ours where a sign is -1.

    What has no direction becomes (0, 0, 0), unknown.
    """
    rows = vectors.float().movedim(1, -1).cpu().numpy() * np.array(axes, np.float32)  # (B, H, W, 3)
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    units = np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-6)
    return [Predicted(normal=row) for row in units]

"""Depth Anything, DPT, GLPN, ZoeDepth, Depth Pro: transformers' models for depth estimation.

Where a network takes any size, it sees the photograph as it is. DPT's own vision transformer and
Depth Pro take squares of one size alone and were trained on stretched pictures: they see such a
square, and their depth is stretched back.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad
from transformers import AutoModelForDepthEstimation

from teacher.model_folder import read_json
from teacher.painters.runtime import Runtime
from teacher.predictors.card import PredictorCard
from teacher.predictors.disparity import disparity_at_infinity, disparity_to_depth
from teacher.predictors.image_processor import ImageProcessor, read_image_processor
from teacher.predictors.network import open_network, resized, stretched, to_pixel_values
from teacher.predictors.protocol import Predicted
from teacher.predictors.reference_facts import predicted_kind, sees_squares

NEAREST_INVERSE, FARTHEST_INVERSE = 1e4, 1e-4
"""Depth Pro's inverse depth counts within these, 1 / m; the far end is where it sees no end."""


class DepthEstimationPredictor:
    """Any model that AutoModelForDepthEstimation opens and that answers for the whole picture."""

    def __init__(self, folder: Path, card: PredictorCard, runtime: Runtime) -> None:
        self.card = card
        self.processor = read_image_processor(folder)
        self.network = open_network(AutoModelForDepthEstimation, folder, runtime)
        self._estimate = _estimator(folder)
        self._as_labelled = _reader(folder)

    @torch.inference_mode()
    def predict(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> list[Predicted]:
        """See Predictor.predict."""
        pixels = to_pixel_values(photographs, self.processor, self.network)
        output = self._estimate(self.network, pixels, self.processor).float().cpu().numpy()
        return [Predicted(depth=self._as_labelled(row)) for row in output]


Estimator = Callable[[Any, Tensor, ImageProcessor], Tensor]
"""network, its input (B, 3, H, W) and the processor -> what it says, (B, H, W)"""


def _estimator(folder: Path) -> Estimator:
    config = read_json(folder / "config.json")
    special: dict[Any, Estimator] = {"zoedepth": _with_border, "depth_pro": _depth_pro}
    return special.get(config.get("model_type"), _in_squares if sees_squares(config) else _whole)


def _whole(network: Any, pixels: Tensor, processor: ImageProcessor) -> Tensor:
    """The picture as it is."""
    return _at_size(network(pixel_values=pixels).predicted_depth, pixels)


def _in_squares(network: Any, pixels: Tensor, processor: ImageProcessor) -> Tensor:
    """The picture stretched to the square that the vision transformer takes."""
    side_px = network.config.image_size
    squares = stretched(pixels, (side_px, side_px))
    return _at_size(network(pixel_values=squares).predicted_depth, pixels)


def _with_border(network: Any, pixels: Tensor, processor: ImageProcessor) -> Tensor:
    """ZoeDepth sees a mirrored border around the picture, for it errs at the edges."""
    height_px, width_px = pixels.shape[-2:]
    if not processor.pads:
        return _whole(network, pixels, processor)
    above, left = (int(3 * (side / 2) ** 0.5) for side in (height_px, width_px))
    bordered = pad(pixels, (left, left, above, above), mode="reflect")
    seen = interpolate(bordered, (height_px, width_px), mode="bilinear", align_corners=True)
    depth = _at_size(network(pixel_values=seen).predicted_depth, bordered)
    return depth[:, above:-above, left:-left]


def _depth_pro(network: Any, pixels: Tensor, processor: ImageProcessor) -> Tensor:
    """Metres from Depth Pro's inverse depth, which is that of a camera as wide as its distance.

    Without an estimate of the field of view that camera is all there is: depth up to scale.
    """
    side_px = _depth_pro_side_px(network.config)
    output = network(pixel_values=stretched(pixels, (side_px, side_px)))
    inverse = output.predicted_depth.float()
    if output.field_of_view is not None:
        half = torch.deg2rad(output.field_of_view.float()) / 2
        inverse = inverse * (2 * torch.tan(half))[:, None, None]
    inverse = resized(inverse[:, None], _size(pixels))[:, 0]
    depth_m = 1 / inverse.clamp(FARTHEST_INVERSE, NEAREST_INVERSE)
    return torch.where(inverse > FARTHEST_INVERSE, depth_m, torch.inf)


def _depth_pro_side_px(config: Any) -> int:
    """The square whose smallest copy is one patch."""
    return round(config.patch_size / min(config.scaled_images_ratios))


def _at_size(planes: Tensor, pixels: Tensor) -> Tensor:
    """(B, h, w) at the size of the pictures, as transformers' own post-processing has it."""
    return resized(planes[:, None], _size(pixels), "bicubic")[:, 0]


def _size(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[-2], pixels.shape[-1]


Reader = Callable[[np.ndarray], np.ndarray]
"""What the network says of one photograph (H, W) -> depth as labels hold it."""


def _reader(folder: Path) -> Reader:
    kind = predicted_kind(folder)
    if kind == "metric":
        return _known_metres
    if kind == "affine":
        return _in_unit_range
    at_infinity = disparity_at_infinity(folder)
    return lambda disparity: disparity_to_depth(disparity, at_infinity)


def _known_metres(depth_m: np.ndarray) -> np.ndarray:
    """No thing is at 0 m or behind the camera: that is unknown."""
    return np.where(depth_m <= 0, np.float32(np.nan), depth_m)


def _in_unit_range(depth: np.ndarray) -> np.ndarray:
    """Depth up to scale and shift: 0 at the nearest point of the photograph, 1 at the farthest."""
    known = np.isfinite(depth)
    nearest = np.min(depth, where=known, initial=np.inf)
    farthest = np.max(depth, where=known, initial=-np.inf)
    return (depth - nearest) / max(farthest - nearest, np.finfo(np.float32).tiny)

"""SegFormer, Mask2Former and EoMT: transformers' models for semantic segmentation."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForSemanticSegmentation, AutoModelForUniversalSegmentation

from teacher.painters.runtime import Runtime
from teacher.predictors.card import PredictorCard
from teacher.predictors.image_processor import read_image_processor
from teacher.predictors.network import open_network, resized, to_pixel_values
from teacher.predictors.protocol import Predicted
from teacher.predictors.reference_facts import class_groups
from teacher.sample import class_dtype

Scores = Callable[[Any, Tensor], Iterator[Tensor]]
"""network and its input (B, 3, H, W) -> for each picture, scores of its classes (C, H, W), 0..1"""


class SemanticPredictor:
    """Classes by their scores; the score of a pixel's class is its certainty.

    Scores of a softmax, or of masks: these need not sum to 1, and are low where no mask is sure.
    """

    def __init__(self, folder: Path, card: PredictorCard, runtime: Runtime) -> None:
        opener, self._scores = NETWORKS[card.layout]
        self.card = card
        self.processor = read_image_processor(folder)
        self.network = open_network(opener, folder, runtime)
        self._groups = _with_rest(list(class_groups(folder).values()), self.network)

    @torch.inference_mode()
    def predict(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> list[Predicted]:
        """See Predictor.predict."""
        pixels = to_pixel_values(photographs, self.processor, self.network)
        return [self._read(scores) for scores in self._scores(self.network, pixels)]

    def _read(self, scores: Tensor) -> Predicted:
        """The class with the best score; "ignore" where that is none of the card's classes."""
        sure, ids = torch.stack([scores[group].sum(dim=0) for group in self._groups]).max(dim=0)
        dtype = class_dtype(len(self.card.classes))
        ids[ids == len(self.card.classes)] = np.iinfo(dtype).max
        return Predicted(
            segment=ids.cpu().numpy().astype(dtype),
            certainty={"segment": sure.clamp(0, 1).cpu().numpy()},
        )


def _with_rest(groups: list[list[int]], network: Any) -> list[list[int]]:
    """The groups, and one more of the network's classes that are in none, if there are any."""
    taken = {index for group in groups for index in group}
    rest = [index for index in range(network.config.num_labels) if index not in taken]
    return [*groups, rest] if rest else groups


def _of_pixels(network: Any, pixels: Tensor) -> Iterator[Tensor]:
    """A network with one score for each class and pixel, at a coarser size.

    Picture by picture: at full size, 150 classes take 600 bytes a pixel.
    """
    size = pixels.shape[-2], pixels.shape[-1]
    for logits in network(pixel_values=pixels).logits:
        yield resized(logits[None], size)[0].softmax(dim=0)


def _of_masks(network: Any, pixels: Tensor) -> Iterator[Tensor]:
    """A network with masks, and a class for each of them, which may be none."""
    size = pixels.shape[-2], pixels.shape[-1]
    output = network(pixel_values=pixels)
    classes = output.class_queries_logits.float().softmax(dim=-1)[..., :-1]
    for masks, row in zip(output.masks_queries_logits, classes, strict=True):
        yield torch.einsum("qc,qhw->chw", row, resized(masks[None], size)[0].sigmoid())


def _of_windows(network: Any, pixels: Tensor) -> Iterator[Tensor]:
    """EoMT takes squares of one size: overlapping ones along the long side, and their mean."""
    side, size = network.config.image_size, pixels.shape[-2:]
    along = -2 if size[0] > size[1] else -1
    starts = window_starts(max(size), side)
    windows = torch.cat([pixels.narrow(along, start, side) for start in starts])
    scores = list(_of_masks(network, windows))  # of all pictures in the first window, then the next
    for row in range(len(pixels)):
        total = scores[row].new_zeros(len(scores[row]), *size)
        count = scores[row].new_zeros(size)
        for start, window in zip(starts, scores[row :: len(pixels)], strict=True):
            total.narrow(along, start, side).add_(window)
            count.narrow(along, start, side).add_(1)
        yield total / count


def window_starts(long_px: int, side_px: int) -> list[int]:
    """Where the fewest squares begin that cover a side evenly; as transformers places them."""
    count = ceil(long_px / side_px)
    overlap = (count * side_px - long_px) / (count - 1) if count > 1 else 0
    return [int(index * (side_px - overlap)) for index in range(count)]


NETWORKS: dict[str, tuple[Any, Scores]] = {
    "SegformerForSemanticSegmentation": (AutoModelForSemanticSegmentation, _of_pixels),
    "Mask2FormerForUniversalSegmentation": (AutoModelForUniversalSegmentation, _of_masks),
    "EomtForUniversalSegmentation": (AutoModelForUniversalSegmentation, _of_windows),
}
"""Class of the model -> how it is opened, and how its classes are scored."""

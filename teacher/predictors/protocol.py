"""Predictors: networks that answer with planes, where a painter answers with a painting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from teacher.predictors.card import PredictorCard


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """What a network says of one photograph, at the photograph's size; None = not asked for."""

    depth: np.ndarray | None = None
    """(H, W) float32 of the card's depth_kind: metres along the optical axis if "metric", 0 (near)
    to 1 (far) up to scale and shift if "affine"; NaN = unknown, +inf = sky"""
    normal: np.ndarray | None = None
    """(H, W, 3) float32 unit vectors, +x right, +y up, +z towards the camera; zero = unknown"""
    segment: np.ndarray | None = None
    """(H, W) ids of the card's classes: uint8 with 255 = ignore, or uint16 above 255 classes"""
    certainty: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Task -> (H, W) float32, 0 to 1: how sure the network says that it is, where it says so"""


class Predictor(Protocol):
    """A network that labels photographs directly."""

    card: PredictorCard

    def predict(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> list[Predicted]:
        """Label a batch of photographs in host memory; needs the device, so for one thread.

        photographs: (B, H, W, 3) uint8 sRGB; H and W multiples of card.multiple_px.
        tasks: of card.tasks. seeds: one per photograph; a network without noise ignores them.
        Returns one item for each photograph. A row depends on its photograph and seed alone, not
        on the batch. What overflowed is NaN, and so unknown: where nothing is known of a task,
        PredictorLabeller refuses the photograph.
        """
        ...

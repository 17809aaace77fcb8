"""A label set in the part of a labeller: its labels are looked up, not made."""

from pathlib import Path

import numpy as np

from distill.metrics import Prediction
from teacher.pairs import PairPlace, find_pairs, read_pair
from teacher.sample import Labels


class StoredLabels:
    """The labels in a folder of shards, by shard and key; one shard is known at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self._shard: Path | None = None
        self._places: dict[str, PairPlace] = {}

    def find(self, image_shard: Path, key: str) -> Prediction | None:
        """What was stored of a photograph; None if nothing was.

        Raises ValueError as teacher.pairs does: labels of another photograph, a broken shard.
        """
        if image_shard != self._shard:
            self._shard, self._places = image_shard, self._read_places(image_shard)
        place = self._places.get(key)
        return None if place is None else _as_prediction(read_pair(place)[1])

    def _read_places(self, image_shard: Path) -> dict[str, PairPlace]:
        labels = self.folder / image_shard.name
        pairs = find_pairs(image_shard, labels) if labels.is_file() else []
        return {pair.sample.key: pair for pair in pairs}


def holds_labels(path: Path) -> bool:
    """Whether a path is a folder of label shards, rather than a model."""
    return path.is_dir() and next(path.glob("*.tar"), None) is not None


def _as_prediction(labels: Labels) -> Prediction:
    """Labels in the part of a prediction: what is unknown counts as wrong where the truth is known.

    Labels without confidence have none as a prediction.
    """
    metric = labels.depth_kind == "metric"
    sure = labels.confidence
    return Prediction(
        depth_m=labels.depth_m if metric else None,
        affine_depth=None if metric else labels.depth_m,
        normal=labels.normal,
        segment=labels.segment,
        classes=labels.classes if labels.segment is not None else (),
        confidence=None if sure is None else sure.astype(np.float32) / 255,
    )

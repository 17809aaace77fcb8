"""Label photographs with a predictor: predict every view, merge the views, say how sure that is."""

from collections.abc import Sequence
from math import log
from typing import Any, NamedTuple

import numpy as np

from teacher.confidence import confidence_image
from teacher.label import MAX_ASPECT_RATIO, teacher_size
from teacher.labeller import LabelPlanes, require_tasks
from teacher.predictors.card import PredictorCard
from teacher.predictors.protocol import Predicted, Predictor
from teacher.sample import IGNORE_ID, IGNORE_ID_16, check_tasks, resize_photograph
from teacher.views import View, plan_views, view_seed
from teacher.votes import vote_affine_depth, vote_depth, vote_normals, vote_segments

SPREAD_LIMITS = {"metric": log(1.25), "affine": 0.1, "normal": 11.25}
"""Spread of the votes at which confidence is zero: of the logarithms of metric depth and of angles,
what teacher.confidence.RIGHT calls wrong; of affine depth a tenth of its range. Not calibrated."""


class Plane(NamedTuple):
    """What the views of one photograph come to."""

    values: np.ndarray
    known: np.ndarray
    """(H, W) bool"""
    agreement: np.ndarray
    """(H, W) 0..1 how well the views agree; 1 for one view"""


class PredictorLabeller:
    """Labels photographs with a predictor. Prediction is for one thread, reading for any number."""

    def __init__(self, predictor: Predictor, tasks: Sequence[str], votes: int = 1) -> None:
        """Raises ValueError for a task that it does not predict, and for more votes than views."""
        self.predictor = predictor
        self.card = predictor.card
        self.tasks = check_tasks(tasks)
        require_tasks(self.card, self.tasks)
        self.views = plan_views(self.card, self.tasks, votes)

    def fit(self, photograph: np.ndarray) -> np.ndarray:
        """The photograph resized to the size at which it is labelled; see predictor_size."""
        height_px, width_px = photograph.shape[:2]
        return resize_photograph(photograph, *predictor_size(height_px, width_px, self.card))

    def paint(
        self, photographs: Sequence[np.ndarray], seeds: Sequence[int]
    ) -> list[list[Predicted]]:
        """Predict every view of photographs of one size -> the views of each photograph."""
        batch = np.stack(photographs)
        views = [self._predict(batch, seeds, view) for view in self.views]
        return [list(row) for row in zip(*views, strict=True)]

    def _predict(self, batch: np.ndarray, seeds: Sequence[int], view: View) -> list[Predicted]:
        """One view of a batch, undone."""
        shown = np.ascontiguousarray(batch[:, :, ::-1]) if view.mirrored else batch
        view_seeds = [view_seed(seed, view.number) for seed in seeds]
        found = self.predictor.predict(shown, view.tasks, view_seeds)
        return [unmirror(predicted) for predicted in found] if view.mirrored else found

    def read(self, painted: list[Predicted]) -> LabelPlanes:
        """Merge the views of one photograph.

        Raises ValueError naming the task that came out without a single known pixel.
        """
        merge = {"depth": self._depth, "normal": _normals, "segment": self._segments}
        planes = {task: merge[task](_stack(painted, task)) for task in self.tasks}
        for task, plane in planes.items():
            if not plane.known.any():
                raise ValueError(
                    f"{task}: no pixel is known; if the arithmetic overflowed, try "
                    "--dtype bfloat16 or float32"
                )
        values = {task: plane.values for task, plane in planes.items()}
        return LabelPlanes(
            depth_m=values.get("depth"),
            depth_kind=self.card.depth_kind or "metric",
            normal=values.get("normal"),
            segment=values.get("segment"),
            classes=self.card.classes if "segment" in self.tasks else (),
            confidence=confidence_image(
                {task: plane.known * _sure(task, plane, painted) for task, plane in planes.items()}
            ),
        )

    def provenance(self) -> dict[str, Any]:
        """How the labels come about, as fields of a Record."""
        return {
            "teacher": self.card.identity(),
            "steps": self.card.steps,
            "votes": len(self.views),
        }

    def _depth(self, depth: np.ndarray) -> Plane:
        if self.card.depth_kind == "affine":
            vote = vote_affine_depth(depth)
            known = ~np.isnan(vote.depth_m)
        else:
            vote = vote_depth(depth)
            known = vote.depth_m > 0
        return Plane(vote.depth_m, known, _agreement(vote.spread, self.card.depth_kind))

    def _segments(self, ids: np.ndarray) -> Plane:
        vote = vote_segments(ids, np.ones(ids.shape, np.float32))
        ignore_id = IGNORE_ID if ids.dtype == np.uint8 else IGNORE_ID_16
        return Plane(vote.ids, vote.ids != ignore_id, 1 - vote.against)


def _normals(normal: np.ndarray) -> Plane:
    vote = vote_normals(np.nan_to_num(normal, posinf=0, neginf=0))
    known = np.any(vote.normal, axis=-1)
    return Plane(vote.normal, known, _agreement(vote.spread_deg, "normal"))


def _stack(views: Sequence[Predicted], task: str) -> np.ndarray:
    """The planes of one task, (K, H, W) or (K, H, W, 3)."""
    return np.stack([getattr(view, task) for view in views])


def _agreement(spread: np.ndarray, of: str | None) -> np.ndarray:
    return np.clip(1 - spread / SPREAD_LIMITS[of or "metric"], 0, 1)


def _sure(task: str, plane: Plane, views: Sequence[Predicted]) -> np.ndarray:
    """(H, W) 0..1: how well several views agree; for one view, how sure the network says it is.

    A network that says nothing of it gets full confidence, as a painter does whose colours are
    clean: nothing is known against its labels.
    """
    if len(views) > 1 or task not in views[0].certainty:
        return plane.agreement
    return np.clip(np.nan_to_num(views[0].certainty[task]), 0, 1)


def unmirror(predicted: Predicted) -> Predicted:
    """What was predicted of a mirrored photograph, as it lies on the photograph."""
    normal = predicted.normal
    return Predicted(
        depth=_turn(predicted.depth),
        normal=None if normal is None else normal[:, ::-1] * np.array([-1, 1, 1], np.float32),
        segment=_turn(predicted.segment),
        certainty={task: plane[:, ::-1] for task, plane in predicted.certainty.items()},
    )


def _turn(plane: np.ndarray | None) -> np.ndarray | None:
    return None if plane is None else plane[:, ::-1]


def predictor_size(height_px: int, width_px: int, card: PredictorCard) -> tuple[int, int]:
    """Height and width at which a photograph is labelled.

    The card's resolution_side becomes resolution_px; the other keeps the aspect ratio as nearly as
    multiples of multiple_px allow. Raises ValueError for an aspect ratio above MAX_ASPECT_RATIO.
    """
    if card.resolution_side == "short" or max(height_px, width_px) > MAX_ASPECT_RATIO * min(
        height_px, width_px
    ):
        return teacher_size(height_px, width_px, card)
    scale = card.resolution_px / max(height_px, width_px) / card.multiple_px
    height, width = (
        max(1, round(scale * side_px)) * card.multiple_px for side_px in (height_px, width_px)
    )
    return height, width

"""How a suite scores each task: which protocols and alignments, and what cannot be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from distill.alignment import alignments_for
from distill.bootstrap import draw_weights, interval
from distill.boundaries import boundary_f1
from distill.datasets.card import DatasetCard
from distill.depth_metrics import score_depth
from distill.metrics import Prediction
from distill.protocols import DEPTH_PROTOCOLS, DepthProtocol, depth_protocol
from distill.suite_results import SuiteRow
from distill.suite_tally import MeanTally, PooledNormalTally, SegmentTally, Tally, image_normals
from teacher.sample import Labels

FURTHER_PROTOCOLS = {"kitti": ("kitti_garg",)}
"""Data set -> protocols beside its own under which papers report metric depth."""
INVERTED = "inverted"
"""Among the scores of a photograph's depth: 1 if the fitted scale is negative, else 0."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of scoring a task, which becomes one row of the results."""

    variant: str
    """Alignment of depth, averaging of normals or segments."""
    protocol: str
    """Which pixels count, in words."""
    tally: Tally


class Scorer(Protocol):
    """Scores one task in all its ways, photograph by photograph."""

    @property
    def ways(self) -> Sequence[Way]: ...

    def objection(self, prediction: Prediction, truth: Labels) -> str:
        """Why these two cannot be compared; empty if they can."""
        ...

    def update(self, prediction: Prediction, truth: Labels) -> None:
        """Add one photograph; the prediction has the size of the truth."""
        ...


class DepthScorer:
    """Depth without alignment, and with those by which the set is usually scored."""

    def __init__(self, part: str, card: DatasetCard, alignments: Sequence[str]) -> None:
        found = depth_ways(part, card.name, alignments)
        self._tallies = {way: MeanTally() for way in found}
        self.ways = [
            Way(variant=alignment, protocol=describe(protocol), tally=tally)
            for (protocol, alignment), tally in self._tallies.items()
        ]

    def objection(self, prediction: Prediction, truth: Labels) -> str:
        """As Scorer.objection."""
        if truth.depth_kind != "metric":
            return "not comparable: the ground truth is not in metres"
        if prediction.depth_m is None and prediction.affine_depth is None:
            return "the labeller gives no depth in metres"
        if not any(alignment in self._alignments(prediction) for _, alignment in self._tallies):
            return "affine depth: add --alignments '[least_squares]'"
        return ""

    def _alignments(self, prediction: Prediction) -> tuple[str, ...]:
        """Those that make sense for it."""
        return alignments_for("metric" if prediction.depth_m is not None else "affine_depth")

    def update(self, prediction: Prediction, truth: Labels) -> None:
        """As Scorer.update."""
        metric = prediction.depth_m is not None
        depth = prediction.depth_m if metric else prediction.affine_depth
        kind = "metric" if metric else "affine_depth"
        assert depth is not None
        assert truth.depth_m is not None
        for (protocol, alignment), tally in self._tallies.items():
            if alignment not in alignments_for(kind):
                tally.add(None)
                continue
            found = score_depth(depth, truth.depth_m, protocol, alignment, kind=kind)
            scores = found and {**found.scores, INVERTED: float(found.inverted)}
            if scores and alignment == "none":  # where a fit has a shift, edges move
                mask = protocol.valid(truth.depth_m)
                edges = boundary_f1(depth, truth.depth_m, mask)
                scores["boundary_f1"] = np.nan if edges is None else edges
            tally.add(scores)


def depth_ways(
    part: str, dataset: str, alignments: Sequence[str] = ()
) -> list[tuple[DepthProtocol, str]]:
    """The protocols and alignments under which depth is scored.

    Always without alignment; with that of the protocol, or by the median where it has none; with
    `alignments`; and without alignment under FURTHER_PROTOCOLS.
    """
    protocol = DEPTH_PROTOCOLS.get(part) or depth_protocol(dataset)
    usual = "median" if protocol.alignment == "none" else protocol.alignment
    chosen = dict.fromkeys(("none", usual, *alignments))
    further = [(DEPTH_PROTOCOLS[name], "none") for name in FURTHER_PROTOCOLS.get(part, ())]
    return [(protocol, alignment) for alignment in chosen] + further


def describe(protocol: DepthProtocol) -> str:
    """Name, range and crops of a protocol of depth, in words."""
    far = "without a cap" if np.isinf(protocol.max_m) else f"up to {protocol.max_m:g} m"
    crops = [
        crop.__name__.replace("_", " ") for crop in (protocol.photo_crop, protocol.crop) if crop
    ]
    return ", ".join([f"{protocol.name}: depth {far}", *crops])


class NormalScorer:
    """Normals pooled over all pixels, and per image."""

    def __init__(self, part: str, card: DatasetCard, alignments: Sequence[str]) -> None:
        self._pooled = PooledNormalTally()
        self._images = MeanTally()
        self.ways = [
            Way(variant="pooled", protocol="", tally=self._pooled),
            Way(variant="per image", protocol="", tally=self._images),
        ]

    def objection(self, prediction: Prediction, truth: Labels) -> str:
        """As Scorer.objection."""
        return "" if prediction.normal is not None else "the labeller gives no normals"

    def update(self, prediction: Prediction, truth: Labels) -> None:
        """As Scorer.update."""
        assert prediction.normal is not None
        assert truth.normal is not None
        self._pooled.update(prediction.normal, truth.normal)
        self._images.add(image_normals(prediction.normal, truth.normal))


class SegmentScorer:
    """Segments by one confusion matrix, when the labeller knows the classes of the set."""

    def __init__(self, part: str, card: DatasetCard, alignments: Sequence[str]) -> None:
        self._tally = SegmentTally(card.classes)
        self.ways = [Way(variant="one confusion matrix", protocol="", tally=self._tally)]

    def objection(self, prediction: Prediction, truth: Labels) -> str:
        """As Scorer.objection."""
        if prediction.segment is None:
            return "the labeller gives no segments"
        same = set(prediction.classes) == set(self._tally.classes)
        return "" if same else "not comparable: other classes"

    def update(self, prediction: Prediction, truth: Labels) -> None:
        """As Scorer.update."""
        assert truth.segment is not None
        self._tally.update(in_order(prediction, self._tally.classes), truth.segment)


def in_order(prediction: Prediction, classes: Sequence[str]) -> np.ndarray:
    """(H, W) class ids of a prediction in the order of `classes`, which are its own in any order.

    An id that is no class becomes len(classes).
    """
    assert prediction.segment is not None
    table = np.array([classes.index(name) for name in prediction.classes] + [len(classes)])
    return table[np.minimum(prediction.segment, len(classes))]


SCORERS = {"depth": DepthScorer, "normal": NormalScorer, "segment": SegmentScorer}


class PartScores:
    """All scores of one labeller on one set, or on one part of it."""

    def __init__(
        self, part: str, card: DatasetCard, tasks: Sequence[str], alignments: Sequence[str] = ()
    ) -> None:
        self.part = part
        self._scorers: dict[str, Scorer] = {
            task: SCORERS[task](part, card, alignments) for task in tasks
        }
        self._missing: dict[str, str] = {}
        self._scenes: list[str] = []

    def update(self, prediction: Prediction, truth: Labels, scene: str) -> None:
        """Add one photograph. A task that cannot be compared once is not scored at all."""
        self._scenes.append(scene)
        for task, scorer in self._scorers.items():
            if reason := scorer.objection(prediction, truth):
                self._missing.setdefault(task, reason)
            if task not in self._missing:
                scorer.update(prediction, truth)

    def rows(self, resamples: int, seed: int) -> list[SuiteRow]:
        """One row for each way that had anything to score, and for each task that could not."""
        found = []
        for task, scorer in self._scorers.items():
            if task in self._missing:
                found.append(self._missing_row(task, scorer.ways[0]))
            else:
                ways = [way for way in scorer.ways if way.tally.scored().any()]
                found += [self._row(task, way, resamples, seed) for way in ways]
        return found

    def _row(self, task: str, way: Way, resamples: int, seed: int) -> SuiteRow:
        scored = way.tally.scored()
        scenes = np.array(self._scenes)[scored]
        names = np.unique(scenes)
        by_scene = len(names) > 1  # one scene drawn again and again has no spread
        weights = np.zeros((resamples, scored.size))
        drawn_from = scenes.tolist() if by_scene else None
        weights[:, scored] = draw_weights(scenes.size, resamples, seed, drawn_from)
        of_scene = (np.array(self._scenes) == names[:, None]) & scored  # (scenes, photographs)
        drawn, each = way.tally.resample(weights), way.tally.resample(of_scene.astype(np.float64))
        scores = way.tally.result()
        each.pop(INVERTED, None)
        return SuiteRow(
            task=task,
            part=self.part,
            variant=way.variant,
            protocol=way.protocol,
            photographs=scenes.size,
            scenes=len(names),
            negative_scale=scores.pop(INVERTED, None),
            scores=scores,
            interval_95={name: interval(drawn[name]) for name in scores if name in drawn},
            drawn="scenes" if by_scene else "photographs",
            per_scene={str(scene): _of(each, index) for index, scene in enumerate(names)},
        )

    def _missing_row(self, task: str, way: Way) -> SuiteRow:
        return SuiteRow(
            task=task,
            part=self.part,
            variant=way.variant,
            protocol=way.protocol,
            photographs=len(self._scenes),
            scenes=len(set(self._scenes)),
            scores={},
            interval_95={},
            drawn="photographs",
            per_scene={},
            missing=self._missing[task],
        )


def _of(drawn: Mapping[str, np.ndarray], index: int) -> dict[str, float]:
    """The scores of one resample, without those that it has nothing for."""
    return {name: float(v[index]) for name, v in drawn.items() if np.isfinite(v[index])}

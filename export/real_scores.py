"""Teacher, student and ONNX file on real photographs: scores scene by scene, and agreement."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distill.labellers import Labeller
from distill.metrics import Prediction, Scores
from distill.tally import Tally, as_labels, headlines, in_classes
from export.findings import comparable
from export.gallery import Specimen
from export.lineup import TEACHER
from export.real import RealPhotograph
from teacher.sample import Labels

PROTOCOL = (
    "{images} real photographs, cut to the central square and resized to {size} × {size} px. Depth "
    "and normals are scored where there is ground truth, and averaged over scenes; depth once as "
    "it is, in metres, and once after each picture was scaled by the median of true over predicted "
    "depth. Segments have other classes there, so they are only shown. Mind the licence of each "
    "source before publishing these pictures."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class RealFindings:
    """What comparison.json says of real photographs, and those to show."""

    summary: dict[str, Any]
    specimens: Sequence[Specimen]
    """One of each source."""


def examine_real(
    labellers: Mapping[str, Labeller],
    photographs: Iterable[RealPhotograph],
    classes: tuple[str, ...],
    learned: str,
) -> RealFindings:
    """Let every labeller predict every photograph; keep scores by scene, and the agreement of the
    labeller named `learned` with the teacher on all of them."""
    scores = {name: SceneScores() for name in labellers}
    agreement, counts = Tally(), {"depth": 0, "normal": 0}
    specimens: dict[str, Specimen] = {}
    size_px = 0
    for item in photographs:
        size_px = item.record.width_px
        size = (item.record.height_px, size_px)
        said = {
            name: comparable(one.predict(item.photograph[None])[0], item.truth, size, classes)
            for name, one in labellers.items()
        }
        taught = as_labels(said[TEACHER], item.record)
        agreement.update(in_classes(said[learned], taught.classes), taught)
        specimens.setdefault(item.source, _specimen(item, said, learned))
        if item.truth is not None:
            counts = {task: count + (task in item.truth.tasks) for task, count in counts.items()}
            for name, tally in scores.items():
                tally.update(item.scene, said[name], item.truth)
    summary = {
        "images": len(agreement),
        "counts": counts,
        "labellers": {name: tally.mean() for name, tally in scores.items()},
        "scenes": {name: tally.by_scene() for name, tally in scores.items()},
        "agreement": headlines(agreement.result()),
        "protocol": PROTOCOL.format(images=len(agreement), size=size_px),
    }
    return RealFindings(summary=summary, specimens=list(specimens.values()))


def _specimen(item: RealPhotograph, said: Mapping[str, Prediction], learned: str) -> Specimen:
    return Specimen(
        key=item.key,
        photograph=item.photograph,
        teacher=said[TEACHER],
        student=said[learned],
        truth=item.truth,
        note=f"{item.source} · {item.licence}",
    )


class SceneScores:
    """One labeller's scores on real photographs, scene by scene."""

    def __init__(self) -> None:
        self._plain: dict[str, Scores] = defaultdict(Scores)
        self._aligned: dict[str, Scores] = defaultdict(Scores)

    def update(self, scene: str, pred: Prediction, truth: Labels) -> None:
        """Add one photograph that has ground truth."""
        self._plain[scene].update(pred, truth)
        self._aligned[scene].update(align_median(pred, truth), truth)

    def by_scene(self) -> dict[str, dict[str, dict]]:
        """Scene -> "depth", "depth_aligned", "normal" -> metric -> value."""
        return {scene: self._scene(scene) for scene in self._plain}

    def _scene(self, scene: str) -> dict[str, dict]:
        scores = self._plain[scene].result()
        if "depth" in scores:
            scores["depth_aligned"] = self._aligned[scene].result()["depth"]
        return scores

    def mean(self) -> dict[str, dict[str, float]]:
        """The mean over scenes of every score: most photographs may show one place."""
        scenes = self.by_scene().values()
        tasks = dict.fromkeys(task for scores in scenes for task in scores)
        return {task: _mean_of([s[task] for s in scenes if task in s]) for task in tasks}


def _mean_of(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([entry[key] for entry in scores])) for key in scores[0]}


def align_median(pred: Prediction, truth: Labels) -> Prediction:
    """Scale predicted depth by the median of true over predicted depth, where both are known."""
    pred_m, true_m = pred.depth_m, truth.depth_m
    if pred_m is None or true_m is None:
        return pred
    known = np.isfinite(true_m) & (true_m > 0) & np.isfinite(pred_m) & (pred_m > 0)
    if not known.any():
        return pred
    return replace(pred, depth_m=pred_m * np.median(true_m[known] / pred_m[known]))

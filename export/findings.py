"""What each labeller says of the same held-out photographs: against the truth, the teacher, and in
each slice."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill.alignment import align
from distill.labellers import Labeller, resize_prediction
from distill.metrics import Prediction
from distill.slices import slice_masks, within
from distill.tally import HEADLINES, LOWER_IS_BETTER, Tally, as_labels, in_classes
from export.gallery import Specimen
from export.held_out import HeldOut, chunks
from export.lineup import TEACHER
from teacher.sample import Labels

ALIGNMENT = "least_squares"
"""Fit of affine depth to the truth, photograph by photograph; metric depth is taken as it is."""
TIMED_PHOTOGRAPHS = 16
SCORE_TEXTS = {"depth": "{:.2f}", "normal": "{:.1f}°", "segment": "{:.2f}"}


class Finding:
    """What is kept of one labeller."""

    def __init__(self) -> None:
        self.truth = Tally()
        """Against the ground truth."""
        self.agreement = Tally()
        """Against the teacher's labels of the same photographs."""
        self.slices: dict[str, Tally] = {}
        """Slice -> against the ground truth inside it."""
        self.size_px: tuple[int, int] = (0, 0)
        """Height and width in which it answers."""
        self.aligned = False
        """Whether its depth is affine, and was fitted to the truth."""

    def update(self, prediction: Prediction, truth: Labels, parts: Mapping[str, Labels]) -> None:
        """Count one photograph; parts: slice -> the truth inside it."""
        self.aligned |= prediction.affine_depth is not None
        self.truth.update(prediction, truth)
        for name, part in parts.items():
            self.slices.setdefault(name, Tally()).update(prediction, part)

    def agree(self, prediction: Prediction, taught: Labels) -> None:
        """Count one photograph with the teacher's answer in the part of the truth."""
        if taught.classes:
            prediction = in_classes(prediction, taught.classes)
        self.agreement.update(prediction, taught)


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What the labellers said of the held-out photographs."""

    keys: Sequence[str]
    """The photographs, in order; "SHARD/KEY"."""
    found: Mapping[str, Finding]
    """Labeller -> what is kept of it."""
    slice_shares: Mapping[str, float]
    """Slice -> its share of all pixels."""
    sample: np.ndarray
    """(n, H, W, 3) uint8: the first photographs, for timing."""
    classes: tuple[str, ...]
    """The order of the class ids in all of this."""

    def score_text(self, labeller: str, key: str, task: str) -> str:
        """What to print below a labeller's picture."""
        value = self.found[labeller].truth.per_image(task)[self.keys.index(key)]
        return "" if np.isnan(value) else SCORE_TEXTS[task].format(value)

    def worst_keys(self, task: str, count: int, *, worse: str, better: str) -> list[str]:
        """The photographs on which labeller `worse` lost most to `better`, worst first."""
        high, low = (self.found[name].truth.per_image(task) for name in (better, worse))
        loss = low - high if HEADLINES[task] in LOWER_IS_BETTER else high - low
        order = np.argsort(-np.nan_to_num(loss, nan=-np.inf), kind="stable")
        return [self.keys[int(index)] for index in order[:count] if loss[index] > 0]

    def spread_keys(self, count: int) -> list[str]:
        """Photographs evenly spread over all of them: not chosen by how well they went."""
        count = min(count, len(self.keys))
        return [self.keys[index * len(self.keys) // count] for index in range(count)]


def examine(
    labellers: Mapping[str, Labeller], held_out: Iterable[HeldOut], *, batch: int, where: str
) -> Findings:
    """Let every labeller predict every photograph, and keep the statistics.

    labellers: one of them is the TEACHER. where: the data set's name for messages.
    Raises ValueError when it is empty, and when labellers and labels name different classes.
    """
    found = {name: Finding() for name in labellers}
    keys: list[str] = []
    sample: list[np.ndarray] = []
    pixels: dict[str, float] = {}
    classes: tuple[str, ...] = ()
    for chunk in chunks(held_out, batch):
        classes = classes or chunk[0].truth.classes
        said = {name: _ask(name, labellers[name], chunk, classes) for name in labellers}
        classes = classes or said[TEACHER].predictions[0].classes
        for row, item in enumerate(chunk):
            masks = slice_masks(item.photograph, item.truth)
            parts = {name: within(item.truth, mask) for name, mask in masks.items()}
            pixels = {name: pixels.get(name, 0.0) + mask.mean() for name, mask in masks.items()}
            taught = as_labels(said[TEACHER].predictions[row], item.truth.record)
            for name, finding in found.items():
                finding.size_px = said[name].size_px
                finding.update(said[name].predictions[row], item.truth, parts)
                if name != TEACHER:
                    finding.agree(said[name].predictions[row], taught)
        keys += [item.key for item in chunk]
        sample += [item.photograph for item in chunk][: TIMED_PHOTOGRAPHS - len(sample)]
    if not keys:
        raise ValueError(f"{where}: no labelled photograph; expected at least one to compare on")
    return Findings(
        keys=keys,
        found=found,
        slice_shares={name: share / len(keys) for name, share in pixels.items()},
        sample=np.stack(sample),
        classes=classes,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a labeller says of some photographs."""

    predictions: Sequence[Prediction]
    """At the photographs' size, in metres, ids in one order; see comparable."""
    size_px: tuple[int, int]
    """Height and width in which it answered."""


def _ask(
    name: str, labeller: Labeller, chunk: Sequence[HeldOut], classes: tuple[str, ...]
) -> Answer:
    """Predict a chunk. Raises ValueError naming the labeller, also when it labels nothing that the
    truth holds."""
    raw = labeller.predict(np.stack([item.photograph for item in chunk]))
    try:
        found = [
            comparable(one, item.truth, item.truth.size, classes)
            for one, item in zip(raw, chunk, strict=True)
        ]
    except ValueError as error:
        raise ValueError(f"{name} ({labeller.name}): {error}") from error
    tasks = chunk[0].truth.tasks
    if not set(tasks) & set(tasks_of(found[0])):
        raise ValueError(
            f"{name} ({labeller.name}): labels {', '.join(tasks_of(raw[0]))}, but the ground truth "
            f"holds {', '.join(tasks)}; compare on labels with a task of it"
        )
    return Answer(predictions=found, size_px=_size_px(raw[0]))


def tasks_of(prediction: Prediction) -> list[str]:
    """The tasks that a prediction answers."""
    return [task for task, plane in planes_of(prediction).items() if plane is not None]


def planes_of(prediction: Prediction) -> dict[str, np.ndarray | None]:
    """Task -> what is predicted for it."""
    depth = prediction.affine_depth if prediction.depth_m is None else prediction.depth_m
    return {"depth": depth, "normal": prediction.normal, "segment": prediction.segment}


def _size_px(prediction: Prediction) -> tuple[int, int]:
    height, width = next(p for p in planes_of(prediction).values() if p is not None).shape[:2]
    return height, width


def comparable(
    prediction: Prediction,
    truth: Labels | None,
    size_px: tuple[int, int],
    classes: tuple[str, ...],
) -> Prediction:
    """A prediction of another size, in metres, with class ids in the order of `classes`.

    Affine depth is fitted to the truth; without any, it is not used. Without `classes` the
    labeller's own order stays. Raises ValueError when it names other classes.
    """
    found = resize_prediction(prediction, size_px)
    if classes:
        found = in_classes(found, classes)
    if found.affine_depth is None or truth is None:
        return found
    return align(found, truth, ALIGNMENT)[0]


def show(
    labellers: Mapping[str, Labeller],
    held_out: Iterable[HeldOut],
    findings: Findings,
    keys: Collection[str],
) -> dict[str, Specimen]:
    """Key -> the pictures of a photograph by two labellers, the teacher and the one that learned.

    They are predicted anew rather than kept for all.
    """
    taught, learned = labellers
    specimens = {}
    for item in held_out:
        if item.key in keys:
            teacher, student = (
                comparable(
                    one.predict(item.photograph[None])[0],
                    item.truth,
                    item.truth.size,
                    findings.classes,
                )
                for one in labellers.values()
            )
            specimens[item.key] = Specimen(
                key=item.key,
                photograph=item.photograph,
                teacher=teacher,
                student=student,
                truth=item.truth,
                scores={
                    task: (
                        findings.score_text(taught, item.key, task),
                        findings.score_text(learned, item.key, task),
                    )
                    for task in HEADLINES
                },
            )
    return specimens

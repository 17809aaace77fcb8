"""Any labeller against any label set.

All are scored alike: on the photograph at the labels' size, without alignment (unless it is asked
for) or test-time augmentation; over all pixels, by slices, and over the pixels that they are surest
of.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distill.alignment import Fitted, align
from distill.bootstrap import draw_weights, intervals
from distill.coverage import COVERAGES, surest
from distill.data import ShardPair, match_shards
from distill.evaluate_config import EvaluateConfig
from distill.labellers import Labeller, resize_prediction
from distill.metrics import Prediction
from distill.slices import SliceTallies, within
from distill.stored_labels import StoredLabels, holds_labels
from distill.tally import Tally, in_classes
from teacher.progress import progress_bar
from teacher.sample import TASKS, Labels, decode_photograph, resize_photograph
from teacher.shards import read_pairs

RESAMPLES = 1000


class Answer(NamedTuple):
    """What was said of a photograph (None: nothing is stored of it), and what is true."""

    prediction: Prediction | None
    photograph: np.ndarray
    truth: Labels


class Evaluation:
    """The tallies of one labeller: everything, by slices, and where it is surest."""

    def __init__(self) -> None:
        self.all = Tally()
        self.slices = SliceTallies()
        self.coverages = {share: Tally() for share in COVERAGES}
        self.missing = 0
        self._fits: list[Fitted] = []

    def update(self, answer: Answer, alignment: str) -> None:
        """Add one photograph. Raises ValueError when sizes or class names do not match."""
        if answer.prediction is None:
            self.missing += 1
            return
        truth = answer.truth
        said = resize_prediction(answer.prediction, truth.size)
        if truth.segment is not None:
            said = in_classes(said, truth.classes)
        said, fitted = align(said, truth, alignment)
        self._fits += [fitted] if fitted else []
        self.all.update(said, truth)
        self.slices.update(said, answer.photograph, truth)
        if said.confidence is not None:
            for share, tally in self.coverages.items():
                tally.update(said, within(truth, surest(said.confidence, truth, share)))

    def result(self, resamples: int, seed: int) -> dict:
        """Scores and intervals, as JSON holds them; see `evaluate`."""
        weights = draw_weights(len(self.all), resamples, seed)
        scores = _scores(self.all, weights)
        if self._fits:  # a fit may turn a map around that says far for near
            inverted = sum(fit.inverted for fit in self._fits) / len(self._fits)
            scores["depth"]["inverted"] = inverted
        slices = {
            name: {"share": self.slices.share(name), **_scores(tally, weights)}
            for name, tally in self.slices.tallies.items()
            if tally.result()
        }
        known = len(self.all)
        coverages = {
            f"{share:g}": _scores(tally, weights)
            for share, tally in self.coverages.items()
            if len(tally) == known  # all photographs came with a confidence
        }
        found = {"images": known, **scores, "slices": slices}
        found |= {"coverage": coverages} if coverages else {}
        return found | ({"missing": self.missing} if self.missing else {})


def _scores(tally: Tally, weights: np.ndarray) -> dict:
    """Task -> metric -> value, and their intervals."""
    return {**tally.result(), "interval_95": intervals(tally.resample(weights))}


def evaluate(
    labeller: Labeller | StoredLabels,
    images: Path,
    labels: Path,
    *,
    tasks: Sequence[str] = TASKS,
    batch_size: int = 16,
    limit: int | None = None,
    alignment: str = "none",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:
    """Scores of a labeller on a label set.

    images: image shards; labels: folder of label shards of the same names; tasks: of these, those
    that the labels have; alignment: of depth, see distill.alignment.align.
    Returns "images" (how many), per task what metrics.Scores gives, "interval_95" (task -> metric
    -> bounds), "slices" (name -> "share" of the pixels, and the same scores), and, of labellers
    that say how sure they are, "coverage" ("0.9" -> the scores of the surest 90 %); "missing"
    photographs of which nothing is stored.
    Raises ValueError when nothing could be scored, and for affine depth without an alignment.
    """
    pairs = match_shards(images, labels)
    tasks = [task for task in _labelled_tasks(pairs) if task in tasks]
    samples = islice(_samples(pairs, tasks), limit)
    evaluation = Evaluation()
    if isinstance(labeller, StoredLabels):
        answers = _look_up(labeller, samples)
    else:
        answers = _ask(labeller, samples, batch_size)
    with progress_bar() as bar:
        for answer in bar.track(answers, total=limit, description=f"evaluate {labeller.name}"):
            evaluation.update(answer, alignment)
    if not evaluation.all.result():
        missed = f"; {evaluation.missing} of its photographs have no label there"
        raise ValueError(
            f"{labels}: nothing to score: no task in both the labels and the labeller"
            + (missed if evaluation.missing else "")
        )
    return evaluation.result(resamples, seed)


class _Sample(NamedTuple):
    shard: Path
    key: str
    photograph: np.ndarray
    """(H, W, 3) uint8 at the size of the labels"""
    truth: Labels


def _samples(pairs: Sequence[ShardPair], tasks: Sequence[str]) -> Iterator[_Sample]:
    for pair in pairs:
        for key, data, truth in read_pairs(pair.images, pair.labels, tasks=tasks):
            photograph = resize_photograph(decode_photograph(data), *truth.size)
            yield _Sample(pair.images, key, photograph, truth)


def _look_up(stored: StoredLabels, samples: Iterator[_Sample]) -> Iterator[Answer]:
    for sample in samples:
        yield Answer(stored.find(sample.shard, sample.key), sample.photograph, sample.truth)


def _ask(labeller: Labeller, samples: Iterator[_Sample], batch_size: int) -> Iterator[Answer]:
    for group in _groups(samples, batch_size):
        predictions = labeller.predict(np.stack([sample.photograph for sample in group]))
        for prediction, sample in zip(predictions, group, strict=True):
            yield Answer(prediction, sample.photograph, sample.truth)


def _groups(samples: Iterator[_Sample], batch_size: int) -> Iterator[list[_Sample]]:
    """Groups of photographs of one size."""
    group: list[_Sample] = []
    for sample in samples:
        if group and (len(group) == batch_size or group[0].truth.size != sample.truth.size):
            yield group
            group = []
        group.append(sample)
    if group:
        yield group


def _labelled_tasks(pairs: Sequence[ShardPair]) -> tuple[str, ...]:
    """The tasks of the first label, which are those of all."""
    samples = (labels for pair in pairs for _, _, labels in read_pairs(pair.images, pair.labels))
    first = next(samples, None)
    return () if first is None else first.tasks


def evaluate_config(config: EvaluateConfig, load: Callable[..., Labeller]) -> dict:
    """What `potstill evaluate` does: the scores of a labeller, and who was scored on what.

    load: opens a labeller, as distill.labellers.load_labeller does.
    """
    scores = evaluate(
        _open(config, load),
        config.photographs,
        config.on,
        tasks=config.tasks,
        batch_size=config.batch_size,
        limit=config.limit,
        alignment=config.alignment,
        resamples=config.resamples,
        seed=config.seed,
    )
    adapted = "" if config.lora is None else f" with {config.lora}"
    steps = "" if config.steps is None else f" in {config.steps} step(s)"
    return {
        "labeller": f"{config.labeller}{adapted}{steps}",
        "labels": str(config.on),
        "alignment": config.alignment,
        **scores,
    }


def _open(config: EvaluateConfig, load: Callable[..., Labeller]) -> Labeller | StoredLabels:
    if holds_labels(config.labeller):
        return StoredLabels(config.labeller)
    return load(
        config.labeller,
        device=config.device,
        tasks=config.tasks,
        votes=config.votes,
        steps=config.steps,
        lora=config.lora,
    )

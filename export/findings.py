"""What teacher, student and ONNX file say of the same held-out photographs, against the truth."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from distill.evaluate import Labeller, resize_prediction
from distill.metrics import Prediction
from export.gallery import Specimen
from export.tally import HEADLINES, LOWER_IS_BETTER, Tally, as_labels, in_classes
from teacher.progress import track
from teacher.sample import Labels, Record, decode_photograph, resize_photograph
from teacher.shards import image_shards, read_pairs

TEACHER, STUDENT, ONNX = "teacher", "student", "onnx_fp32"
TIMED_PHOTOGRAPHS = 16
SCORE_TEXTS = {"depth": "{:.2f}", "normal": "{:.1f}°", "segment": "{:.2f}"}


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """One photograph at the size of its labels, and the truth about it."""

    key: str
    photograph: np.ndarray
    """(H, W, 3) uint8"""
    truth: Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What the labellers said of the held-out photographs."""

    keys: Sequence[str]
    """The photographs, in order; "SHARD/KEY"."""
    against_truth: Mapping[str, Tally]
    """Labeller -> its statistics."""
    agreement: Tally
    """The student against the teacher."""
    sample: np.ndarray
    """(n, H, W, 3) uint8: the first photographs, for timing."""
    classes: tuple[str, ...]
    """The order of the class ids in all of this."""

    def score_text(self, labeller: str, key: str, task: str) -> str:
        """What to print below a labeller's picture."""
        value = self.against_truth[labeller].per_image(task)[self.keys.index(key)]
        return "" if np.isnan(value) else SCORE_TEXTS[task].format(value)

    def worst_keys(self, task: str, count: int) -> list[str]:
        """The photographs on which the student lost most to the teacher, worst first."""
        taught, learned = (self.against_truth[n].per_image(task) for n in (TEACHER, STUDENT))
        loss = learned - taught if HEADLINES[task] in LOWER_IS_BETTER else taught - learned
        order = np.argsort(-np.nan_to_num(loss, nan=-np.inf), kind="stable")
        return [self.keys[int(index)] for index in order[:count] if loss[index] > 0]

    def spread_keys(self, count: int) -> list[str]:
        """Photographs evenly spread over all of them: not chosen by how well they went."""
        count = min(count, len(self.keys))
        return [self.keys[index * len(self.keys) // count] for index in range(count)]


def read_held_out(images: Path, labels: Path) -> Iterator[HeldOut]:
    """The photographs of image shards with the labels of the label shards of the same names.

    Raises FileNotFoundError or ValueError naming the shard without labels, the photograph that
    cannot be read, and labels of another size than the first.
    """
    size: tuple[int, int] | None = None
    for shard in image_shards(images):
        label_shard = labels / shard.name
        if not label_shard.is_file():
            raise FileNotFoundError(f"{label_shard}: no such label shard; {shard} needs one")
        for key, data, truth in read_pairs(shard, label_shard):
            where = f"{shard}: {key}"
            size = size or truth.size
            if truth.size != size:
                raise ValueError(f"{where}: labels of {truth.size}, those before are {size}")
            photograph = resize_photograph(_decode(where, data), *size)
            yield HeldOut(key=f"{shard.stem}/{key}", photograph=photograph, truth=truth)


def _decode(where: str, data: bytes) -> np.ndarray:
    try:
        return decode_photograph(data)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def examine(
    labellers: Mapping[str, Labeller], held_out: Iterable[HeldOut], *, batch: int, where: str
) -> Findings:
    """Let every labeller predict every photograph, and keep the statistics.

    where: the data set's name for messages. Raises ValueError when it is empty, and when labellers
    and labels name different classes.
    """
    against_truth = {name: Tally() for name in labellers}
    agreement = Tally()
    keys: list[str] = []
    sample: list[np.ndarray] = []
    classes: tuple[str, ...] = ()
    for chunk in chunks(held_out, batch):
        classes = classes or chunk[0].truth.classes
        photographs = np.stack([item.photograph for item in chunk])
        sample += list(photographs[: TIMED_PHOTOGRAPHS - len(sample)])
        said = {name: predict(one, photographs, classes) for name, one in labellers.items()}
        for row, item in enumerate(chunk):
            keys.append(item.key)
            for name, tally in against_truth.items():
                tally.update(said[name][row], item.truth)
            update_agreement(agreement, said[TEACHER][row], said[STUDENT][row], item.truth.record)
        classes = classes or said[TEACHER][0].classes
    if not keys:
        raise ValueError(f"{where}: no labelled photograph; expected at least one to compare on")
    return Findings(
        keys=keys,
        against_truth=against_truth,
        agreement=agreement,
        sample=np.stack(sample),
        classes=classes,
    )


def predict(
    labeller: Labeller, photographs: np.ndarray, classes: tuple[str, ...]
) -> list[Prediction]:
    """Predictions at the photographs' size, with class ids in the order of `classes` if given."""
    height, width = photographs.shape[1:3]
    found = [resize_prediction(p, (height, width)) for p in labeller.predict(photographs)]
    return [in_classes(one, classes) if classes else one for one in found]


def update_agreement(
    tally: Tally, teacher: Prediction, student: Prediction, record: Record
) -> None:
    """Count a student's prediction with its teacher's in the part of the truth."""
    tally.update(in_classes(student, teacher.classes), as_labels(teacher, record))


def chunks(items: Iterable[HeldOut], size: int) -> Iterator[list[HeldOut]]:
    """Lists of `size` items; the last one may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def show(
    labellers: Mapping[str, Labeller],
    held_out: Iterable[HeldOut],
    findings: Findings,
    keys: Collection[str],
) -> dict[str, Specimen]:
    """Key -> the pictures of a photograph; they are predicted anew rather than kept for all."""
    specimens = {}
    for item in held_out:
        if item.key in keys:
            teacher, student = (
                predict(labellers[name], item.photograph[None], findings.classes)[0]
                for name in (TEACHER, STUDENT)
            )
            specimens[item.key] = Specimen(
                key=item.key,
                photograph=item.photograph,
                teacher=teacher,
                student=student,
                truth=item.truth,
                scores={task: _score_texts(findings, item.key, task) for task in HEADLINES},
            )
    return specimens


def _score_texts(findings: Findings, key: str, task: str) -> tuple[str, str]:
    return findings.score_text(TEACHER, key, task), findings.score_text(STUDENT, key, task)


def take(items: Iterable[HeldOut], limit: int | None) -> Iterator[HeldOut]:
    """The first photographs, with a progress bar."""
    return track(islice(items, limit), "held-out photographs", total=limit)

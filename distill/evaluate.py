"""Any labeller against any label set.

A labeller maps photographs to predictions: a teacher, a student, an exported model. They are scored
alike: on the photograph at the labels' size, without alignment or test-time augmentation.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from distill.alignment import ALIGNMENTS, Fitted, align
from distill.data import ShardPair, match_shards
from distill.metrics import Prediction, Scores
from student import Student, load_student
from teacher.labeller import Labeller as JobLabeller
from teacher.labeller import LabelPlanes, build_labeller
from teacher.model_folder import is_model_folder
from teacher.painters import open_teacher
from teacher.progress import progress_bar
from teacher.sample import TASKS, Labels, decode_photograph, resize_nearest, resize_photograph
from teacher.shards import read_pairs

__all__ = [
    "EvaluateConfig",
    "Labeller",
    "PainterLabeller",
    "Prediction",
    "StudentLabeller",
    "evaluate",
    "evaluate_config",
    "format_scores",
    "load_labeller",
    "read_outputs",
    "resize_prediction",
]


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Score a teacher or a student against labels, such as the ground truth of scenes.

    With --suite: several of them on imported data sets, beside published results. It has options
    of its own, see `potstill evaluate --suite FOLDER --help`.
    """

    labeller: Path
    """Folder of a teacher (model_index.json, config.json) or of a student (student.json), or
    "embedded"."""
    images: Path
    """Image shards, or the folder that holds them."""
    labels: Path
    """Folder of the label shards to score against."""
    tasks: tuple[str, ...] = TASKS
    """Tasks to score."""
    limit: int | None = None
    """Score the first so many photographs only."""
    batch_size: int = 16
    """Photographs that are labelled at once."""
    votes: int = 1
    """Paintings of each photograph that a teacher merges."""
    steps: int | None = None
    """Denoising steps of a painting, in place of the teacher's own."""
    lora: Path | None = None
    """LoRA adapter for a teacher: a safetensors file, or a folder of `potstill tune --base`."""
    alignment: str = "none"
    """Fit of each photograph's depth to the truth, which affine depth needs: least_squares, ransac;
    the share of photographs whose fit turned far into near is then scored as "inverted"."""
    device: str = "cpu"
    """Where the labeller runs: cpu or cuda."""
    ceiling: bool = False
    """Score what a teacher's codecs and autoencoder keep of the labels, without its denoiser."""
    out: Path | None = None
    """Also write the scores to this JSON file."""

    def __post_init__(self) -> None:
        if self.alignment not in ALIGNMENTS:
            known = ", ".join(ALIGNMENTS)
            raise ValueError(f"--alignment: expected one of {known}, found {self.alignment!r}")


class Labeller(Protocol):
    """Everything that maps photographs to labels."""

    @property
    def name(self) -> str: ...

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        """Label photographs (B, H, W, 3) uint8 sRGB; predictions may have another size."""
        ...


class StudentLabeller:
    """A student, run in float32 at the size that it was trained on."""

    def __init__(self, student: Student, name: str = "student") -> None:
        self.student = student.eval()
        self.name = name

    @torch.inference_mode()
    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        """As Labeller.predict; photographs are resized to the student's size."""
        fitted = [resize_photograph(p, *self.student.config.image_size) for p in photographs]
        images = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 255
        outputs = self.student(images.to(self.student.mean.device))
        return read_outputs(outputs, self.student)


class PainterLabeller:
    """A teacher; the seed of a painting follows from the photograph's pixels."""

    def __init__(self, teacher: JobLabeller, name: str = "teacher") -> None:
        self.teacher = teacher
        self.name = name

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        """As Labeller.predict, at the teacher's size."""
        fitted = [self.teacher.fit(photograph) for photograph in photographs]
        painted = self.teacher.paint(fitted, [_pixel_seed(p) for p in photographs])
        return [_prediction(self.teacher.read(item)) for item in painted]


def _prediction(labels: LabelPlanes) -> Prediction:
    metric = labels.depth_kind == "metric"
    return Prediction(
        depth_m=labels.depth_m if metric else None,
        affine_depth=None if metric else labels.depth_m,
        normal=labels.normal,
        segment=labels.segment,
        classes=labels.classes,
    )


def _pixel_seed(photograph: np.ndarray) -> int:
    return int.from_bytes(hashlib.sha256(photograph.tobytes()).digest()[:8], "big")


def read_outputs(outputs: Mapping[str, Tensor], student: Student) -> list[Prediction]:
    """The outputs of a student for a batch as predictions."""
    arrays: dict[str, np.ndarray] = {}
    if "depth" in outputs:
        name = "depth_m" if student.config.depth_kind == "metric" else "affine_depth"
        arrays[name] = outputs["depth"].float().cpu().numpy()
    if "normal" in outputs:
        arrays["normal"] = outputs["normal"].float().permute(0, 2, 3, 1).cpu().numpy()
    if "segment" in outputs:
        arrays["segment"] = outputs["segment"].argmax(1).cpu().numpy()
    count = len(next(iter(outputs.values())))
    return [
        Prediction(**{k: v[i] for k, v in arrays.items()}, classes=student.config.classes)
        for i in range(count)
    ]


def load_labeller(
    path: Path,
    device: str = "cpu",
    tasks: Sequence[str] = TASKS,
    votes: int = 1,
    *,
    steps: int | None = None,
    lora: Path | None = None,
) -> Labeller:
    """The teacher or student in a folder; a teacher merges so many paintings of a photograph.

    steps, lora: of a teacher, see teacher.painters.open_teacher.

    Raises ValueError when the folder holds neither, and what load_painter and load_student raise.
    """
    if (path / "student.json").is_file():
        if steps is not None or lora is not None:
            raise ValueError(f"{path} is a student, which takes neither --steps nor --lora")
        return StudentLabeller(load_student(path, device), path.name)
    if is_model_folder(path) or str(path) == "embedded":
        teacher = open_teacher(path, steps=steps, lora=lora)
        known = [task for task in tasks if task in teacher.card.tasks]
        labeller = build_labeller(teacher, known or tasks, votes, device=device)
        return PainterLabeller(labeller, path.name)
    raise ValueError(
        f"{path}: expected the folder of a student (student.json) or of a teacher "
        "(model_index.json, or config.json of a network of transformers), found neither"
    )


def evaluate(
    labeller: Labeller,
    images: Path,
    labels: Path,
    *,
    tasks: Sequence[str] = TASKS,
    batch_size: int = 16,
    limit: int | None = None,
    alignment: str = "none",
) -> dict:
    """Scores of a labeller on a label set: "images" and, per task, what metrics.Scores gives.

    images: image shards; labels: folder of label shards of the same names; tasks: of these, those
    that the labels have; alignment: of depth, see distill.alignment.align.
    Raises ValueError when nothing could be scored, and for affine depth without an alignment.
    """
    pairs = match_shards(images, labels)
    tasks = [task for task in labelled_tasks(pairs) if task in tasks]
    scores, fits = Scores(), list[Fitted]()
    with progress_bar() as bar:
        job = bar.add_task(f"evaluate {labeller.name}", total=limit)
        for group in _groups(pairs, tasks, batch_size, limit):
            predictions = labeller.predict(np.stack([photograph for photograph, _ in group]))
            for prediction, (_, truth) in zip(predictions, group, strict=True):
                resized = resize_prediction(prediction, truth.size)
                aligned, fitted = align(resized, truth, alignment)
                scores.update(aligned, truth)
                fits += [fitted] if fitted else []
            bar.advance(job, len(group))
    result = scores.result()
    if not result:
        raise ValueError(f"{labels}: nothing to score: no task in both the labels and the labeller")
    if fits:  # a fit may turn a map around that says far for near
        result["depth"]["inverted"] = sum(fit.inverted for fit in fits) / len(fits)
    return {"images": scores.images, **result}


def evaluate_config(config: EvaluateConfig) -> dict:
    """What `potstill evaluate` does: the scores of a labeller, and who was scored on what."""
    labeller = load_labeller(
        config.labeller,
        config.device,
        config.tasks,
        config.votes,
        steps=config.steps,
        lora=config.lora,
    )
    scores = evaluate(
        labeller,
        config.images,
        config.labels,
        tasks=config.tasks,
        batch_size=config.batch_size,
        limit=config.limit,
        alignment=config.alignment,
    )
    adapted = "" if config.lora is None else f" with {config.lora}"
    steps = "" if config.steps is None else f" in {config.steps} step(s)"
    return {
        "labeller": f"{config.labeller}{adapted}{steps}",
        "labels": str(config.labels),
        "alignment": config.alignment,
        **scores,
    }


def format_scores(scores: Mapping[str, Any]) -> str:
    """Scores as lines of text, one for each task."""
    alignment = scores.get("alignment", "none")
    fitted = "" if alignment == "none" else f", depth fitted by {alignment}"
    lines = [
        f"{scores['labeller']} on {scores['images']} photographs of {scores['labels']}{fitted}"
    ]
    for task in TASKS:
        numbers = {k: v for k, v in scores.get(task, {}).items() if isinstance(v, float)}
        if numbers:
            lines.append(f"{task:<8}" + "".join(f"  {k} {v:.3f}" for k, v in numbers.items()))
    return "\n".join(lines)


def labelled_tasks(pairs: Sequence[ShardPair]) -> tuple[str, ...]:
    """The tasks of the first label, which are those of all."""
    samples = (labels for pair in pairs for _, _, labels in read_pairs(*pair))
    first = next(samples, None)
    return () if first is None else first.tasks


def _groups(
    pairs: Sequence[ShardPair], tasks: Sequence[str], batch_size: int, limit: int | None
) -> Iterator[list[tuple[np.ndarray, Labels]]]:
    """Photographs at their labels' size, in groups of one size."""
    group: list[tuple[np.ndarray, Labels]] = []
    for _, photo, labels in islice(_samples(pairs, tasks), limit):
        if group and (len(group) == batch_size or group[0][1].size != labels.size):
            yield group
            group = []
        group.append((resize_photograph(decode_photograph(photo), *labels.size), labels))
    if group:
        yield group


def _samples(
    pairs: Sequence[ShardPair], tasks: Sequence[str]
) -> Iterator[tuple[str, bytes, Labels]]:
    for pair in pairs:
        yield from read_pairs(pair.images, pair.labels, tasks=tasks)


def resize_prediction(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    """A prediction at another (height, width): the nearest pixels, so that no surfaces blend."""

    def nearest(plane: np.ndarray | None) -> np.ndarray | None:
        return None if plane is None else resize_nearest(plane, *size)

    return Prediction(
        depth_m=nearest(prediction.depth_m),
        affine_depth=nearest(prediction.affine_depth),
        normal=nearest(prediction.normal),
        segment=nearest(prediction.segment),
        classes=prediction.classes,
    )

"""The best that a teacher could do: its codecs and its autoencoder, without its denoiser."""

from pathlib import Path
from typing import cast

import numpy as np

from distill.data import match_shards
from distill.evaluate_config import EvaluateConfig
from distill.metrics import Prediction, Scores
from teacher.label import PHOTOGRAPH, TeacherLabeller, card_palette
from teacher.painters import load_painter
from teacher.painters.flow import FlowPainter
from teacher.progress import track
from teacher.sample import TASKS, decode_photograph, resize_photograph
from teacher.shards import read_pairs
from teacher.tuning.paintings import Paints, paint


def ceiling(
    teacher: Path,
    images: Path,
    labels: Path,
    limit: int | None = None,
    lora: Path | None = None,
) -> dict:
    """Scores of true labels that were painted, passed through the VAE, and read again.

    teacher: folder of a teacher with a VAE; labels: ground truth of all tasks with the teacher's
    classes; lora: adapter whose card goes before the teacher's.
    Returns what distill.evaluate.evaluate does.
    """
    labeller = TeacherLabeller(load_painter(teacher, lora=lora))
    paints = Paints(card_palette(labeller.painter.card), labeller.depth_codec)
    scores = Scores()
    samples = (
        (decode_photograph(data), truth)
        for pair in match_shards(images, labels)
        for _, data, truth in read_pairs(pair.images, pair.labels)
    )
    for photograph, truth in track(samples, "ceiling", total=limit):
        scores.update(_redraw(labeller, photograph, paint(truth, paints)), truth)
        if scores.images == limit:
            break
    return {"images": scores.images, **scores.result()}


def ceiling_config(config: EvaluateConfig) -> dict:
    """What `potstill evaluate --ceiling` does."""
    scores = ceiling(config.labeller, config.photographs, config.on, config.limit, config.lora)
    name = f"ceiling of {config.labeller}"
    return {"labeller": name, "labels": str(config.on), **scores}


def _redraw(
    labeller: TeacherLabeller, photograph: np.ndarray, paintings: dict[str, np.ndarray]
) -> Prediction:
    painter = cast(FlowPainter, labeller.painter)
    redrawn = painter.round_trip(np.stack([paintings[task] for task in TASKS]))
    painted = {task: [painting] for task, painting in zip(TASKS, redrawn)}
    size = redrawn.shape[1:3]
    read = labeller.read({PHOTOGRAPH: [resize_photograph(photograph, *size)], **painted})
    return Prediction(
        depth_m=read.depth_m, normal=read.normal, segment=read.segment, classes=read.classes
    )

"""The ladder from PyTorch to every exported file: each rung must say what the one above it says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from distill.labellers import resize_prediction
from distill.metrics import Prediction, Scores
from export.parity import (
    ParityRow,
    Run,
    compare_outputs,
    dead_outputs,
    parity_batches,
    untraced_sizes,
)
from export.pictures import Picture
from export.rung import Rung
from export.session import Predictor
from student.model import Student, StudentConfig
from teacher.sample import resize_photograph

COMPARED_PHOTOGRAPHS = 4
"""Photographs that are compared pixel by pixel, at every size."""
SCORED_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Step:
    """One form of the student that is to be judged."""

    name: str
    run: Run
    precision: str = "fp32"
    size_px: tuple[int, int] | None = None
    """Height and width of a form for one photograph of one size."""


def run_torch(
    module: Callable[[torch.Tensor], Sequence[torch.Tensor]], names: Sequence[str]
) -> Run:
    """How a DeployGraph, or a program that was exported from one, is run."""

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            return {n: o.numpy() for n, o in zip(names, module(torch.from_numpy(batch)))}

    return run


def run_onnx(predictor: Predictor) -> Run:
    """How an ONNX file is run."""

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        prediction = predictor(batch)
        return {name: getattr(prediction, name) for name in predictor.outputs}

    return run


def climb(
    top: Step,
    steps: Sequence[Step],
    pictures: Sequence[Picture],
    student: Student,
) -> list[Rung]:
    """Judge each step against the top one, on the same pictures."""
    return [
        Rung(
            name=step.name,
            top=top.name,
            precision=step.precision,
            **compare_step(top, step, pictures, student.multiple_px),
            **score_step(top, step, pictures, student.config),
        )
        for step in steps
    ]


def compare_step(
    top: Step, step: Step, pictures: Sequence[Picture], multiple_px: int
) -> dict[str, Any]:
    """Pixel by pixel, at sizes that were not traced: the rows, and the dead outputs."""
    rows: list[ParityRow] = []
    dead: set[str] = set()
    sizes = [step.size_px] if step.size_px else untraced_sizes(multiple_px)
    photographs = [picture.photograph for picture in pictures[:COMPARED_PHOTOGRAPHS]]
    for batch in parity_batches(photographs, sizes, **({"batch": 1} if step.size_px else {})):
        expected = top.run(batch)
        rows += compare_outputs(expected, step.run(batch))
        dead |= dead_outputs(expected)
    return {"rows": rows, "dead": sorted(dead)}


@dataclass(kw_only=True)
class _Tallies:
    above: Scores = field(default_factory=Scores)
    truth: Scores = field(default_factory=Scores)
    truth_above: Scores = field(default_factory=Scores)


def score_step(
    top: Step, step: Step, pictures: Sequence[Picture], config: StudentConfig
) -> dict[str, Any]:
    """In task metrics, at the size that the student was trained on (or the only one it takes)."""
    tallies = _Tallies()
    size_px = step.size_px or config.image_size
    batch = 1 if step.size_px else SCORED_BATCH
    for start in range(0, len(pictures), batch):
        some = pictures[start : start + batch]
        images = np.stack([resize_photograph(p.photograph, *size_px) for p in some])
        expected, found = (_predictions(run(images), config) for run in (top.run, step.run))
        for picture, above, here in zip(some, expected, found, strict=True):
            tallies.above.update(here, _as_truth(above, here))
            if picture.labels is not None:
                size = picture.labels.size
                tallies.truth.update(resize_prediction(here, size), picture.labels)
                tallies.truth_above.update(resize_prediction(above, size), picture.labels)
    return {
        "above": tallies.above.result(),
        "truth": tallies.truth.result(),
        "truth_above": tallies.truth_above.result(),
        "photographs": len(pictures),
    }


def _predictions(outputs: Mapping[str, np.ndarray], config: StudentConfig) -> list[Prediction]:
    """Affine depth is not in metres, and left out."""
    names = [n for n in ("depth_m", "normal", "segment") if n in outputs]
    names = [n for n in names if n != "depth_m" or config.depth_kind == "metric"]
    count = len(next(iter(outputs.values())))
    return [
        Prediction(**{name: outputs[name][row] for name in names}, classes=config.classes)
        for row in range(count)
    ]


@dataclass(frozen=True, kw_only=True)
class _AsTruth:
    """A prediction in the part of the truth."""

    depth_m: np.ndarray | None
    normal: np.ndarray | None
    segment: np.ndarray | None
    classes: tuple[str, ...]
    depth_kind: str = "metric"


def _as_truth(above: Prediction, here: Prediction) -> _AsTruth:
    """Depth counts where neither says sky: a pixel of sky more or less is one of segmentation."""
    depth_m = above.depth_m
    if depth_m is not None and here.depth_m is not None:
        depth_m = np.where(np.isinf(here.depth_m), np.nan, depth_m)
    return _AsTruth(
        depth_m=depth_m, normal=above.normal, segment=above.segment, classes=above.classes
    )

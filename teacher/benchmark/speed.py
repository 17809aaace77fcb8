"""How fast one labeller is: photographs a second, arithmetic, memory, and where the time goes."""

import hashlib
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from teacher.benchmark.stage_clock import StageClock, timed
from teacher.label import TeacherLabeller
from teacher.labeller import Labeller
from teacher.painters.flow import FlowPainter
from teacher.sample import Record, decode_photograph, encode_labels

STAGES = ("read", "VAE encode", "transformer", "VAE decode", "network", "copy", "label")
"""Decode and fit the photograph; a painter's networks, or another labeller's only one; what else
painting takes, mostly copies between host and device; read the painting and encode the label."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured of one labeller."""

    size_px: tuple[int, int]
    """Height and width of a photograph."""
    photographs_per_s: float
    """Painting alone, batch after batch: a job's threads do the rest meanwhile."""
    tflop: float
    """Floating-point operations of a photograph, in 10^12; a multiplication and an addition are
    two."""
    memory_bytes: int
    """The most that was held: by tensors on a GPU, by the whole process so far on a CPU."""
    stage_ms: dict[str, float]
    """Stage of STAGES -> milliseconds of a photograph, each stage waited for."""


def measure(
    labeller: Labeller, files: Sequence[bytes], device: torch.device, *, batches: int, tflop: float
) -> Speed:
    """Label a batch of photographs a few times over.

    files: JPEG, PNG or WebP, which all have one size once they are cut to squares.
    tflop: of a photograph, if it is known; 0 = count. A compiled network cannot be counted.
    """
    clock = StageClock(device)
    with clock.stage("read"):
        fitted = [labeller.fit(square(decode_photograph(file))) for file in files]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    painted = labeller.paint(fitted, range(len(fitted)))  # compiles, picks algorithms
    started = time.perf_counter()
    for _ in range(batches):
        labeller.paint(fitted, range(len(fitted)))  # hands over to the host, so it has waited
    seconds = time.perf_counter() - started
    memory_bytes = _peak_memory(device)
    with clock.stage("label"):
        for file, item in zip(files, painted, strict=True):
            encode_labels(labeller.read(item).with_record(_record(labeller, file, fitted[0])))
    _paint_by_stage(labeller, fitted, clock)
    return Speed(
        size_px=fitted[0].shape[:2],
        photographs_per_s=batches * len(fitted) / seconds,
        tflop=tflop or _count_tflop(labeller, fitted[:1]),
        memory_bytes=memory_bytes,
        stage_ms={
            stage: 1e3 * clock.seconds[stage] / len(fitted)
            for stage in STAGES
            if stage in clock.seconds
        },
    )


def square(photograph: np.ndarray) -> np.ndarray:
    """The largest square (S, S, 3) in the middle of a photograph (H, W, 3)."""
    height, width, _ = photograph.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return photograph[top : top + side, left : left + side]


def _paint_by_stage(labeller: Labeller, fitted: Sequence[np.ndarray], clock: StageClock) -> None:
    """Paint one batch and add the time of each stage to the clock."""
    painter: Any = labeller.painter if isinstance(labeller, TeacherLabeller) else None
    if not isinstance(painter, FlowPainter):
        with clock.stage("network"):
            labeller.paint(fitted, range(len(fitted)))
        return
    with timed(painter, clock), clock.stage("copy"):
        labeller.paint(fitted, range(len(fitted)))
    networks = ("VAE encode", "transformer", "VAE decode")
    clock.seconds["copy"] -= sum(clock.seconds[stage] for stage in networks)


def _count_tflop(labeller: Labeller, fitted: Sequence[np.ndarray]) -> float:
    """Operations of matrix products, convolutions and attention for one photograph."""
    counter = FlopCounterMode(display=False)
    with counter:
        labeller.paint(fitted, [0])
    return counter.get_total_flops() / 1e12


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _record(labeller: Labeller, file: bytes, fitted: np.ndarray) -> Record:
    height_px, width_px = fitted.shape[:2]
    return Record(
        photo_sha256=hashlib.sha256(file).hexdigest(),
        height_px=height_px,
        width_px=width_px,
        photo_height_px=height_px,
        photo_width_px=width_px,
        **labeller.provenance(),
    )

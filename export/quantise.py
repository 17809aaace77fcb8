"""INT8 files of a student: within tolerance and faster on this machine, or not at all."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.calibration import SHARES
from export.latency import Timed, measure_together
from export.pictures import Picture
from export.quantiser import DynamicQuantiser, Quantiser, StaticQuantiser
from export.sensitivity import Judge, damage, exclude_worst
from export.verdict import Speed, Verdict, give_verdict
from student.model import StudentConfig
from teacher.sample import resize_photograph

CALIBRATED = 3
"""Every third photograph is for calibration; the others judge the file."""


def quantise_static(
    model: bytes,
    photographs: Sequence[np.ndarray],
    *,
    exclude: Sequence[str] = (),
    target: str = "x86",
) -> bytes:
    """An FP32 file with its products in INT8, their ranges seen on photographs.

    photographs: (H, W, 3) uint8, at the size that the student is used at. exclude: names of nodes
    that stay float32, besides those that export.structure leaves. target: see StaticQuantiser.
    Raises ValueError without photographs, and for bytes that are no such file.
    """
    quantiser = StaticQuantiser(model, photographs, target=target)
    return quantiser.quantise([node for node in quantiser.nodes if node not in exclude])


def quantise_dynamic(model: bytes, *, exclude: Sequence[str] = ()) -> bytes:
    """An FP32 file with its matrix products in INT8, ranges taken anew at every call.

    Raises ValueError for bytes that are no such file.
    """
    quantiser = DynamicQuantiser(model)
    return quantiser.quantise([node for node in quantiser.nodes if node not in exclude])


def make_int8(
    model: bytes,
    pictures: Sequence[Picture],
    config: StudentConfig,
    *,
    dynamic: bool = False,
    threads: int = 1,
) -> tuple[bytes | None, Verdict]:
    """The best INT8 file of an FP32 file, or None where it shall not ship; and why.

    pictures: photographs, every third to calibrate with, the others to judge with. threads: CPU
    threads with which it must be faster. Raises ValueError for fewer than two pictures and for
    bytes that are no such file.
    """
    if len(pictures) < 2:
        raise ValueError(
            f"INT8: expected photographs to calibrate with and others to judge with, found "
            f"{len(pictures)}; give more with --images and --labels"
        )
    judged = [picture for at, picture in enumerate(pictures) if at % CALIBRATED]
    judge = Judge(model, judged, config, threads=threads)
    photographs = np.stack([resize_photograph(p.photograph, *judge.size_px) for p in pictures])
    quantiser = (
        DynamicQuantiser(model) if dynamic else _calibrate(model, photographs[::CALIBRATED], judge)
    )
    found = exclude_worst(quantiser, judge)
    speed = None
    if found.model is not None:
        speed = race(model, found.model, photographs, threads=threads)
    verdict = give_verdict(model, quantiser.nodes, found, speed, photographs)
    return (found.model if verdict.ships else None), verdict


def _calibrate(model: bytes, photographs: np.ndarray, judge: Judge) -> Quantiser:
    """A quantiser with the ranges, all values or all but outliers, that do less damage."""
    quantiser = StaticQuantiser(model, list(photographs))

    def damage_of(share: float) -> float:
        quantiser.share = share
        return damage(judge.judge(quantiser.quantise(quantiser.nodes)))

    quantiser.share = min(SHARES, key=damage_of)
    return quantiser


def race(fp32: bytes, int8: bytes, photographs: np.ndarray, *, threads: int) -> Speed:
    """Time both files in turns, each in a process of its own. photographs: (N, H, W, 3) uint8."""
    with tempfile.TemporaryDirectory() as folder:
        labellers = {}
        for name, model in (("fp32", fp32), ("int8", int8)):
            path = Path(folder) / f"{name}.onnx"
            path.write_bytes(model)
            labellers[name] = Timed(path=path)
        size_px = (photographs.shape[1], photographs.shape[2])
        found = measure_together(labellers, photographs, threads=threads, size_px=size_px)
    return Speed(fp32=found["fp32"], int8=found["int8"])

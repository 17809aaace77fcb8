"""Which nodes a student cannot do without in float32: found by quantising them one at a time.

A file is judged by the metrics that users read, on photographs that it was not calibrated with. The
worst nodes go back to float32, as few as are needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from export.ladder import Step, run_onnx, score_step
from export.parity import Run
from export.pictures import Picture
from export.quantiser import Quantiser
from export.rung import HIGHER_IS_BETTER, Rung
from export.session import Predictor
from student.model import StudentConfig

RANKED_PICTURES = 8
"""On which single nodes are compared: distances to float32 need few photographs."""
AGREEMENT = {"absrel": 0.02, "delta1": 0.005, "mean_deg": 1.0, "miou": 0.02}
"""What may be lost on float32's own predictions, where no labels say how good these are: the mean
relative difference of depth, the share of pixels off by a quarter, degrees, and 1 - mIoU."""


class Judge:
    """Scores INT8 files against the labels, and against the float32 file that they come from."""

    def __init__(
        self, fp32: bytes, pictures: Sequence[Picture], config: StudentConfig, *, threads: int = 1
    ) -> None:
        self.pictures, self.config, self.threads = pictures, config, threads
        predictor = Predictor(fp32, threads=threads)
        self.fixed_px = predictor.size_px
        self.top = Step(name="onnx_fp32", run=remember(run_onnx(predictor)))

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width at which files are judged."""
        return self.fixed_px or self.config.image_size

    def judge(self, model: bytes, count: int | None = None) -> Rung:
        """The scores of a file, on the first so many pictures."""
        run = run_onnx(Predictor(model, threads=self.threads))
        step = Step(name="onnx_int8", run=run, precision="int8", size_px=self.fixed_px)
        scores = score_step(self.top, step, self.pictures[:count], self.config)
        return Rung(
            name=step.name,
            top=self.top.name,
            precision=step.precision,
            rows=(),
            dead=(),
            **scores,
        )


def remember(run: Run) -> Run:
    """The same answers, computed once for each batch."""
    known: dict[bytes, Mapping[str, np.ndarray]] = {}

    def answer(batch: np.ndarray) -> Mapping[str, np.ndarray]:
        key = batch.tobytes()
        if key not in known:
            known[key] = run(batch)
        return known[key]

    return answer


def failures(rung: Rung) -> list[str]:
    """What is lost beyond the tolerance, in words; without labels, on float32's own predictions."""
    if rung.truth:
        return rung.failures
    return [
        f"{task}: {metric} {rung.above[task][metric]:.4g} against float32 (limit {limit:g} off)"
        for metric, limit in AGREEMENT.items()
        for task in rung.above
        if metric in rung.above[task] and not _lost(metric, rung.above[task][metric]) <= limit
    ]


def _lost(metric: str, value: float) -> float:
    return 1 - value if metric in HIGHER_IS_BETTER else value


def damage(rung: Rung) -> float:
    """How far predictions moved away from float32's, on a scale that all tasks share."""
    return sum(
        _lost(metric, rung.above[task][metric]) * scale
        for task, metric, scale in (
            ("depth", "absrel", 1.0),
            ("normal", "mean_deg", np.pi / 180),
            ("segment", "miou", 1.0),
        )
        if task in rung.above
    )


@dataclass(frozen=True, kw_only=True)
class Found:
    """The largest choice of nodes that is near enough, as far as the search went."""

    model: bytes | None
    """The file, or None where even the nodes that move least are too much."""
    rung: Rung
    """Its scores, or those with every node in INT8 where there is none."""
    excluded: Sequence[str]
    """Nodes that were put back to float32, the worst first."""


def exclude_worst(quantiser: Quantiser, judge: Judge) -> Found:
    """Put nodes back to float32, the worst first, until the file is within its tolerance.

    How many is found by bisection, as if each node less made a file better.
    """
    rung = judge.judge(model := quantiser.quantise(quantiser.nodes))
    if not failures(rung):
        return Found(model=model, rung=rung, excluded=())
    ranked = rank(quantiser, judge)
    found = Found(model=None, rung=rung, excluded=ranked)
    low, high = 1, len(ranked) - 1  # at least one node in INT8 is left
    while low <= high:
        middle = (low + high) // 2
        model = quantiser.quantise(ranked[middle:])
        rung = judge.judge(model)
        if failures(rung):
            low = middle + 1
        else:
            found = Found(model=model, rung=rung, excluded=ranked[:middle])
            high = middle - 1
    return found


def rank(quantiser: Quantiser, judge: Judge) -> list[str]:
    """The nodes, that which does most damage alone first."""
    alone = {
        node: damage(judge.judge(quantiser.quantise([node]), RANKED_PICTURES))
        for node in quantiser.nodes
    }
    return sorted(alone, key=lambda node: -alone[node])

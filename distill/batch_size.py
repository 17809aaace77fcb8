"""`potstill train --find-batch-size`: how many photographs a step should take on this machine."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from distill.config import TrainConfig
from distill.data import match_sets, read_facts
from distill.labelled import LabelledShards
from distill.objective import Losses
from distill.optimisation import build_optimiser
from distill.samples import Batch, Packed
from distill.train import new_student
from distill.trainer import choose_precision
from student.model import Student

TIMED_STEPS = 3
WELL_NEAR = 0.95
"""A batch is large enough when it comes so near to the highest rate."""
FRUITLESS = 2
"""After so many doublings in a row that brought hardly more, no larger batch is tried."""
LARGEST = 1024


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What a batch size reaches."""

    batch_size: int
    photographs_per_s: float | None
    """None: out of memory."""
    memory_gb: float | None
    """Peak on a GPU, None on a CPU."""

    def describe(self) -> str:
        """One line."""
        if self.photographs_per_s is None:
            return f"{self.batch_size:>6}   out of memory"
        memory = "" if self.memory_gb is None else f"   {self.memory_gb:6.1f} GiB"
        return f"{self.batch_size:>6}   {self.photographs_per_s:8.1f} photographs/s{memory}"


def find_batch_size(config: TrainConfig) -> Iterator[Rate]:
    """Time steps with batches of 1, 2, 4 ... photographs, until memory ends it or rates level off.

    A step is a forward pass, the losses, a backward pass and the optimiser, of the student and with
    the labels that `config` would train; nothing is stored. On a CPU, where a batch that does not
    fit would take the machine down, rates alone decide.
    Raises ValueError and FileNotFoundError as train does.
    """
    pairs = match_sets(config.label_sets)
    facts = read_facts(pairs, config.tasks)
    student = new_student(config, facts)
    shards = LabelledShards(pairs, facts, student.config.image_size)
    device = _device(config)
    step = Step(config, student.to(device).train())
    best, size, fruitless = 0.0, 1, 0
    while size <= LARGEST and fruitless < FRUITLESS:
        sample = Packed.stack((shards[row % len(shards)] for row in range(size)), size)
        rate = measure(step, move(sample.unpack(), device), device)
        yield rate
        if rate.photographs_per_s is None:
            return
        fruitless = fruitless + 1 if WELL_NEAR * rate.photographs_per_s < best else 0
        best, size = max(best, rate.photographs_per_s), 2 * size


class Step:
    """One training step without a Trainer."""

    def __init__(self, config: TrainConfig, student: Student) -> None:
        self.student = student
        self.objective = Losses(config.objective)
        settings = replace(config.optimisation, learning_rate=0.0)
        self.optimiser = build_optimiser(settings, student)
        self.autocast = choose_precision(config) == "bf16-mixed"
        self.affine = config.depth_kind == "affine"

    def __call__(self, batch: Batch) -> None:
        with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=self.autocast):
            outputs = self.student(batch.images.contiguous(memory_format=torch.channels_last))
        parts = self.objective.losses(outputs, batch, self.affine)
        torch.stack(list(parts.values())).sum().backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def measure(step: Step, batch: Batch, device: torch.device) -> Rate:
    """The rate of a step on this batch, the first one not counted."""
    size, on_gpu = len(batch.keys), device.type == "cuda"
    try:
        step(batch)
        if on_gpu:
            torch.cuda.synchronize(device)
        started_s = perf_counter()
        for _ in range(TIMED_STEPS):
            step(batch)
        if on_gpu:
            torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        return Rate(batch_size=size, photographs_per_s=None, memory_gb=None)
    taken_s = perf_counter() - started_s
    memory_gb = torch.cuda.max_memory_allocated(device) / 2**30 if on_gpu else None
    return Rate(
        batch_size=size, photographs_per_s=TIMED_STEPS * size / taken_s, memory_gb=memory_gb
    )


def recommended(rates: list[Rate]) -> Rate:
    """The smallest batch that comes near to the highest rate.

    Raises ValueError when not even one photograph fits.
    """
    found = [rate for rate in rates if rate.photographs_per_s is not None]
    if not found:
        raise ValueError(
            "not even one photograph fits into memory: give a smaller --size_px or --preset"
        )
    best = max(rate.photographs_per_s or 0 for rate in found)
    return next(r for r in found if (r.photographs_per_s or 0) >= WELL_NEAR * best)


def move(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    return batch._replace(
        images=batch.images.to(device),
        labels={task: plane.to(device) for task, plane in batch.labels.items()},
        confidence=batch.confidence.to(device),
        intrinsics=batch.intrinsics.to(device),
    )


def _device(config: TrainConfig) -> torch.device:
    if config.device != "auto":
        return torch.device(config.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

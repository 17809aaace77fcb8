"""Batches to train on and to validate with: from memory when the labels fit, else streamed."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from distill.augment import DRAWS, augment, rescale
from distill.cache import cached
from distill.labelled import LabelledShards
from distill.losses import IGNORE_INDEX
from distill.order import Order, mix
from distill.samples import Batch, Packed, fitting
from distill.settings import Augmentation
from teacher.map_ahead import map_ahead, read_ahead
from teacher.progress import track

VALIDATION_IMAGES = 128
"""Held-out samples that a validation looks at; more would only take time."""
AHEAD = 2
"""Batches that are ready before they are asked for."""
DECODE_THREADS = 4
"""That fill the memory; decoders let go of Python's lock."""


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """How samples become batches."""

    batch_size: int
    augmentation: Augmentation
    validation_fraction: float
    memory_gb: float
    workers: int
    seed: int
    cache: Path | None = None


class Loaded(NamedTuple):
    """Batches of one rank: endless ones to train on, and those of a validation."""

    training: "TrainingBatches"
    validation: "ValidationBatches"


def load(
    shards: LabelledShards,
    settings: LoaderSettings,
    start_step: int = 0,
    *,
    rank: int = 0,
    world: int = 1,
) -> Loaded:
    """Decode label sets into memory if they fit, or into a cache if one is given; else stream them.

    start_step: batches that this rank has met before. What it meets next is what distill.order
    says: the same samples, varied in the same way, in memory, cached or streamed by any number of
    workers.

    Raises ValueError when nothing is left to train on, when a task has no valid pixel, and as
    LabelledShards does.
    """
    held = shards.held_out(settings.validation_fraction)
    if held.all():
        raise ValueError(
            f"{shards.folder}: all {len(held)} labelled photographs are held out for validation; "
            "label more, or lower --validation_fraction"
        )
    order = Order(
        groups=shards.groups(~held),
        batch_size=settings.batch_size,
        seed=settings.seed,
        start_step=start_step,
        rank=rank,
        world=world,
    )
    shown = _spread(np.flatnonzero(held), VALIDATION_IMAGES)
    if settings.cache or shards.packed_bytes <= settings.memory_gb * 2**30:
        samples = _all(shards, settings.cache)
        validation, packed = samples.take(shown), MemoryBatches(samples, order)
    else:
        looked_at = shown or _spread(np.arange(len(shards)), VALIDATION_IMAGES)
        samples = Packed.stack(_decode(shards, looked_at, "decode held-out"), len(looked_at))
        validation, packed = samples.take(range(len(shown))), StreamBatches(shards, order, settings)
    check_valid(samples, shards.folder)
    lens = math.inf if shards.facts.depth_kind == "affine" else longest_focal(validation)
    return Loaded(
        TrainingBatches(packed, order, settings.augmentation, lens),
        ValidationBatches(validation, settings.batch_size, rank, world),
    )


def _spread(rows: np.ndarray, most: int) -> list[int]:
    """At most so many of the rows, evenly spread over them."""
    chosen = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
    return rows[chosen].tolist()


def _all(shards: LabelledShards, cache: Path | None) -> Packed:
    """All samples, in memory or mapped into it."""
    if cache:
        return cached(shards, cache, _decode(shards, range(len(shards)), "decode to cache"))
    return Packed.stack(_decode(shards, range(len(shards)), "decode labels"), len(shards))


def _decode(shards: LabelledShards, rows: Sequence[int], description: str) -> Iterator[Packed]:
    """Samples in the given order, decoded by a few threads."""
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        samples = map_ahead(pool, shards.__getitem__, rows, ahead=2 * DECODE_THREADS)
        yield from track(samples, description, len(rows))


def check_valid(samples: Packed, where: Path) -> None:
    """Raise ValueError when no pixel of all samples has a label of some task."""
    valid = {
        "depth": lambda depth: depth.isfinite() & (depth > 0),
        "normal": lambda normal: normal != 0,
        "segment": lambda segment: segment != IGNORE_INDEX,
    }
    empty = [
        task
        for task, planes in samples.labels.items()
        if not any(bool(valid[task](plane).any()) for plane in planes)
    ]
    if empty:
        raise ValueError(
            f"{where}: no valid pixel of {', '.join(empty)} in {len(samples.keys)} labels; look at "
            "the labels, or leave the task out with --tasks"
        )


@dataclass(frozen=True)
class ValidationBatches:
    """The same samples each time, as they are; one rank's share of them.

    Rank r has samples r, r + world, ...: each sample is met once by one rank. All ranks have the
    same number of batches, as a rank that comes late would let the others wait for ever, so that
    the last ones may be smaller, and empty where there are fewer samples than ranks.
    """

    samples: Packed
    """Those of all ranks."""
    batch_size: int
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        most = -(-len(self.samples.keys) // self.world)
        return -(-most // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        mine = np.arange(self.rank, len(self.samples.keys), self.world)
        for rows in np.array_split(mine, max(1, len(self)))[: len(self)]:
            yield self.samples.take(rows.tolist()).unpack()


class TrainingBatches:
    """Augmented batches for ever, made by a thread while the student learns from earlier ones."""

    def __init__(
        self,
        packed: "MemoryBatches | StreamBatches",
        order: Order,
        augmentation: Augmentation,
        longest_focal: float,
    ) -> None:
        self.packed = packed
        self.order = order
        self.augmentation = augmentation
        self.longest_focal = longest_focal

    def __iter__(self) -> Iterator[Batch]:
        # Worker processes are started here, as a thread should not do it.
        return read_ahead(self._varied(iter(self.packed)), ahead=AHEAD)

    def _varied(self, packed: Iterator[Packed]) -> Iterator[Batch]:
        """Runs in a thread of its own, whose operators shall not compete with the model's: with as
        many threads as the model, two cores did 53 steps in half a minute, with one 85."""
        torch.set_num_threads(1)
        for step, stack in enumerate(packed, self.order.start_step):
            batch = rescale(stack.unpack(), self._size(step, stack))
            draws = self.order.draws(step, DRAWS)
            yield augment(batch, self.augmentation, draws, self.longest_focal)

    def _size(self, step: int, stack: Packed) -> tuple[int, int]:
        """The size of a step's batch, the same on all ranks: a multiple of what backbones take."""
        height, width = stack.images.shape[-2:]
        rng = np.random.default_rng(mix(self.order.seed, step))
        scale = rng.choice(self.augmentation.scales)
        return (height, width) if scale == 1 else fitting((height * scale, width * scale))


@dataclass(frozen=True)
class MemoryBatches:
    """Stacks taken out of one that holds the whole set."""

    samples: Packed
    order: Order

    def __iter__(self) -> Iterator[Packed]:
        return map(self.samples.take, self.order)


class StreamBatches:
    """Stacks from the shards, decoded by worker processes; without any, by the thread that asks."""

    def __init__(self, shards: LabelledShards, order: Order, settings: LoaderSettings) -> None:
        self.loader = DataLoader(
            _Stacks(shards),
            sampler=order,  # type: ignore[arg-type]  # it yields the rows of a whole batch
            batch_size=None,
            num_workers=settings.workers,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # or it would draw from that of the training
        )

    def __iter__(self) -> Iterator[Packed]:
        return map(_sound, iter(self.loader))


class _Stacks(Dataset[Packed | Exception]):
    """Stacks by their rows. What goes wrong is handed over, as a DataLoader that raises it would
    print the traceback of a worker in place of the one line that matters."""

    def __init__(self, shards: LabelledShards) -> None:
        self.shards = shards

    def __getitem__(self, rows: Sequence[int]) -> Packed | Exception:
        try:
            return Packed.stack((self.shards[row] for row in rows), len(rows))
        except (ValueError, OSError) as error:
            return error


def _as_it_is(stack: Any) -> Any:
    return stack


def _sound(stack: Packed | Exception) -> Packed:
    if isinstance(stack, Exception):
        raise stack
    return stack


def longest_focal(samples: Packed) -> float:
    """Focal length over image width of the longest lens among the samples; NaN if none is known."""
    relative = samples.intrinsics[:, 0] / samples.images.shape[-1]
    known = relative[relative.isfinite()]
    return float(known.max()) if len(known) else float("nan")

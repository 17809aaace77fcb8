"""Endless training batches: from memory when the label set fits, streamed from shards otherwise."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from webdataset.filters import select

from distill.augment import augment
from distill.data import LabelledShards, held_out, label_keys
from distill.losses import IGNORE_INDEX
from distill.samples import Batch, Packed
from teacher.progress import track

BYTES_PER_PIXEL = 16
"""Memory of one labelled pixel in Packed, rounded up."""
VALIDATION_IMAGES = 128
"""Held-out samples that a validation looks at; more would only take time."""
SHUFFLE_BUFFER = 1000


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are varied; a mirrored half of them is always there."""

    jitter: float = 0.2
    """Largest relative change of brightness, contrast and saturation; labels stay as they are."""
    max_zoom: float = 1.0
    """Largest factor of a zoom into photographs whose focal length is known; 1 = none."""


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """How samples become batches."""

    batch_size: int
    augmentation: Augmentation
    validation_fraction: float
    memory_gb: float
    workers: int
    seed: int


@dataclass(frozen=True)
class ValidationBatches:
    """The same samples each time, as they are."""

    samples: Packed
    batch_size: int

    def __len__(self) -> int:
        return -(-len(self.samples.keys) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        rows = range(len(self.samples.keys))
        for start in rows[:: self.batch_size]:
            yield self.samples.take(rows[start : start + self.batch_size]).unpack()


class Loaded(NamedTuple):
    """Endless training batches, and validation batches."""

    training: Iterable[Batch]
    validation: ValidationBatches


def load(shards: LabelledShards, settings: LoaderSettings, start_step: int = 0) -> Loaded:
    """Decode a label set into memory if it fits, else stream it.

    Raises ValueError when nothing is left to train on, or when a task has no valid pixel.
    """
    keys = label_keys(shards.pairs)
    held = [held_out(key, settings.validation_fraction) for key in keys]
    if all(held):
        raise ValueError(
            f"{shards.folder}: all {len(keys)} labelled photographs are held out for validation; "
            "label more, or lower --validation_fraction"
        )
    pixels = len(keys) * shards.size[0] * shards.size[1]
    if pixels * BYTES_PER_PIXEL > settings.memory_gb * 2**30:
        return _stream(shards, settings, sum(held))
    samples = Packed.stack(track(shards.once(), "decode labels", len(keys)), len(keys))
    check_valid(samples, shards.folder)
    training = [row for row, is_held in enumerate(held) if not is_held]
    validation = [row for row, is_held in enumerate(held) if is_held][:VALIDATION_IMAGES]
    return Loaded(
        MemoryBatches(samples, training, settings, start_step),
        ValidationBatches(samples.take(validation), settings.batch_size),
    )


def _stream(shards: LabelledShards, settings: LoaderSettings, held: int) -> Loaded:
    wanted = min(held, VALIDATION_IMAGES)
    chosen = (s for s in shards.once() if held_out(s.keys[0], settings.validation_fraction))
    samples = Packed.stack(track(islice(chosen, wanted), "decode held-out", wanted), wanted)
    if wanted:
        check_valid(samples, shards.folder)
    return Loaded(
        StreamBatches(shards, settings, longest_focal(samples)),
        ValidationBatches(samples, settings.batch_size),
    )


def check_valid(samples: Packed, where: Path) -> None:
    """Raise ValueError when no pixel of all samples has a label of some task."""
    valid = {
        "depth": lambda depth: depth.isfinite() & (depth > 0),
        "normal": lambda normal: normal != 0,
        "segment": lambda segment: segment != IGNORE_INDEX,
    }
    empty = [task for task, plane in samples.labels.items() if not valid[task](plane).any()]
    if empty:
        raise ValueError(
            f"{where}: no valid pixel of {', '.join(empty)} in {len(samples.keys)} labels; look at "
            "the labels, or leave the task out with --tasks"
        )


class MemoryBatches:
    """Batches for ever out of some rows of a stack: a function of the seed and the step alone.

    Every sample is met once in each pass, and a run that starts at step n sees what an
    uninterrupted one would have seen.
    """

    def __init__(
        self,
        samples: Packed,
        rows: Sequence[int],
        settings: LoaderSettings,
        start_step: int = 0,
    ) -> None:
        self.samples = samples
        self.rows = torch.tensor(rows)
        self.settings = settings
        self.start_step = start_step
        self.longest_focal = longest_focal(samples)

    def __iter__(self) -> Iterator[Batch]:
        size = min(self.settings.batch_size, len(self.rows))
        steps_per_pass = len(self.rows) // size
        order, pass_of_order = self.rows, -1
        for step in count(self.start_step):
            number, position = divmod(step, steps_per_pass)
            if number != pass_of_order:
                order, pass_of_order = self._order(number), number
            taken = order[position * size : (position + 1) * size].tolist()
            yield _vary(self.samples.take(taken), self.settings, self.longest_focal, step)

    def _order(self, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(mix(self.settings.seed, 2 * number + 1))
        return self.rows[torch.randperm(len(self.rows), generator=generator)]


class StreamBatches:
    """Batches for ever from shards on disk, decoded by worker processes.

    A resumed run begins a new pass over the shards, other than with MemoryBatches.
    """

    def __init__(
        self, shards: LabelledShards, settings: LoaderSettings, longest_focal: float
    ) -> None:
        pipeline = shards.endless(settings.seed, SHUFFLE_BUFFER)
        pipeline.append(select(partial(_is_training, settings.validation_fraction)))
        self.loader = DataLoader(
            cast(IterableDataset, pipeline),
            batch_size=settings.batch_size,
            num_workers=settings.workers,
            collate_fn=_stack_all,
        )
        self.settings = settings
        self.longest_focal = longest_focal

    def __iter__(self) -> Iterator[Batch]:
        for step, packed in enumerate(self.loader):
            yield _vary(packed, self.settings, self.longest_focal, step)


def _is_training(fraction: float, sample: Packed) -> bool:
    return not held_out(sample.keys[0], fraction)


def _stack_all(samples: list[Packed]) -> Packed:
    return Packed.stack(samples, len(samples))


def _vary(packed: Packed, settings: LoaderSettings, longest_focal: float, step: int) -> Batch:
    """A stack as an augmented batch, with a generator of its own for each step."""
    return augment(
        packed.unpack(),
        jitter=settings.augmentation.jitter,
        max_zoom=settings.augmentation.max_zoom,
        longest_focal=longest_focal,
        generator=torch.Generator().manual_seed(mix(settings.seed, 2 * step)),
    )


def longest_focal(samples: Packed) -> float:
    """Focal length over image width of the longest lens among the samples; NaN if none is known."""
    relative = samples.intrinsics[:, 0] / samples.images.shape[-1]
    known = relative[relative.isfinite()]
    return float(known.max()) if len(known) else float("nan")


def mix(seed: int, number: int) -> int:
    """A seed of its own for each number below 2^32."""
    return (seed % 2**31 << 32) + number

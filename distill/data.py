"""Labelled shards as tensors: photographs and labels joined by key, decoded by explicit decoders.

webdataset divides shards among workers and shuffles samples. It does not decode: its own decoders
clip 16-bit PNG and unpickle members, so that tars are read and checked by `teacher.shards` alone.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from webdataset.filters import shuffle
from webdataset.pipeline import DataPipeline

from distill.losses import IGNORE_INDEX
from teacher.sample import (
    CONFIDENCE_STRIDE,
    TASKS,
    Labels,
    confidence_size,
    decode_photograph,
    resize_photograph,
)
from teacher.shards import image_shards, read_pairs, read_shard

LABEL_MEMBER = "label.json"
CERTAIN = 255
"""The highest stored confidence; labels without any count as certain."""


class Batch(NamedTuple):
    """B photographs with their labels, as the losses and the augmentation take them."""

    keys: tuple[str, ...]
    images: Tensor
    """(B, 3, H, W) float32 sRGB, 0..1"""
    labels: dict[str, Tensor]
    """"depth" (B, H, W) float32 metres (or 0..1 if affine), NaN = unknown, inf = sky; "normal"
    (B, 3, H, W) float32 unit vectors, zero = unknown; "segment" (B, H, W) int64 class ids,
    IGNORE_INDEX = ignore"""
    confidence: Tensor
    """(B, 3, H/4, W/4) float32, 0..1, in the order of TASKS"""
    intrinsics: Tensor
    """(B, 4) float32: fx, fy, cx, cy in pixels; NaN = camera not known"""


class Packed(NamedTuple):
    """One sample, or a stack of them, in the smallest dtypes that hold it: 15 bytes per pixel.

    As Batch, but images and confidence are uint8, "normal" is float16 and "segment" int16.
    """

    keys: tuple[str, ...]
    images: Tensor
    labels: dict[str, Tensor]
    confidence: Tensor
    intrinsics: Tensor

    @classmethod
    def stack(cls, samples: Iterable[Self], count: int) -> Self:
        """Join so many samples of one size; they are copied one by one, as they come.

        Raises ValueError when there are fewer.
        """
        stack, rows = None, 0
        keys: list[str] = []
        for rows, sample in enumerate(islice(samples, count), start=1):
            stack = stack or cls((), *_like(sample, count))
            keys.extend(sample.keys)
            stack._write(rows - 1, sample)
        if stack is None or rows < count:
            raise ValueError(f"expected {count} samples, found {rows}")
        return stack._replace(keys=tuple(keys))

    def _write(self, row: int, sample: Self) -> None:
        self.images[row] = sample.images
        self.confidence[row] = sample.confidence
        self.intrinsics[row] = sample.intrinsics
        for task, plane in sample.labels.items():
            self.labels[task][row] = plane

    def take(self, rows: Sequence[int]) -> Self:
        """Some samples of a stack, in the given order."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return self.__class__(
            keys=tuple(self.keys[row] for row in rows),
            images=self.images[index],
            labels={task: plane[index] for task, plane in self.labels.items()},
            confidence=self.confidence[index],
            intrinsics=self.intrinsics[index],
        )

    def unpack(self) -> Batch:
        """A stack as a batch."""
        dtypes = {"depth": torch.float32, "normal": torch.float32, "segment": torch.int64}
        return Batch(
            keys=self.keys,
            images=self.images.float() / 255,
            labels={task: plane.to(dtypes[task]) for task, plane in self.labels.items()},
            confidence=self.confidence.float() / CERTAIN,
            intrinsics=self.intrinsics,
        )


def _like(sample: Packed, count: int) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor]:
    """Room for so many samples: images, labels, confidence, intrinsics."""

    def room(plane: Tensor) -> Tensor:
        return plane.new_empty(count, *plane.shape)

    labels = {task: room(plane) for task, plane in sample.labels.items()}
    return room(sample.images), labels, room(sample.confidence), room(sample.intrinsics)


class ShardPair(NamedTuple):
    """An image shard and the label shard of the same name."""

    images: Path
    labels: Path


def match_shards(images: Path, labels: Path) -> list[ShardPair]:
    """Pair the label shards of a folder with image shards of the same name.

    Image shards that are not labelled yet are passed over. Raises FileNotFoundError when there is
    no label shard, ValueError when a label shard has no image shard.
    """
    found = sorted(labels.glob("*.tar"))
    if not found:
        raise FileNotFoundError(
            f"{labels}: no label shards (*.tar); write them with `potstill label`"
        )
    photographs = {path.name: path for path in image_shards(images)}
    if strays := [path.name for path in found if path.name not in photographs]:
        raise ValueError(
            f"{labels}: label shard {strays[0]} has no image shard of that name in {images}; give "
            "the photographs that were labelled"
        )
    return [ShardPair(photographs[path.name], path) for path in found]


def label_keys(pairs: Sequence[ShardPair]) -> list[str]:
    """Keys of all labels, in the order of LabelledShards.once; decodes nothing."""
    return [
        sample.key for pair in pairs for sample in read_shard(pair.labels, suffixes=(LABEL_MEMBER,))
    ]


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """What all labels of a set have in common."""

    tasks: tuple[str, ...]
    classes: tuple[str, ...]
    depth_kind: str | None
    size: tuple[int, int]
    """Height and width of the first labels; others may differ, and are fitted."""


def read_facts(pairs: Sequence[ShardPair], tasks: Sequence[str]) -> LabelFacts:
    """Facts of the first label. Raises ValueError when the shards hold no label at all."""
    for pair in pairs:
        for _, _, labels in read_pairs(pair.images, pair.labels, tasks=tasks):
            classes = labels.classes if "segment" in tasks else ()
            return LabelFacts(
                tasks=labels.tasks, classes=classes, depth_kind=labels.depth_kind, size=labels.size
            )
    raise ValueError(
        f"{pairs[0].labels.parent}: the label shards are empty; label photographs first"
    )


class LabelledShards:
    """Samples of a label set, as an endless or a single pass over its shards.

    size: (height, width) to which samples are fitted. Every sample is checked against `facts`:
    ValueError names the shard and the key when class names or the kind of depth differ.
    """

    def __init__(
        self, pairs: Sequence[ShardPair], facts: LabelFacts, size: tuple[int, int]
    ) -> None:
        self.pairs = list(pairs)
        self.facts = facts
        self.size = size

    @property
    def folder(self) -> Path:
        """Where the label shards lie."""
        return self.pairs[0].labels.parent

    def once(self) -> Iterator[Packed]:
        """Every sample once, in the order of shards and keys."""
        return self._read(iter(self.pairs))

    def endless(self, seed: int, buffer: int) -> DataPipeline:
        """Samples for ever: shards in random order for each worker, shuffled in a buffer."""
        return DataPipeline(ShardPairs(self.pairs, seed), self._read, shuffle(buffer, seed=seed))

    def _read(self, pairs: Iterator[ShardPair]) -> Iterator[Packed]:
        for pair in pairs:
            for key, photo, labels in read_pairs(*pair, tasks=self.facts.tasks):
                where = f"{pair.labels}: {key}"
                check_facts(labels, self.facts, where)
                yield pack_sample(key, photo, labels, self.size, where)


class ShardPairs(torch.utils.data.IterableDataset):
    """Shard pairs for ever, in an order drawn anew for each pass and each worker."""

    def __init__(self, pairs: Sequence[ShardPair], seed: int) -> None:
        self.pairs = list(pairs)
        self.seed = seed

    def __iter__(self) -> Iterator[ShardPair]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, 0 if worker is None else worker.id))
        while True:
            for index in rng.permutation(len(self.pairs)):
                yield self.pairs[index]


def check_facts(labels: Labels, facts: LabelFacts, where: str) -> None:
    """Raise ValueError when a label does not go together with the first of its set."""
    if facts.classes and labels.classes != facts.classes:
        raise ValueError(
            f"{where}: expected the classes {list(facts.classes)} as in the first shard, found "
            f"{list(labels.classes)}; train on label sets of the same classes"
        )
    if labels.depth_kind != facts.depth_kind:
        raise ValueError(
            f"{where}: expected {facts.depth_kind} depth as in the first shard, found "
            f"{labels.depth_kind}; train on label sets of one kind"
        )


def pack_sample(
    key: str, photo: bytes, labels: Labels, size: tuple[int, int], where: str = ""
) -> Packed:
    """Decode and fit one sample: scaled to cover `size` with its aspect kept, centre-cropped.

    Labels are taken from the nearest pixel; metres and normals stay as they are, since the camera
    does not move; intrinsics follow. Raises ValueError naming `where` for a broken photograph.
    """
    try:
        pixels = decode_photograph(photo)
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from error
    window = _cover(labels.size, size)
    image = resize_photograph(pixels, *window.scaled)[window.crop]
    confidence = labels.confidence
    if confidence is None:
        confidence = np.full((*confidence_size(labels.size), len(TASKS)), CERTAIN, np.uint8)
    return Packed(
        keys=(key,),
        images=_planes_first(image),
        labels=_pack_labels(labels, window),
        confidence=_planes_first(window.read(confidence, CONFIDENCE_STRIDE)),
        intrinsics=torch.tensor(window.intrinsics(labels.record.intrinsics)),
    )


def _pack_labels(labels: Labels, window: "_Window") -> dict[str, Tensor]:
    packed: dict[str, Tensor] = {}
    if labels.depth_m is not None:
        packed["depth"] = torch.from_numpy(window.read(labels.depth_m))
    if labels.normal is not None:
        packed["normal"] = _planes_first(window.read(labels.normal)).half()
    if labels.segment is not None:
        ids = window.read(labels.segment)
        signed = np.where(ids == labels.ignore_id, IGNORE_INDEX, ids.astype(np.int16))
        packed["segment"] = torch.from_numpy(signed.astype(np.int16))
    return packed


def _planes_first(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


@dataclass(frozen=True, kw_only=True)
class _Window:
    """How labels of one size meet a student's size: scaled, then cropped."""

    labels: tuple[int, int]
    scaled: tuple[int, int]
    size: tuple[int, int]

    @property
    def offset(self) -> tuple[int, int]:
        return (self.scaled[0] - self.size[0]) // 2, (self.scaled[1] - self.size[1]) // 2

    @property
    def crop(self) -> tuple[slice, slice]:
        (top, left), (height, width) = self.offset, self.size
        return slice(top, top + height), slice(left, left + width)

    def read(self, plane: np.ndarray, stride: int = 1) -> np.ndarray:
        """The nearest pixels of a plane that is stored at 1/stride of the labels' size."""
        rows, columns = (
            ((np.arange(0, self.size[a], stride) + self.offset[a] + 0.5) * self.labels[a])
            // (self.scaled[a] * stride)
            for a in (0, 1)
        )
        return np.ascontiguousarray(plane[rows.astype(int)][:, columns.astype(int)])

    def intrinsics(
        self, known: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float]:
        if known is None:
            return np.nan, np.nan, np.nan, np.nan
        y, x = self.scaled[0] / self.labels[0], self.scaled[1] / self.labels[1]
        fx, fy, cx, cy = known
        return fx * x, fy * y, cx * x - self.offset[1], cy * y - self.offset[0]


def _cover(labels: tuple[int, int], size: tuple[int, int]) -> _Window:
    scale = max(size[0] / labels[0], size[1] / labels[1])
    scaled = max(size[0], round(labels[0] * scale)), max(size[1], round(labels[1] * scale))
    return _Window(labels=labels, scaled=scaled, size=size)


def held_out(key: str, fraction: float) -> bool:
    """Whether a sample belongs to the validation part: decided by its key alone, for ever."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64

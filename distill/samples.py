"""One labelled sample as tensors, stacks of them, and batches for training."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from distill.losses import IGNORE_INDEX
from teacher.sample import (
    CONFIDENCE_STRIDE,
    TASKS,
    Labels,
    confidence_size,
    decode_photograph,
    resize_photograph,
)

CERTAIN = 255
"""The highest stored confidence; labels without any count as certain."""
BYTES_PER_PIXEL = 16
"""Memory of one labelled pixel in Packed, rounded up."""
STRIDE_PX = 32
"""Of the coarsest feature map of most backbones."""


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
        samples = iter(samples)
        for rows, sample in enumerate(islice(samples, count), start=1):
            stack = stack or cls((), *_like(sample, count))
            keys.extend(sample.keys)
            stack._write(rows - 1, sample)
        next(samples, None)  # so that a progress bar among them sees its end
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
        normal = torch.from_numpy(window.read(labels.normal))
        packed["normal"] = normal.half().permute(2, 0, 1).contiguous()
    if labels.segment is not None:
        ids = window.read(labels.segment)
        signed = ids.astype(np.int16)
        signed[ids == labels.ignore_id] = IGNORE_INDEX
        packed["segment"] = torch.from_numpy(signed)
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
        if self.labels == self.size:
            return plane
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


def fitting(size: tuple[float, float]) -> tuple[int, int]:
    """The nearest height and width that backbones of the usual strides take."""
    height, width = (max(1, round(length / STRIDE_PX)) * STRIDE_PX for length in size)
    return height, width

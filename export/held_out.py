"""The photographs that a comparison is made on, one by one, with the truth about them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from teacher.progress import track
from teacher.sample import Labels, decode_photograph, resize_photograph
from teacher.shards import image_shards, read_pairs


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """One photograph at the size of its labels, and the truth about it."""

    key: str
    photograph: np.ndarray
    """(H, W, 3) uint8"""
    truth: Labels


def read_held_out(images: Path, labels: Path) -> Iterator[HeldOut]:
    """The photographs of image shards with the labels of the label shards of the same names.

    Raises FileNotFoundError or ValueError naming the shard without labels, the photograph that
    cannot be read, and labels of another size than the first.
    """
    size: tuple[int, int] | None = None
    for shard in image_shards(images):
        label_shard = labels / shard.name
        if not label_shard.is_file():
            raise FileNotFoundError(f"{label_shard}: no such label shard; {shard} needs one")
        for key, data, truth in read_pairs(shard, label_shard):
            where = f"{shard}: {key}"
            size = size or truth.size
            if truth.size != size:
                raise ValueError(f"{where}: labels of {truth.size}, those before are {size}")
            photograph = resize_photograph(_decode(where, data), *size)
            yield HeldOut(key=f"{shard.stem}/{key}", photograph=photograph, truth=truth)


def _decode(where: str, data: bytes) -> np.ndarray:
    try:
        return decode_photograph(data)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def take(items: Iterable[HeldOut], limit: int | None) -> Iterator[HeldOut]:
    """The first photographs, with a progress bar."""
    return track(islice(items, limit), "held-out photographs", total=limit)


def chunks(items: Iterable[HeldOut], size: int) -> Iterator[list[HeldOut]]:
    """Lists of `size` items; the last one may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk

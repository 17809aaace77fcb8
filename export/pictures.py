"""The photographs that an exported file is judged with, with their labels where there are any."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from distill.data import match_shards
from teacher.sample import PHOTO_SUFFIXES, Labels, decode_photograph, resize_photograph
from teacher.shards import image_shards, read_pairs, read_photographs

RENDERED_PX = 192


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One photograph, with its labels where they are known."""

    photograph: np.ndarray
    """(H, W, 3) uint8 sRGB, at the size of the labels"""
    labels: Labels | None = None


def load_pictures(images: Path | None, labels: Path | None, count: int) -> list[Picture]:
    """The first so many photographs of image shards or of a folder; rendered ones without a path.

    labels: folder of label shards of the same photographs. Raises FileNotFoundError or ValueError
    when there is none, and when one cannot be read.
    """
    if images is None:
        if labels is not None:
            raise ValueError("--labels: give the photographs that were labelled with --images")
        from teacher.scenes.render import render_scenes

        return [Picture(photograph=p) for p in render_scenes(range(count), RENDERED_PX).rgb]
    found = _labelled(images, labels) if labels else _unlabelled(images)
    pictures = list(islice(found, count))
    if not pictures:
        raise ValueError(f"{labels or images}: holds no photograph; give some with --images")
    return pictures


def _labelled(images: Path, labels: Path) -> Iterator[Picture]:
    for pair in match_shards(images, labels):
        for key, data, truth in read_pairs(pair.images, pair.labels):
            photograph = _decode(f"{pair.images}: {key}", data)
            yield Picture(photograph=resize_photograph(photograph, *truth.size), labels=truth)


def _unlabelled(images: Path) -> Iterator[Picture]:
    files = sorted(p for p in images.rglob("*") if p.suffix[1:].lower() in PHOTO_SUFFIXES)
    for file in files:
        yield Picture(photograph=_decode(str(file), file.read_bytes()))
    for shard in [] if files else image_shards(images):
        for key, data in read_photographs(shard):
            yield Picture(photograph=_decode(f"{shard}: {key}", data))


def _decode(where: str, data: bytes) -> np.ndarray:
    try:
        return decode_photograph(data)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def pictures_sha256(pictures: Iterable[Picture]) -> str:
    """Digest of the photographs' pixels, in their order."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(picture.photograph.tobytes())
    return digest.hexdigest()

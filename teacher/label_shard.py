"""One shard of photographs in, one committed shard of labels out; idempotent, knows no engine.

The shard is read in windows of a fixed number of photographs. Within a window those of one size are
painted together, so a batch follows from the shard and the batch size alone: not from timing, nor
from what an earlier attempt had reached. While one window is painted, threads decode the
photographs of the next and encode the labels of the last.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from teacher.labeller import Labeller
from teacher.map_ahead import map_ahead
from teacher.provenance import package_versions, sha256_file
from teacher.sample import Record, decode_photograph, encode_labels
from teacher.shards import (
    InputShard,
    Marker,
    Quarantined,
    ShardWriter,
    read_photographs,
    sample_seed,
    write_errors,
    write_marker,
)

WINDOW_BATCHES = 4
"""Batches in a window: more fill the batches better where sizes are mixed, and take more memory."""


class Interrupted(Exception):
    """The job was asked to stop; the shard at hand was dropped."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Photograph:
    """A photograph that is ready to be painted."""

    key: str
    pixels: np.ndarray
    """(H, W, 3) uint8, at the teacher's size"""
    sha256: str
    """Digest of its file."""
    height_px: int
    """Height before it was fitted to the teacher."""
    width_px: int
    seed: int


@dataclass(frozen=True)
class Labelled:
    """A labelled photograph, as it goes into the shard."""

    key: str
    members: dict[str, bytes]


Outcome = Labelled | Quarantined


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardLabeller:
    """Labels shards of one job, one after the other."""

    labeller: Labeller
    job_id: str
    dtype: str
    batch_size: int
    pool: Executor
    """Threads for decoding and encoding; the painter runs in the thread of the caller."""
    stopped: Callable[[], bool] = lambda: False
    """Asked before every batch; True ends the shard with Interrupted."""
    advance: Callable[[], None] = lambda: None
    """Called for every photograph that is done."""
    versions: dict[str, str] = field(default_factory=package_versions)

    def label(self, source: InputShard, out: Path) -> Marker:
        """Label the photographs of `source` into OUT/NAME.tar; the marker is written last.

        A photograph that cannot be used is quarantined. Whatever else goes wrong leaves no file.
        Raises ValueError when the shard is damaged or not the one that was planned.
        """
        path, name = Path(source.path), source.name
        check_unchanged(source)
        errors: list[Quarantined] = []
        with ShardWriter(out / f"{name}.tar") as writer:
            for outcome in self._outcomes(path):
                if isinstance(outcome, Quarantined):
                    errors.append(outcome)
                else:
                    writer.add(outcome.key, outcome.members)
                self.advance()
        write_errors(out, name, errors)
        marker = Marker(
            shard=name,
            size_bytes=writer.size_bytes,
            sha256=writer.sha256,
            ok=writer.count,
            quarantined=len(errors),
            job_id=self.job_id,
            versions=self.versions,
        )
        write_marker(out, marker)
        return marker

    def _outcomes(self, path: Path) -> Iterator[Outcome]:
        """What became of each photograph, in the order of the shard."""
        size = WINDOW_BATCHES * self.batch_size
        prepared = map_ahead(self.pool, self._prepare, read_photographs(path), ahead=size)
        encoding: list[Future[Outcome]] = []
        while window := list(islice(prepared, size)):
            following = self._paint_window(window)
            yield from (future.result() for future in encoding)
            encoding = following
        yield from (future.result() for future in encoding)

    def _prepare(self, photograph: tuple[str, bytes]) -> Photograph | Quarantined:
        """Decode one file and fit it to the teacher."""
        key, data = photograph
        try:
            pixels = decode_photograph(data)
            fitted = self.labeller.fit(pixels)
            if (fitted == fitted[0, 0]).all():
                raise ValueError("all pixels have one colour")
        except ValueError as error:
            return Quarantined(key, "decode", str(error))
        return Photograph(
            key=key,
            pixels=fitted,
            sha256=hashlib.sha256(data).hexdigest(),
            height_px=pixels.shape[0],
            width_px=pixels.shape[1],
            seed=sample_seed(self.job_id, key),
        )

    def _paint_window(self, window: Sequence[Photograph | Quarantined]) -> list[Future[Outcome]]:
        """Paint a window batch by batch, and have its labels encoded in the pool."""
        outcomes: dict[str, Future[Outcome]] = {}
        for batch in batches_by_size(window, self.batch_size):
            if self.stopped():
                raise Interrupted
            pixels = [photograph.pixels for photograph in batch]
            paintings = self.labeller.paint(pixels, [photograph.seed for photograph in batch])
            for photograph, painted in zip(batch, paintings, strict=True):
                outcomes[photograph.key] = self.pool.submit(self._read, photograph, painted)
        return [
            _done(item) if isinstance(item, Quarantined) else outcomes[item.key] for item in window
        ]

    def _read(self, photograph: Photograph, painted: Any) -> Outcome:
        """Read what was painted for one photograph, and encode its labels."""
        try:
            planes = self.labeller.read(painted)
        except ValueError as error:
            return Quarantined(photograph.key, "label", str(error))
        labels = planes.with_record(self._record(photograph))
        return Labelled(photograph.key, encode_labels(labels))

    def _record(self, photograph: Photograph) -> Record:
        return Record(
            photo_sha256=photograph.sha256,
            height_px=photograph.pixels.shape[0],
            width_px=photograph.pixels.shape[1],
            photo_height_px=photograph.height_px,
            photo_width_px=photograph.width_px,
            dtype=self.dtype,
            seed=photograph.seed,
            versions=self.versions,
            **self.labeller.provenance(),
        )


def batches_by_size(
    window: Sequence[Photograph | Quarantined], batch_size: int
) -> Iterator[list[Photograph]]:
    """Photographs of one size in batches, in the order in which the sizes first occur."""
    by_size: dict[tuple[int, ...], list[Photograph]] = {}
    for item in window:
        if isinstance(item, Photograph):
            by_size.setdefault(item.pixels.shape, []).append(item)
    for photographs in by_size.values():
        for start in range(0, len(photographs), batch_size):
            yield photographs[start : start + batch_size]


def check_unchanged(source: InputShard) -> None:
    """Raise ValueError unless the file's bytes are those that the job was planned with."""
    found = sha256_file(Path(source.path))
    if found != source.sha256:
        raise ValueError(
            f"{source.path} changed since the job was planned (sha256 {found[:12]}, planned "
            f"{source.sha256[:12]}): restore it, or label into another folder"
        )


def _done(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future

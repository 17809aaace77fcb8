"""Shards of photographs in, committed shards of labels out; idempotent, knows no engine.

A shard is read in windows of a fixed number of photographs. Within a window those of one size are
painted together, so a batch follows from the shard and the batch size alone: not from timing, nor
from what an earlier attempt had reached.

The device never waits for a shard to begin or to end: while one window is painted, one thread reads
the windows after it, those of the next shards too, a pool decodes them and reads what was painted
before, and one thread writes what is encoded, and commits. All queues between them are bounded.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from teacher.jobs.input_copy import local_copies
from teacher.jobs.meter import Meter
from teacher.labeller import Labeller
from teacher.map_ahead import Background, map_ahead, read_ahead
from teacher.provenance import package_versions, sha256_file
from teacher.sample import Record, decode_photograph, encode_labels
from teacher.shards import (
    InputShard,
    Marker,
    Quarantined,
    ShardWriter,
    salvage_photographs,
    sample_seed,
    write_errors,
    write_marker,
)

WINDOW_BATCHES = 4
"""Batches in a window: more fill the batches better where sizes are mixed, and take more memory."""
WINDOWS_AHEAD = 2
"""Decoded windows that wait for the device."""
WINDOWS_ENCODED = 8
"""Windows of encoded labels that wait while a shard is synced or uploaded."""
UNREAD_BATCHES = 4
"""Batches of paintings, the largest thing in memory, that may wait for a thread to read them."""


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
class _Window:
    """Photographs of one shard, decoded; after all of them an empty window that ends the shard."""

    source: InputShard
    items: Sequence[Photograph | Quarantined] = ()
    is_last: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class _Painted:
    """A window whose labels are being encoded, in the order of the shard."""

    source: InputShard
    outcomes: Sequence[Future[Outcome]]
    is_last: bool


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
    """Asked before every batch; True ends the work with Interrupted."""
    meter: Meter = field(default_factory=Meter)
    """Counts what is done, and how long the device was busy."""
    publish: Callable[[Marker], Marker] = lambda marker: marker
    """Called for every shard that is written; returns the marker that stands in its place."""
    versions: dict[str, str] = field(default_factory=package_versions)

    def label(self, source: InputShard, out: Path) -> Marker:
        """Label one shard; see label_all."""
        (marker,) = self.label_all([source], out)
        return marker

    def label_all(self, sources: Iterable[InputShard], out: Path) -> Iterator[Marker]:
        """Label the photographs of each source into OUT/NAME.tar; the marker is written last.

        sources: asked for one by one, in another thread, while earlier ones are being painted.
        Yields the marker of each shard that is committed. A photograph that cannot be used is
        quarantined. Whatever else goes wrong leaves the shards before it committed, and no file of
        its own.
        Raises ValueError when a shard is damaged or not the one that was planned, Interrupted when
        the work was stopped.
        """

        def commit(painted: Iterator[_Painted]) -> Iterator[Marker]:
            return self._commit_all(painted, out)

        unread = threading.Semaphore(UNREAD_BATCHES * self.batch_size)
        committing = Background(commit, ahead=WINDOWS_ENCODED)
        try:
            for window in read_ahead(self._windows(sources), ahead=WINDOWS_AHEAD):
                outcomes = self._paint_window(window.items, unread)
                committing.put(
                    _Painted(source=window.source, outcomes=outcomes, is_last=window.is_last)
                )
                yield from committing.ready()
        except Exception:
            yield from committing.abandon()
            raise
        except BaseException:  # nobody asks for markers any more
            deque(committing.abandon(), maxlen=0)
            raise
        yield from committing.finish()

    def _windows(self, sources: Iterable[InputShard]) -> Iterator[_Window]:
        """The photographs of all shards; a window never holds those of two."""
        size = WINDOW_BATCHES * self.batch_size
        for source in local_copies(sources):
            check_unchanged(source)
            found = _chosen(salvage_photographs(Path(source.path)), source.keys)
            prepared = map_ahead(self.pool, self._prepare, found, ahead=size)
            while items := list(islice(prepared, size)):
                yield _Window(source=source, items=items)
            yield _Window(source=source, is_last=True)

    def _commit_all(self, windows: Iterator[_Painted], out: Path) -> Iterator[Marker]:
        for first in windows:
            yield self._commit(first.source, _outcomes(first, windows), out)

    def _commit(self, source: InputShard, outcomes: Iterator[Outcome], out: Path) -> Marker:
        """Write a shard's labels as they come, then its quarantine, then its marker."""
        errors: list[Quarantined] = []
        with ShardWriter(out / f"{source.name}.tar") as writer:
            for outcome in outcomes:
                if isinstance(outcome, Quarantined):
                    errors.append(outcome)
                else:
                    writer.add(outcome.key, outcome.members)
                self.meter.count(quarantined=isinstance(outcome, Quarantined))
        write_errors(out, source.name, errors)
        marker = Marker(
            shard=source.name,
            size_bytes=writer.size_bytes,
            sha256=writer.sha256,
            ok=writer.count,
            quarantined=len(errors),
            job_id=self.job_id,
            versions=self.versions,
        )
        write_marker(out, marker)
        return self.publish(marker)

    def _prepare(self, photograph: tuple[str, bytes] | Quarantined) -> Photograph | Quarantined:
        """Decode one file and fit it to the teacher."""
        if isinstance(photograph, Quarantined):
            return photograph
        key, data = photograph
        try:
            pixels = decode_photograph(data)
            fitted = self.labeller.fit(pixels)
            if _has_one_color(fitted):
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

    def _paint_window(
        self, window: Sequence[Photograph | Quarantined], unread: threading.Semaphore
    ) -> list[Future[Outcome]]:
        """Paint a window batch by batch, and have its labels encoded in the pool."""
        outcomes: dict[str, Future[Outcome]] = {}
        for batch in batches_by_size(window, self.batch_size):
            if self.stopped():
                raise Interrupted
            for _ in batch:
                unread.acquire()
            pixels = [photograph.pixels for photograph in batch]
            with self.meter.painting():
                paintings = self.labeller.paint(pixels, [photograph.seed for photograph in batch])
            for photograph, painted in zip(batch, paintings, strict=True):
                reading = self.pool.submit(self._read, photograph, painted)
                reading.add_done_callback(lambda _: unread.release())
                outcomes[photograph.key] = reading
        return [
            _done(item) if isinstance(item, Quarantined) else outcomes[item.key] for item in window
        ]

    def _read(self, photograph: Photograph, painted: Any) -> Outcome:
        """Read what was painted for one photograph, and encode its labels."""
        try:
            labels = self.labeller.read(painted).with_record(self._record(photograph))
            return Labelled(photograph.key, encode_labels(labels))
        except ValueError as error:
            return Quarantined(photograph.key, "label", str(error))

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


def _has_one_color(pixels: np.ndarray) -> bool:
    """Whether all pixels (H, W, 3) are alike; of most photographs the first row tells."""
    return bool((pixels[0] == pixels[0, 0]).all() and (pixels == pixels[0]).all())


def _outcomes(first: _Painted, rest: Iterator[_Painted]) -> Iterator[Outcome]:
    """What became of each photograph of one shard, in its order."""
    window = first
    while True:
        yield from (outcome.result() for outcome in window.outcomes)
        if window.is_last:
            return
        window = next(rest)


def _chosen(
    found: Iterator[tuple[str, bytes] | Quarantined], keys: Collection[str] | None
) -> Iterator[tuple[str, bytes] | Quarantined]:
    """All that was found in a shard, or the photographs of some keys alone."""
    if keys is None:
        return found
    wanted = set(keys)
    return (item for item in found if not isinstance(item, Quarantined) and item[0] in wanted)


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

"""One pass over a label shard: how sure its labels are, and which of them are worth a look."""

import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teacher.certainty import mean_confidence
from teacher.jobs.label_set import LabelSet
from teacher.markers import Quarantined, read_errors
from teacher.members import LABEL_SUFFIXES
from teacher.sample import decode_labels
from teacher.shard_tar import read_shard

HISTOGRAM_BINS = 20
"""Of the mean confidence, from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A label that was read."""

    shard: str
    key: str
    confidence: float | None
    """See teacher.certainty; None where the label has none, as with ground truth."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardScan:
    """What one shard holds."""

    number: int
    """Place of the shard in its set."""
    shard: str
    labelled: int
    quarantined: tuple[Quarantined, ...]
    histogram: np.ndarray
    """(HISTOGRAM_BINS,) int: labels by mean confidence"""
    confidence: float | None
    """Mean over the labels; None where they have none."""
    spread: tuple[Seen, ...]
    """Labels at even distances, for the shard's own page."""
    least_sure: tuple[Seen, ...]
    drawn: tuple[Seen, ...]
    """Labels at random, the same ones each time."""


def scan_shard(labels: LabelSet, number: int, *, per_page: int, highlights: int) -> ShardScan:
    """Read all labels of a shard, one at a time; keeps no pixels.

    Raises ValueError naming file and key when a label is broken.
    """
    name, seen = labels.names[number], []
    for sample in read_shard(labels.tar(name), suffixes=LABEL_SUFFIXES):
        label = decode_labels(sample.members, where=f"{labels.tar(name)}: {sample.key}")
        sure = None if label.confidence is None else mean_confidence(label)
        seen.append(Seen(shard=name, key=sample.key, confidence=sure))
    known = [item.confidence for item in seen if item.confidence is not None]
    return ShardScan(
        number=number,
        shard=name,
        labelled=len(seen),
        quarantined=tuple(read_errors(labels.folder, name)),
        histogram=np.histogram(known, HISTOGRAM_BINS, (0, 1))[0],
        confidence=float(np.mean(known)) if known else None,
        spread=tuple(evenly(seen, per_page)),
        least_sure=least_sure(seen, highlights),
        drawn=drawn(seen, highlights),
    )


def least_sure(seen: Sequence[Seen], count: int) -> tuple[Seen, ...]:
    """The labels of least confidence, the worst first; none where confidence is not known."""
    known = [item for item in seen if item.confidence is not None]
    return tuple(heapq.nsmallest(count, known, key=lambda item: item.confidence or 0.0))


def drawn(seen: Sequence[Seen], count: int) -> tuple[Seen, ...]:
    """Labels at random: those whose names have the smallest hashes."""
    return tuple(heapq.nsmallest(count, seen, key=_lot))


def _lot(item: Seen) -> bytes:
    return hashlib.sha256(f"{item.shard}/{item.key}".encode()).digest()


def evenly(items: Sequence, count: int) -> list:
    """At most so many of the items, at even distances, in their order."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]

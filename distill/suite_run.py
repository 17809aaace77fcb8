"""One labeller on one imported set: every photograph alone, scored as the protocols of the set say.

A photograph goes in as it is stored (or as the protocol crops it); the labeller resizes it to its
own size. What it says is brought to the size of the ground truth by nearest pixels: decoded
first, resized second, since a blend of two surfaces is a third one.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distill.data import match_shards
from distill.datasets.card import DatasetCard
from distill.labellers import Labeller, resize_prediction
from distill.metrics import Prediction
from distill.protocols import Crop, depth_protocol
from distill.suite_results import SuiteRow, SuiteRun, SuiteSettings
from distill.suite_scorers import PartScores
from teacher.progress import track
from teacher.provenance import describe_machine
from teacher.sample import Labels, decode_photograph
from teacher.shards import read_pairs

WARMUP_CALLS = 3
"""First calls, which are not timed: memory is claimed and kernels are chosen in them."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A labeller that can be run, and what tells it from others."""

    name: str
    sha256: str
    """Digest of all that decides its labels."""
    threads: int
    """CPU threads that it runs with."""
    open: Callable[[Sequence[str]], Labeller]
    """Load it, for these tasks."""


class Imported(NamedTuple):
    """An imported set on disk."""

    folder: Path
    card: DatasetCard
    sha256: str
    """Digest of its card and its shards."""


def run_pair(candidate: Candidate, dataset: Imported, settings: SuiteSettings) -> SuiteRun:
    """Run one labeller on one set. Raises ValueError when the set holds no labelled photograph."""
    card, tasks = dataset.card, settings.tasks
    labeller = candidate.open(tasks)
    parts = {name: PartScores(name, card, tasks, settings.alignments) for name in part_names(card)}
    crop = depth_protocol(card.name).photo_crop
    times_ms = []
    samples = read_samples(dataset.folder, tasks, settings.limit)
    total = min(card.labelled, settings.limit or card.labelled)
    for key, photograph, truth in track(samples, f"{card.name} {candidate.name}", total=total):
        prediction, time_ms = predict_one(labeller, photograph, truth.size, crop)
        times_ms.append(time_ms)
        for name in {card.name, f"{card.name}_{card.domains[key]}"} & parts.keys():
            parts[name].update(prediction, truth, card.scenes[key])
    if not times_ms:
        raise ValueError(f"{dataset.folder}: no labelled photographs; import the set again")
    timed = times_ms[WARMUP_CALLS:] or times_ms
    return SuiteRun(
        labeller=candidate.name,
        labeller_sha256=candidate.sha256,
        dataset=card.name,
        split=card.split,
        dataset_sha256=dataset.sha256,
        photographs=len(times_ms),
        official_count=card.official_count,
        settings=settings,
        machine=describe_machine(),
        time_ms=float(np.median(timed)),
        timed_calls=len(timed),
        rows=tuple(distinct_rows(parts.values(), settings)),
    )


def part_names(card: DatasetCard) -> list[str]:
    """The set, and each domain of it where there are several: diode, diode_indoor, ..."""
    domains = sorted(set(card.domains.values()))
    return [card.name, *(f"{card.name}_{domain}" for domain in domains if len(domains) > 1)]


def distinct_rows(parts: Iterable[PartScores], settings: SuiteSettings) -> list[SuiteRow]:
    """The rows of the whole set, which is the first part, and those of its domains.

    A domain that holds all that was scored, as when normals are known indoors only, has no rows.
    """
    whole, *domains = (part.rows(settings.resamples, settings.seed) for part in parts)
    told = {_facts(row) for row in whole}
    return [*whole, *(row for rows in domains for row in rows if _facts(row) not in told)]


def _facts(row: SuiteRow) -> tuple[str, str, str, int]:
    return row.task, row.variant, row.protocol, row.photographs


def read_samples(
    folder: Path, tasks: Sequence[str], limit: int | None
) -> Iterator[tuple[str, np.ndarray, Labels]]:
    """Key, photograph (H, W, 3) uint8 sRGB and ground truth of what is labelled, in order."""
    pairs = match_shards(folder / "images", folder / "labels")
    found = (sample for pair in pairs for sample in read_pairs(*pair[:3], tasks=tasks))
    for key, photo, truth in islice(found, limit):
        yield key, decode_photograph(photo), truth


def predict_one(
    labeller: Labeller, photograph: np.ndarray, size: tuple[int, int], crop: Crop | None = None
) -> tuple[Prediction, float]:
    """What a labeller says of one photograph, at (height, width) `size`, and in how many ms.

    crop: what is cut out of the photograph first; outside it nothing is known.
    """
    window = crop(*photograph.shape[:2]) if crop else (slice(None), slice(None))
    seen = np.ascontiguousarray(photograph[window])
    start = time.perf_counter()
    prediction = labeller.predict(seen[None])[0]
    time_ms = 1000 * (time.perf_counter() - start)
    if crop is None:
        return resize_prediction(prediction, size), time_ms
    resized = resize_prediction(prediction, (seen.shape[0], seen.shape[1]))
    return _pasted(resized, window, photograph.shape[:2]), time_ms


def _pasted(
    prediction: Prediction, window: tuple[slice, slice], size: tuple[int, ...]
) -> Prediction:
    """A prediction for a window of a photograph as one for all of it, unknown elsewhere."""

    def paste(plane: np.ndarray | None, unknown: float) -> np.ndarray | None:
        if plane is None:
            return None
        whole = np.full((*size, *plane.shape[2:]), unknown, plane.dtype)
        whole[window] = plane
        return whole

    return Prediction(
        depth_m=paste(prediction.depth_m, np.nan),
        normal=paste(prediction.normal, 0),
        segment=paste(prediction.segment, len(prediction.classes)),
        classes=prediction.classes,
    )

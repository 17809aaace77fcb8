"""Stand-ins for a teacher on a GPU, and a run of the data plane with one on chosen cores.

A painter that sleeps for as long as a GPU would take, and returns the true paintings of procedural
scenes; and a labeller that knows the labels already, so that nothing has to be read from colours.
Run as a script it labels shards in a process of its own and prints what it measured as JSON.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from teacher.cores import many_small_threads
from teacher.depth import encode_depth
from teacher.jobs.label_shard import ShardLabeller
from teacher.jobs.meter import Meter
from teacher.label import TeacherLabeller
from teacher.labeller import Labeller, LabelPlanes
from teacher.normals import encode_normals
from teacher.painters import open_teacher
from teacher.palette import Palette, encode_segments
from teacher.sample import TASKS, Labels, Record, decode_photograph, encode_labels
from teacher.shards import inspect_shard, read_pairs

RATE_PER_S = 56.0
"""Photographs that the device paints in a second."""


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """What to run."""

    scenes: str
    """Folder of images/ and labels/ with the scenes that the shards are made of."""
    shards: str
    """Folder of image shards."""
    out: str
    reads: bool
    """Whether paintings are read; otherwise the labels are there at once."""
    rate_per_s: float | None
    """None: the device takes no time."""
    batch_size: int = 8
    threads: int = 2
    memory_from_shard: int | None = None


class ScenePainter:
    """Paints the scenes that it was given, after a sleep."""

    def __init__(self, scenes: Sequence[tuple[bytes, Labels]], rate_per_s: float | None) -> None:
        card, size_px = open_teacher("embedded").card, scenes[0][1].size[0]
        self.card = replace(card, resolution_px=size_px)
        self.rate_per_s = rate_per_s
        palette = Palette(card.classes, np.array(card.legends[0], np.uint8))
        self._paintings = {
            fingerprint(decode_photograph(photo)): true_paintings(labels, palette)
            for photo, labels in scenes
        }

    def paint(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> Mapping[str, np.ndarray]:
        started_s = time.perf_counter()
        found = [self._paintings[fingerprint(photograph)] for photograph in photographs]
        painted = {task: np.stack([paintings[task] for paintings in found]) for task in tasks}
        if self.rate_per_s:
            spent_s = time.perf_counter() - started_s
            time.sleep(max(0, len(photographs) / self.rate_per_s - spent_s))
        return painted


class ReadyLabeller:
    """Knows the labels of the scenes already."""

    tasks = TASKS

    def __init__(self, scenes: Sequence[tuple[bytes, Labels]], rate_per_s: float | None) -> None:
        self.labeller = TeacherLabeller(ScenePainter(scenes, rate_per_s))
        self.rate_per_s = rate_per_s
        painter = self.labeller.painter
        self._planes = {}
        for photo, _ in scenes:
            pixels = decode_photograph(photo)
            (painted,) = self.labeller.paint([pixels], [0])
            self._planes[fingerprint(pixels)] = self.labeller.read(painted)
        self.fit, self.provenance = self.labeller.fit, self.labeller.provenance
        self.card = painter.card

    def paint(self, photographs: Sequence[np.ndarray], seeds: Sequence[int]) -> list[LabelPlanes]:
        if self.rate_per_s:
            time.sleep(len(photographs) / self.rate_per_s)
        return [self._planes[fingerprint(photograph)] for photograph in photographs]

    def read(self, painted: LabelPlanes) -> LabelPlanes:
        return painted


def fingerprint(photograph: np.ndarray) -> bytes:
    return photograph[::37, ::37].tobytes()


def true_paintings(labels: Labels, palette: Palette) -> dict[str, np.ndarray]:
    """Task -> (H, W, 3) float32 0..1: what a perfect teacher would paint."""
    ids = np.array([palette.names.index(name) for name in labels.classes])[labels.segment]
    levels = {
        "depth": encode_depth(labels.depth_m),
        "normal": encode_normals(labels.normal),
        "segment": encode_segments(ids, palette),
    }
    return {task: painting.astype(np.float32) / 255 for task, painting in levels.items()}


def read_scenes(folder: Path) -> list[tuple[bytes, Labels]]:
    pairs = read_pairs(folder / "images" / "000000.tar", folder / "labels" / "000000.tar")
    return [(photo, labels) for _, photo, labels in pairs]


def run(config: StandIn) -> dict[str, Any]:
    """Label all shards; seconds, busy shares and memory."""
    scenes = read_scenes(Path(config.scenes))
    kind = _painting_labeller if config.reads else ReadyLabeller
    sources = [inspect_shard(path) for path in sorted(Path(config.shards).glob("*.tar"))]
    meter, memory = Meter(), []
    with ThreadPoolExecutor(config.threads) as pool, many_small_threads():
        shard_labeller = ShardLabeller(
            labeller=kind(scenes, config.rate_per_s),
            job_id="job",
            dtype="float32",
            batch_size=config.batch_size,
            pool=pool,
            meter=meter,
        )
        cpu_s = time.process_time()
        for _ in shard_labeller.label_all(sources, Path(config.out)):
            memory.append(resident_mb())
    totals = meter.totals()
    nominal_s = totals.photographs / config.rate_per_s if config.rate_per_s else 0.0
    return {
        "photographs": totals.photographs,
        "seconds": totals.seconds,
        "in_paint": totals.busy,
        "device_busy": nominal_s / totals.seconds,
        "cpu_ms": 1e3 * (time.process_time() - cpu_s) / totals.photographs,
        "bare_cpu_ms": bare_cpu_ms(scenes, shard_labeller),
        "memory_mb": memory,
        "cores": len(os.sched_getaffinity(0)),
    }


def bare_cpu_ms(
    scenes: Sequence[tuple[bytes, Labels]], job: ShardLabeller, rounds: int = 5
) -> float:
    """Core time to decode a photograph and to encode its labels, and nothing else."""
    labeller = ReadyLabeller(scenes, None)
    pixels = [decode_photograph(photo) for photo, _ in scenes]
    record = Record(
        photo_sha256="0" * 64,
        height_px=pixels[0].shape[0],
        width_px=pixels[0].shape[1],
        photo_height_px=pixels[0].shape[0],
        photo_width_px=pixels[0].shape[1],
        dtype=job.dtype,
        seed=0,
        versions=job.versions,
        **labeller.provenance(),
    )
    labels = [planes.with_record(record) for planes in labeller.paint(pixels, [0] * len(pixels))]
    cpu_s = time.process_time()
    for _ in range(rounds):
        for (photo, _), found in zip(scenes, labels, strict=True):
            decode_photograph(photo)
            encode_labels(found)
    return 1e3 * (time.process_time() - cpu_s) / rounds / len(scenes)


def _painting_labeller(
    scenes: Sequence[tuple[bytes, Labels]], rate_per_s: float | None
) -> Labeller:
    return TeacherLabeller(ScenePainter(scenes, rate_per_s))


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    print(json.dumps(run(StandIn(**json.loads(sys.argv[1])))))

"""Small labelling jobs for the tests: shards of noise, a tiny teacher, and what a job leaves."""

from pathlib import Path
from typing import Any

import numpy as np
from samples import make_photograph

from teacher.jobs.job import JobReport, LabelConfig, run_label_job
from teacher.sample import encode_photograph
from teacher.shards import ShardWriter

SIZES = ((40, 60), (32, 32), (60, 40))
"""Height and width of the photographs, in turn."""


def write_image_shards(folder: Path, shards: int = 4) -> Path:
    """Shards of 7 photographs in three sizes."""
    folder.mkdir()
    for shard in range(shards):
        write_images(
            folder / f"{shard:06d}.tar", {f"s{shard}p{i}": photograph(i) for i in range(7)}
        )
    return folder


def photograph(seed: int) -> bytes:
    height_px, width_px = SIZES[seed % len(SIZES)]
    return make_photograph(seed, height_px=height_px, width_px=width_px)


def write_images(path: Path, photographs: dict[str, bytes]) -> None:
    with ShardWriter(path) as shard:
        for key, data in photographs.items():
            shard.add(key, {"jpg": data})


def png(pixels: np.ndarray) -> bytes:
    return encode_photograph(pixels, "png")


def label(images: Path, out: Path, teacher: Path, **options: Any) -> JobReport:
    settings = {"batch_size": 2, "teacher": str(teacher), **options}
    return run_label_job(LabelConfig(images=images, out=out, **settings))


def shard_bytes(out: Path) -> dict[str, bytes]:
    """All that a job leaves, but for run.json and the folder of its leases."""
    files = [file for file in sorted(out.iterdir()) if file.name not in ("run.json", ".leases")]
    return {file.name: file.read_bytes() for file in files}

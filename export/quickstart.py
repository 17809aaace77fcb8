"""The whole pipeline on one page: scenes, labels, a student, ONNX, and a comparison."""

import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from distill.train import TrainConfig, train
from export.compare import compare
from export.compare_config import CompareConfig
from export.figures import comparison_tables
from export.quickstart_config import QuickstartConfig
from export.real_recipe import RealRecipe, run_real
from export.ship import ship
from export.ship_config import ExportConfig
from teacher.cores import usable_cores
from teacher.jobs.job import LabelConfig, run_label_job
from teacher.painters import EMBEDDED
from teacher.progress import console
from teacher.provenance import as_json, claim_run
from teacher.scenes.config import ScenesConfig
from teacher.scenes.shards import write_scene_shards

VOTES = 4
"""The embedded teacher is compared with so many votes too, as labels are often made."""
QUICK = {"photographs": 32, "held_out": 8, "minutes": 0.1}
QUICK_REAL = {
    "tuning_minutes": 0.1,
    "student_minutes": 0.1,
    "tuning_crops": 2,
    "label_crops": 2,
    "scenes": 32,
    "limit": 8,
}


def run_quickstart(config: QuickstartConfig) -> dict[str, Any]:
    """Run all of it, print the table and where things are; returns comparison.json."""
    started = time.monotonic()
    claim_run(config.out, config, free=("threads",))
    torch.set_num_threads(config.threads or usable_cores())
    size = QUICK if config.quick else as_json(config)
    out = config.out
    photographs = _scenes(config, "unlabeled", size["photographs"], labels=False)
    held_out = _scenes(config, "held-out", size["held_out"], labels=True)
    labels = out / "unlabeled" / "labels"
    run_label_job(
        LabelConfig(images=photographs / "images", out=labels, teacher=str(config.teacher))
    )
    student = out / "student"
    if not (student / "student.json").exists():
        train(
            TrainConfig(
                images=photographs / "images",
                labels=labels,
                out=student,
                minutes=size["minutes"],
                resume=(student / "checkpoints" / "last.ckpt").exists(),
            )
        )
    shipment = ship(
        ExportConfig(
            student=student,
            out=out / "export",
            images=held_out / "images",
            labels=held_out / "labels",
        )
    )
    console.print(shipment.describe())
    comparison = compare(_comparison(config, student, held_out))
    Console().print(comparison_tables(comparison))
    minutes = (time.monotonic() - started) / 60
    print(f"report      {out / 'report' / 'index.html'}\ncomparison  {out / 'comparison.json'}")
    print(f"model       {shipment.files['onnx_fp32']}\ntime        {minutes:.1f} minutes")
    return comparison


def run_real_quickstart(config: QuickstartConfig, data: Path) -> None:
    """The recipe for real photographs; --quick in a minute or two, to see that it works."""
    claim_run(config.out, config, free=("threads",))
    sizes = QUICK_REAL if config.quick else {}
    run_real(
        RealRecipe(
            data=data,
            out=config.out,
            teacher=str(config.teacher),
            threads=config.threads,
            **sizes,
        )
    )


def _scenes(config: QuickstartConfig, split: str, count: int, labels: bool) -> Path:
    return write_scene_shards(
        ScenesConfig(
            out=config.out / split,
            count=count,
            split=split,
            labels=labels,
            per_shard=200,
            workers=1 if config.quick else config.threads or usable_cores(),
        )
    )


def _comparison(config: QuickstartConfig, student: Path, held_out: Path) -> CompareConfig:
    return CompareConfig(
        teacher=config.teacher,
        votes=(VOTES,) if config.teacher == EMBEDDED and not config.quick else (),
        student=student,
        onnx=(config.out / "export",),
        images=held_out / "images",
        labels=held_out / "labels",
        out=config.out,
        threads=config.threads or usable_cores(),
        runs=5 if config.quick else 100,
        seconds=1.0 if config.quick else 20.0,
        resamples=50 if config.quick else 1000,
    )

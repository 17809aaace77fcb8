"""Whole configurations by name: `potstill train --recipe NAME`, with options that override it."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from distill.config import TrainConfig
from distill.settings import Optimisation


def quick(images: Path, labels: Path, out: Path) -> TrainConfig:
    """The student of 1.3 M parameters in a few minutes on a CPU, what `potstill quickstart` trains.

    Hardware: 2 cores. Time: 8 minutes. Labels: 2,000 photographs at 128 px.
    Expected: 1,529 steps; delta1 0.882, 11.1 degrees and mIoU 0.856 on 128 held-out scenes.
    Command: potstill train --recipe quick --images photographs/ --labels labels/ --out runs/quick
    """
    return TrainConfig(images=images, labels=labels, out=out, preset="edge", minutes=8.0)


def edge_cpu(images: Path, labels: Path, out: Path) -> TrainConfig:
    """The student that is fastest on a CPU at its accuracy, trained without a GPU.

    Hardware: 2 cores. Time: 60 minutes. Labels: from 4,000 photographs at 128 px.
    Expected: 7,662 steps; from 62,706 scenes delta1 0.922, 9.64 degrees and mIoU 0.889 on 128
    held-out ones (its teacher: 0.926, 9.54, 0.845).
    Command: potstill train --recipe edge-cpu --images photographs/ --labels labels/ --out runs/edge
    """
    return TrainConfig(images=images, labels=labels, out=out, preset="edge", minutes=60.0)


def edge_gpu(images: Path, labels: Path, out: Path) -> TrainConfig:
    """A small vision transformer for devices with a GPU, its backbone from timm's hub
    when it answers.

    Hardware: 1 GPU with 24 GiB. Time: an estimate of 3 hours. Labels: from 100,000 photographs.
    Expected: not measured yet.
    Command: potstill train --recipe edge-gpu --images photographs/ --labels labels/ --out runs/edge
    """
    return TrainConfig(
        images=images,
        labels=labels,
        out=out,
        preset="small",
        weights="auto",
        steps=40_000,
        batch_size=64,
        optimisation=PRETRAINED,
        averaging=0.9995,
        compile=True,
        validate_every=2000,
        workers=8,
    )


def quality(images: Path, labels: Path, out: Path) -> TrainConfig:
    """The largest preset, on all GPUs of a machine.

    Hardware: 8 GPUs with 80 GiB. Time: an estimate of 24 hours. Labels: from 1,000,000 photographs.
    Expected: not measured yet.
    Command: torchrun --nproc_per_node 8 -m distill.main train --recipe quality \
        --images photographs/ --labels labels/ --out runs/quality
    """
    return TrainConfig(
        images=images,
        labels=labels,
        out=out,
        preset="base",
        weights="auto",
        steps=200_000,
        batch_size=24,
        devices=8,
        optimisation=PRETRAINED,
        averaging=0.9998,
        compile=True,
        validate_every=5000,
        keep_best=3,
        workers=12,
    )


PRETRAINED = Optimisation(algorithm="adamw", learning_rate=2e-4, warmup_fraction=0.02)
"""For loaded weights: the backbone then learns at 2e-5."""

RECIPES: dict[str, Callable[[Path, Path, Path], TrainConfig]] = {
    "quick": quick,
    "edge-cpu": edge_cpu,
    "edge-gpu": edge_gpu,
    "quality": quality,
}


def recipe_flags(name: str) -> list[str]:
    """What a recipe sets, as flags of `potstill train`; those that follow override them.

    Raises ValueError for a name that is no recipe.
    """
    if name not in RECIPES:
        raise ValueError(f"--recipe: expected one of {', '.join(RECIPES)}, found {name!r}")
    here = Path()
    usual = TrainConfig(images=here, labels=here, out=here)
    return _differences("--", RECIPES[name](here, here, here), usual)


def _differences(prefix: str, config: Any, default: Any) -> list[str]:
    """The fields in which two configurations differ, as flags."""
    flags = []
    for field in fields(config):
        value, usual = getattr(config, field.name), getattr(default, field.name)
        if value != usual and is_dataclass(value):
            flags += _differences(f"{prefix}{field.name}.", value, usual)
        elif value != usual:
            flags.append(f"{prefix}{field.name}={value}")
    return flags

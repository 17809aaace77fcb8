"""`potstill train`: labelled shards in, a student's folder out."""

from dataclasses import fields
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from distill.balance import Uncertainty
from distill.checkpoints import CHECKPOINTS, LAST
from distill.config import TrainConfig
from distill.data import LabelFacts, match_sets, read_facts
from distill.feature_alignment import FeatureAligner
from distill.labelled import LabelledShards
from distill.loader import Loaded, LoaderSettings, load
from distill.module import DistillModule
from distill.pace import Pace
from distill.run_end import finish_run
from distill.samples import fitting
from distill.schedule import Budget
from distill.trainer import build_trainer
from student.model import Student, StudentConfig, build_student
from teacher.progress import console
from teacher.provenance import claim_run

__all__ = ["TrainConfig", "new_student", "train"]

STOPPED = 75
"""Exit code EX_TEMPFAIL: stopped by SIGTERM, run it again with --resume to go on."""
FREE_SETTINGS = (
    *("minutes", "steps", "resume", "memory_gb", "cache", "workers", "logger", "out"),
    *("recipe", "find_batch_size"),
)
"""What may change when a run is resumed: how long, and what leaves each step as it is."""


def train(config: TrainConfig) -> Path:
    """Train a student and return its folder.

    On a CPU with --steps, one seed gives the same weights each time, also when the run is killed
    and resumed; with --minutes, the number of steps depends on the machine's speed.

    Raises FileNotFoundError and ValueError as match_sets, read_facts, LabelledShards and
    build_student do; ValueError for affine labels and a metric head (or the reverse), for a task
    without a valid pixel, for a loss that is not finite, for a folder that already holds a student
    and is not to be resumed, and for one whose run had other settings.
    """
    checkpoint = _checkpoint(config)
    start_step = _step_of(checkpoint)
    pace = Pace()
    trainer = build_trainer(config, start_step, pace)
    console.quiet = not trainer.is_global_zero
    budget = Budget(config.steps, config.minutes)
    pairs = match_sets(config.label_sets)
    facts = read_facts(pairs, config.tasks)
    student = new_student(config, facts)
    shards = _first(LabelledShards(pairs, facts, student.config.image_size), config)
    loaded = _load(config, shards, start_step, trainer)
    if trainer.is_global_zero:
        claim_run(config.out, config, free=FREE_SETTINGS)
    module = _module(config, student, budget)
    try:
        trainer.fit(
            module,
            pace.timed(loaded.training),
            loaded.validation if len(loaded.validation) else None,
            ckpt_path=checkpoint,
            weights_only=True,
        )
    except SIGTERMException as stop:
        raise SystemExit(STOPPED) from stop
    if trainer.is_global_zero:
        photographs = int(_to_train_on(shards, config).sum())
        finish_run(config, module, pace, shards.pairs, photographs)
    return config.out


def _checkpoint(config: TrainConfig) -> Path | None:
    """The checkpoint to go on from, if there is one; what a run left is never overwritten."""
    path = config.out / CHECKPOINTS / LAST
    if config.resume:
        return path if path.is_file() else None
    if (config.out / "student.json").exists():
        raise ValueError(f"{config.out}: holds a student already; give another --out or --resume")
    if path.is_file():
        raise ValueError(
            f"{config.out}: holds an unfinished run, at step {_step_of(path)}; go on with "
            "--resume, or give another --out"
        )
    return None


def _step_of(checkpoint: Path | None) -> int:
    """Steps that a checkpoint has seen."""
    if checkpoint is None:
        return 0
    return torch.load(checkpoint, weights_only=True, mmap=True)["global_step"]


def new_student(config: TrainConfig, facts: LabelFacts) -> Student:
    """A student that fits the labels, with reproducible initial weights."""
    if facts.depth_kind not in (None, config.depth_kind):
        raise ValueError(
            f"{config.labels}: depth is {facts.depth_kind}, but the student's is "
            f"{config.depth_kind}: give --depth_kind {facts.depth_kind}, or other labels"
        )
    lightning.seed_everything(config.seed, verbose=False)
    student_config = StudentConfig(
        **config.student_fields,
        tasks=facts.tasks,
        classes=facts.classes,
        depth_kind=config.depth_kind,
        image_size=(config.size_px, config.size_px) if config.size_px else fitting(facts.size),
    )
    student = build_student(student_config, config.weights, config.text_tower)
    return student.to(memory_format=torch.channels_last)


def _first(shards: LabelledShards, config: TrainConfig) -> LabelledShards:
    """The first samples, with as many to train on as are asked for."""
    if config.photographs is None:
        return shards
    rows = np.flatnonzero(_to_train_on(shards, config))
    if len(rows) < config.photographs:
        raise ValueError(
            f"{config.labels}: --photographs {config.photographs}, but it has {len(rows)} to train "
            "on: label more"
        )
    return shards.first(int(rows[config.photographs - 1]) + 1)


def _to_train_on(shards: LabelledShards, config: TrainConfig) -> np.ndarray:
    """(n,) bool: which samples are not held out."""
    return ~shards.held_out(config.validation_fraction)


def _load(
    config: TrainConfig, shards: LabelledShards, start_step: int, trainer: lightning.Trainer
) -> Loaded:
    """The batches of this process."""
    names = [f.name for f in fields(LoaderSettings)]
    return load(
        shards,
        LoaderSettings(**{name: getattr(config, name) for name in names}),
        start_step * config.accumulate,
        rank=trainer.global_rank,
        world=trainer.world_size,
    )


def _module(config: TrainConfig, student: Student, budget: Budget) -> DistillModule:
    """What is trained: the student, and what is only there to train it."""
    aligned, balanced = config.alignment.weight > 0, config.objective.learn_weights
    module = DistillModule(
        student,
        config.objective,
        config.optimisation,
        budget,
        aligner=FeatureAligner(config.alignment, student) if aligned else None,
        balance=Uncertainty(student.config.tasks) if balanced else None,
        pretrained=not student.backbone.origin.startswith("from scratch"),
        seed=config.seed,
        log_every=config.log_every,
    )
    if not config.objective.confidence:
        student.confidence.requires_grad_(False)  # DDP would wait for its gradients
    if config.compile:
        student.compile()
    return module

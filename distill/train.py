"""`potstill train`: labelled shards in, a student's folder out."""

import logging
import warnings
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from distill.callbacks import AveragedWeights, ProgressBar, StopAtBudget
from distill.data import LabelFacts, LabelledShards, match_shards, read_facts
from distill.loader import Augmentation, LoaderSettings, load
from distill.module import DistillModule
from distill.objective import Objective
from distill.optimisation import Optimisation
from distill.schedule import Budget
from student import Student, StudentConfig, build_student, save_student
from student.model import BACKBONE, BACKBONE_ARGUMENTS, DECODER_DIM
from teacher.provenance import sha256_file, write_run
from teacher.sample import TASKS

CHECKPOINT = "last.ckpt"
STRIDE_PX = 32
"""Of the coarsest feature map of most backbones."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a student on labelled photographs."""

    images: Path
    """Image shards, or the folder that holds them."""
    labels: Path
    """Folder of the label shards that `potstill label` wrote."""
    relabelled: Path | None = None
    """Newer labels of some of these photographs, by `potstill label --parent`: they count."""
    out: Path
    """Folder of the student: weights, configuration, run.json, metrics/, checkpoints/."""
    tasks: tuple[str, ...] = TASKS
    """What the student learns, of depth, normal and segment."""
    minutes: float | None = None
    """Train for so many minutes; the learning rate falls to zero as they pass."""
    steps: int | None = None
    """Train for so many steps; with --minutes too, whichever ends first."""
    backbone: str = BACKBONE
    """A timm model with forward_intermediates."""
    backbone_arguments: dict[str, Any] = field(default_factory=lambda: dict(BACKBONE_ARGUMENTS))
    """Keyword arguments of timm.create_model; give {} with another backbone."""
    weights: str = "scratch"
    """Weights of the backbone: scratch, hub (timm's, downloaded), or a safetensors file."""
    decoder_dim: int = DECODER_DIM
    """Channels of the decoder that the tasks share."""
    depth_kind: str = "metric"
    """Kind of depth that the student predicts, metric or affine; that of the labels."""
    size_px: int | None = None
    """Height and width of the training images; by default those of the first labels, each brought
    to a multiple of 32."""
    batch_size: int = 32
    """Photographs in a step."""
    optimisation: Optimisation = field(default_factory=Optimisation)
    """Learning rates and decay."""
    objective: Objective = field(default_factory=Objective)
    """Weights of the losses."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How photographs are varied."""
    averaging: float = 0.998
    """Decay of the moving average of the weights, which is what is validated and stored."""
    precision: str = "auto"
    """Arithmetic: bf16-mixed, 32-true, or auto (bf16 where the processor has it)."""
    device: str = "auto"
    """auto, cpu or cuda."""
    validation_fraction: float = 0.02
    """Share of the photographs that is held out, chosen by their keys."""
    validate_every: int = 500
    """Steps between validations, after each of which a checkpoint is written."""
    memory_gb: float = 4.0
    """Decoded labels are kept in memory up to this; larger sets are streamed from the shards."""
    workers: int = 1
    """Processes that decode a streamed set."""
    seed: int = 0
    """Seed of the weights, the order and the augmentation."""
    resume: bool = False
    """Go on from the last checkpoint in --out."""


def train(config: TrainConfig) -> Path:
    """Train a student and return its folder.

    On a CPU with --steps, one seed gives the same weights each time; with --minutes, the number of
    steps depends on the machine's speed.

    Raises FileNotFoundError and ValueError as match_shards, read_facts, LabelledShards and
    build_student do; ValueError for affine labels and a metric head (or the reverse), for a task
    without a valid pixel, and for a folder that already holds a student.
    """
    checkpoint = _checkpoint(config)
    budget = Budget(config.steps, config.minutes)
    pairs = match_shards(config.images, config.labels, config.relabelled)
    facts = read_facts(pairs, config.tasks)
    student = _new_student(config, facts)
    shards = LabelledShards(pairs, facts, student.config.image_size)
    start_step = (
        0 if checkpoint is None else torch.load(checkpoint, weights_only=True)["global_step"]
    )
    loaded = load(shards, _loader_settings(config), start_step)
    module = DistillModule(student, config.objective, config.optimisation, budget)
    _quieten_lightning()
    trainer = _trainer(config, start_step)
    validation = loaded.validation if len(loaded.validation) else None
    trainer.fit(module, loaded.training, validation, ckpt_path=checkpoint, weights_only=True)
    save_student(student, config.out)
    write_run(
        config.out,
        config,
        steps=trainer.global_step,
        training_s=round(budget.elapsed_s, 1),
        validation=module.validation,
        label_shards={pair.labels.name: sha256_file(pair.labels) for pair in pairs},
        relabelled_shards={
            p.relabelled.name: sha256_file(p.relabelled) for p in pairs if p.relabelled
        },
    )
    return config.out


def _checkpoint(config: TrainConfig) -> Path | None:
    """The checkpoint to resume from, if asked for; a finished student is never overwritten."""
    path = config.out / "checkpoints" / CHECKPOINT
    if config.resume and not path.is_file():
        raise FileNotFoundError(f"{path}: no checkpoint to resume from; leave out --resume")
    if not config.resume and (config.out / "student.json").exists():
        raise ValueError(f"{config.out}: holds a student already; give another --out or --resume")
    return path if config.resume else None


def _new_student(config: TrainConfig, facts: LabelFacts) -> Student:
    """A student that fits the labels, with reproducible initial weights."""
    if facts.depth_kind not in (None, config.depth_kind):
        raise ValueError(
            f"{config.labels}: depth is {facts.depth_kind}, but the student's is "
            f"{config.depth_kind}: give --depth_kind {facts.depth_kind}, or other labels"
        )
    lightning.seed_everything(config.seed, verbose=False)
    student_config = StudentConfig(
        backbone=config.backbone,
        backbone_arguments=config.backbone_arguments,
        tasks=facts.tasks,
        classes=facts.classes,
        depth_kind=config.depth_kind,
        image_size=(config.size_px, config.size_px) if config.size_px else _fitting(facts.size),
        decoder_dim=config.decoder_dim,
    )
    return build_student(student_config, config.weights).to(memory_format=torch.channels_last)


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    """The nearest height and width that backbones of the usual strides take."""
    height, width = (max(1, round(length / STRIDE_PX)) * STRIDE_PX for length in size)
    return height, width


def _loader_settings(config: TrainConfig) -> LoaderSettings:
    names = [f.name for f in fields(LoaderSettings)]
    return LoaderSettings(**{name: getattr(config, name) for name in names})


def _precision(config: TrainConfig) -> Any:
    """The precision that is asked for; "auto" is bf16 where the processor multiplies it."""
    if config.precision != "auto":
        return config.precision
    if torch.cuda.is_available() and config.device != "cpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.cpu.get_capabilities().get("avx512_bf16") else "32-true"


def _quieten_lightning() -> None:
    """Keep advertisements, and what only Lightning's authors can mend, off the screen."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (".*treespec, LeafSpec.*", "Checkpoint directory .* exists"):
        warnings.filterwarnings("ignore", message, module="lightning")


def _trainer(config: TrainConfig, start_step: int) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="auto" if config.device == "auto" else config.device,
        devices=1,
        precision=_precision(config),
        max_epochs=1,
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=config.optimisation.clip_norm,
        log_every_n_steps=20,
        logger=CSVLogger(config.out, name="metrics", version=f"from_step_{start_step}"),
        callbacks=[
            AveragedWeights(config.averaging),
            StopAtBudget(),
            ProgressBar(),
            ModelCheckpoint(
                config.out / "checkpoints",
                filename="last",
                save_top_k=1,
                every_n_train_steps=config.validate_every,
                enable_version_counter=False,
            ),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
    )

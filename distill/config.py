"""What `potstill train` may be told."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.data import LabelSet
from distill.settings import Augmentation, FeatureAlignment, Objective, Optimisation
from student.presets import PRESETS
from teacher.sample import TASKS

LOGGERS = ("tensorboard", "wandb")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a student on labelled photographs.

    A run that was stopped, or killed, goes on from its last checkpoint with --resume, and ends with
    the weights that it would have had: on a CPU with --steps, to the last bit.
    """

    images: Path
    """Image shards, or the folder that holds them."""
    labels: Path
    """Folder of the label shards that `potstill label` wrote."""
    relabelled: Path | None = None
    """Newer labels of some of these photographs, by `potstill label --parent`: they count."""
    also: tuple[LabelSet, ...] = ()
    """Further label sets to train on together with these, such as '[{images: FOLDER, labels:
    FOLDER, weight: 2}]': a photograph of weight 2 is met twice as often."""
    out: Path
    """Folder of the student: weights, configuration, run.json, curves.png, metrics/, previews/,
    tensorboard/, checkpoints/."""
    photographs: int | None = None
    """Train on the first so many photographs, those held out among them not counted."""
    tasks: tuple[str, ...] = TASKS
    """What the student learns, of depth, normal and segment."""
    minutes: float | None = None
    """Train for so many minutes; the learning rate falls to zero as they pass."""
    steps: int | None = None
    """Train for so many steps; with --minutes too, whichever ends first."""
    preset: str = "edge"
    """The student by name: edge (a CPU), web (a browser), tiny, small or base."""
    backbone: str | None = None
    """A timm model with forward_intermediates, in place of the preset's."""
    backbone_arguments: dict[str, Any] | None = None
    """Keyword arguments of timm.create_model, in place of the preset's; none with --backbone."""
    weights: str = "scratch"
    """Weights of the backbone: scratch, hub (timm's, downloaded), auto (the hub if it answers, else
    scratch), or a safetensors file."""
    decoder: str | None = None
    """Design of the decoder that the tasks share, in place of the preset's."""
    decoder_dim: int | None = None
    """Channels of that decoder, in place of the preset's."""
    text_tower: str | None = None
    """A CLIP-class model that embeds the class names: segmentation whose classes may be changed
    after training (see student/open_vocabulary.py)."""
    depth_kind: str = "metric"
    """Kind of depth that the student predicts, metric or affine; that of the labels."""
    size_px: int | None = None
    """Height and width of the training images; by default those of the first labels, each brought
    to a multiple of 32."""
    batch_size: int = 32
    """Photographs in a forward pass, of each device."""
    accumulate: int = 1
    """Batches whose gradients are averaged in one step."""
    optimisation: Optimisation = field(default_factory=Optimisation)
    """Learning rates and decay."""
    objective: Objective = field(default_factory=Objective)
    """Weights of the losses."""
    alignment: FeatureAlignment = field(default_factory=FeatureAlignment)
    """Features drawn towards those of a large frozen network."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How photographs are varied."""
    averaging: float = 0.998
    """Decay of the moving average of the weights, which is what is validated and stored."""
    precision: str = "auto"
    """Arithmetic: bf16-mixed, 32-true, or auto (bf16 where the processor has it)."""
    compile: bool = False
    """Compile the student with torch.compile: slow to start, then faster."""
    device: str = "auto"
    """auto, cpu or cuda."""
    devices: int = 1
    """Processes that train together by DDP, one for each GPU (or several on a CPU)."""
    validation_fraction: float = 0.02
    """Share of the photographs that is held out, chosen by their keys."""
    validate_every: int = 500
    """Steps between validations, after each of which a checkpoint is written."""
    patience: int | None = None
    """End after so many validations in a row without a better score."""
    keep_best: int = 1
    """Students to keep in checkpoints/, those with the best scores in validation."""
    log_every: int = 20
    """Steps between two logged losses."""
    logger: tuple[str, ...] = ("tensorboard",)
    """Where curves go beside the CSV files: tensorboard, wandb (extra `[wandb]`), [] for none."""
    memory_gb: float = 4.0
    """Decoded labels are kept in memory up to this; larger sets are streamed from the shards."""
    cache: Path | None = None
    """A folder for decoded samples, 16 bytes a pixel: other trainings on the same labels find them
    there, and nothing is decoded again."""
    workers: int = 1
    """Processes that decode a streamed set."""
    seed: int = 0
    """Seed of the weights, the order and the augmentation."""
    resume: bool = False
    """Go on from the last checkpoint in --out, or begin if there is none."""

    def __post_init__(self) -> None:
        _one_of("preset", self.preset, tuple(PRESETS))
        for name in self.logger:
            _one_of("logger", name, LOGGERS)
        for name in ("batch_size", "accumulate", "devices", "validate_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if self.photographs is not None and self.photographs < 1:
            raise ValueError(f"--photographs must be at least 1, got {self.photographs}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"--patience must be at least 1, got {self.patience}")

    @property
    def label_sets(self) -> list[LabelSet]:
        """All label sets to train on."""
        first = LabelSet(images=self.images, labels=self.labels, relabelled=self.relabelled)
        return [first, *self.also]

    @property
    def student_fields(self) -> dict[str, Any]:
        """Of StudentConfig: those of the preset, with what is given in their place."""
        given = {
            "backbone": self.backbone,
            "backbone_arguments": {} if self.backbone else None,
            "decoder": self.decoder,
            "decoder_dim": self.decoder_dim,
        }
        if self.backbone_arguments is not None:
            given["backbone_arguments"] = self.backbone_arguments
        return PRESETS[self.preset] | {k: v for k, v in given.items() if v is not None}


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"--{name}: expected one of {', '.join(known)}, found {value!r}")

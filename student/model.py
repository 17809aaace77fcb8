"""The student: its configuration, its network, and how it is stored.

A stored student is a folder: student.safetensors (weights and buffers) and student.json (the
configuration and the schema version), which together rebuild it anywhere.
"""

import copy
import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from student.backbone import Backbone
from student.decoders import DECODERS
from student.heads import CONFIDENCE_STRIDE, ConfidenceHead
from student.open_vocabulary import PIXEL_CHANNELS, TextHead, embed_names, set_text
from student.presets import PRESETS
from student.weights import SCRATCH

STUDENT_SCHEMA = 2
"""Version of student.json and of the names in student.safetensors."""

TASK_NAMES = ("depth", "normal", "segment")
DEPTH_KINDS = ("metric", "affine")

DEFAULTS = PRESETS["edge"]

LOG_DEPTH_RANGE = (-3.0, 7.0)
"""Metric depth stays within exp of this: 5 cm to 1.1 km, so that no pixel is zero or infinite."""
MEAN_LOG_DEPTH = 1.5
"""Where an untrained depth head starts: about 4.5 m."""


@dataclass(frozen=True, kw_only=True)
class StudentConfig:
    """Everything that rebuilds a student, save its weights.

    Raises ValueError when a value is not one that a student can have.
    """

    backbone: str = DEFAULTS["backbone"]
    """Name of a timm model with forward_intermediates."""
    backbone_arguments: Mapping[str, Any] = field(
        default_factory=lambda: dict(DEFAULTS["backbone_arguments"])
    )
    """Keyword arguments of timm.create_model; give {} with another backbone."""
    tasks: tuple[str, ...] = TASK_NAMES
    """What it predicts, in the order depth, normal, segment."""
    classes: tuple[str, ...] = ()
    """Class names of the segmentation; id = index."""
    depth_kind: str = "metric"
    """"metric": metres; "affine": 0 (near) to 1 (far), up to an unknown scale and shift."""
    image_size: tuple[int, int] = (128, 128)
    """Height and width in pixels of the images that it is trained on."""
    decoder: str = "pyramid"
    """What joins the backbone's feature maps: a name in decoders.DECODERS."""
    decoder_dim: int = DEFAULTS["decoder_dim"]
    """Channels of the decoder that the tasks share."""
    text_dim: int | None = None
    """Channels of the text embeddings of the classes, which may then be changed after training
    (open_vocabulary.with_classes); None for a segmentation head of fixed classes."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Mean of the sRGB channels, in 0..1, subtracted from an image."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Standard deviation of the sRGB channels, by which an image is divided."""

    def __post_init__(self) -> None:
        arguments = json.loads(json.dumps(dict(self.backbone_arguments)))  # tuples become lists
        object.__setattr__(self, "backbone_arguments", arguments)
        if not self.tasks or self.tasks != tuple(t for t in TASK_NAMES if t in self.tasks):
            raise ValueError(f"student tasks: expected some of {TASK_NAMES}, found {self.tasks}")
        if ("segment" in self.tasks) != bool(self.classes):
            raise ValueError("student classes: expected names with the segment task, and only then")
        if self.decoder not in DECODERS:
            raise ValueError(f"decoder: expected one of {list(DECODERS)}, found {self.decoder!r}")
        if self.depth_kind not in DEPTH_KINDS:
            raise ValueError(
                f"depth_kind: expected one of {DEPTH_KINDS}, found {self.depth_kind!r}"
            )


class Student(nn.Module):
    """One image in, all tasks out, in one pass."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: StudentConfig, weights: str = SCRATCH) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(
            config.backbone, config.image_size, config.backbone_arguments, weights
        )
        self._check_size()
        self.decoder = DECODERS[config.decoder](
            self.backbone.levels, config.decoder_dim, config.tasks
        )
        self.heads = nn.ModuleDict({task: self._head(task) for task in config.tasks})
        self.confidence = nn.ModuleDict(
            {task: ConfidenceHead(self.decoder.dim, self.decoder.stride) for task in config.tasks}
        )
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1))

    def _head(self, task: str) -> nn.Module:
        classes, text_dim = len(self.config.classes), self.config.text_dim
        if task == "segment" and text_dim is not None:
            return TextHead(self.decoder.head(PIXEL_CHANNELS), classes, text_dim)
        return self.decoder.head({"depth": 1, "normal": 3, "segment": classes}[task])

    @property
    def multiple_px(self) -> int:
        """Height and width of an image are multiples of this: the backbone's and confidence's."""
        return math.lcm(self.backbone.multiple_px, CONFIDENCE_STRIDE)

    def _check_size(self) -> None:
        height, width = self.config.image_size
        if height % self.multiple_px or width % self.multiple_px:
            raise ValueError(
                f"image size {height} x {width} px: a student with the backbone "
                f"{self.config.backbone!r} takes multiples of {self.multiple_px} px"
            )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Predict every task that the student was built for.

        images: (B, 3, H, W) float, sRGB in 0..1; H and W multiples of `multiple_px`.
        Returns, in float32: "depth" (B, H, W), metres along the optical axis, > 0 (or 0..1 if
        affine); "normal" (B, 3, H, W), unit vectors, +x right, +y up, +z towards the camera;
        "segment" (B, C, H, W) logits in the order of the classes; "confidence" (B, T, H/4, W/4),
        0..1, a channel for each task in the order of config.tasks. What confidence learns changes
        no other output: it reads the decoder's features without a gradient.
        """
        x = (images - self.mean) / self.std
        decoded = self.decoder(self.backbone(x), x)
        outputs = {
            task: self._finish(task, head(decoded[task]).float())
            for task, head in self.heads.items()
        }
        sure = [head(decoded[task].detach()) for task, head in self.confidence.items()]
        return {**outputs, "confidence": torch.cat(sure, 1).float()}

    def _finish(self, task: str, raw: Tensor) -> Tensor:
        """A head's raw output as metres, unit vectors or logits."""
        if task == "depth" and self.config.depth_kind == "metric":
            return (raw[:, 0] + MEAN_LOG_DEPTH).clamp(*LOG_DEPTH_RANGE).exp()
        if task == "depth":
            return raw[:, 0].sigmoid()
        return _unit(raw) if task == "normal" else raw


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (B, 3, H, W) at length 1; ten times as fast on a CPU as F.normalize over dim 1."""
    return vectors * vectors.square().sum(1, keepdim=True).clamp_min(1e-12).rsqrt()


def build_student(
    config: StudentConfig, weights: str = SCRATCH, text_tower: str | None = None
) -> Student:
    """A student to be trained; `student.backbone.origin` says where its weights came from.

    weights: of the backbone, as weights.load_weights takes them; text_tower: as embed_names takes
    it, for a segmentation head whose classes may change after training.
    """
    if text_tower is None:
        return Student(config, weights)
    if "segment" not in config.tasks:
        raise ValueError("text_tower: this student has no segmentation; leave the tower out")
    embeddings = embed_names(config.classes, text_tower)
    student = Student(dataclasses.replace(config, text_dim=embeddings.shape[1]), weights)
    set_text(student.heads["segment"], embeddings)
    return student


def deployable(student: Student) -> Student:
    """A copy for inference, in eval mode: branches that only training needs become one convolution.

    FastViT, RepViT and others are made for it; any other student comes back as it is.
    """
    deployed = copy.deepcopy(student).eval()
    reparameterize_model(deployed.backbone.network, inplace=True)
    return deployed


def save_student(student: Student, folder: Path) -> Path:
    """Write student.safetensors and student.json; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in student.state_dict().items()}
    save_file(weights, folder / "student.safetensors")
    card = {"schema": STUDENT_SCHEMA, **dataclasses.asdict(student.config)}
    (folder / "student.json").write_text(json.dumps(card, indent=2) + "\n")
    return folder


def load_student(folder: Path, device: str | torch.device = "cpu") -> Student:
    """Rebuild a stored student, in eval mode.

    Raises FileNotFoundError for a folder without a student, ValueError for another schema version
    and for weights that do not fit the configuration.
    """
    student = Student(read_config(folder))
    path = folder / "student.safetensors"
    try:
        student.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such file; expected a folder of `potstill train`"
        ) from None
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: weights do not fit student.json: {reason[:200]}") from error
    return student.to(device).eval()


def read_config(folder: Path) -> StudentConfig:
    """The configuration in a student's folder; errors as those of load_student."""
    path = folder / "student.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a folder of `potstill train`")
    try:
        card = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: expected JSON, {error}") from error
    if not isinstance(card, dict) or card.pop("schema", None) != STUDENT_SCHEMA:
        raise ValueError(
            f"{path}: expected a student of schema {STUDENT_SCHEMA}; it was written by another "
            "version of Potstill: train it again, or use that version"
        )
    known = {f.name for f in dataclasses.fields(StudentConfig)}
    if set(card) - known:
        raise ValueError(f"{path}: unknown fields {sorted(set(card) - known)}")
    if known - set(card):
        raise ValueError(f"{path}: lacks the fields {sorted(known - set(card))}")
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in card.items()
    }
    return StudentConfig(**fields)

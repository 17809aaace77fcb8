"""What `potstill tune --base` is told: the generator, the labelled data, and how to train."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Objective = Literal["flow", "single-step"]
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How often each kind of batch and row is drawn; tasks without labels are left out."""

    depth: float = 1.0
    """Weight of depth among the tasks."""
    normal: float = 1.0
    """Weight of surface normals."""
    segment: float = 1.0
    """Weight of segmentation, whose legend changes from row to row."""
    depth_maps: float = 0.25
    """Share of the depth rows that is painted in gray, plasma, inferno or viridis."""
    replay: float = 0.2
    """Share of the batches in which the generator makes pictures, as before tuning; 0 for none."""

    def __post_init__(self) -> None:
        weights = {task: getattr(self, task) for task in ("depth", "normal", "segment")}
        if min(weights.values()) < 0 or not any(weights.values()):
            raise ValueError(f"--mixture: weights of tasks are 0 or more, one above 0: {weights}")
        for name in ("depth_maps", "replay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"--mixture.{name} is a share in 0..1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The generator's own data, replayed so that it keeps painting pictures."""

    images: Path | None = None
    """Shards of photographs with captions (KEY.txt beside KEY.jpg); without them the generator
    itself makes the pictures, before it is tuned."""
    prompts: Path | None = None
    """Text file with one prompt a line for those pictures; by default a list of ours."""
    pictures: int = 64
    """So many are kept; each prompt is asked for again, with another seed, until they are made."""
    steps: int = 28
    """Denoising steps of a picture that the generator makes."""
    held_out: int = 8
    """Pictures of these that are never trained on: retention is measured on them."""

    def __post_init__(self) -> None:
        if self.images and self.prompts:
            raise ValueError("give --replay.images or --replay.prompts, not both")
        if not 0 < self.held_out < self.pictures:
            raise ValueError(
                f"--replay.pictures ({self.pictures}) must exceed --replay.held_out "
                f"({self.held_out}), and that must be at least 1"
            )
        if self.steps < 1:
            raise ValueError(f"--replay.steps must be at least 1, got {self.steps}")


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """AdamW with a linear warm-up, half a cosine to zero, and averaged parameters."""

    learning_rate: float = 1e-4
    """Peak learning rate; for --full a tenth of it is usual."""
    weight_decay: float = 0.0
    """Of AdamW, on all that is trained."""
    warmup_steps: int = 100
    """Steps until the peak is reached."""
    clip_norm: float = 1.0
    """Largest norm of a gradient; 0 = any."""
    averaging: float = 0.999
    """Decay of the moving average of what is trained, which is what is stored."""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"--optimisation.learning_rate is above 0, got {self.learning_rate}")
        for name in ("weight_decay", "warmup_steps", "clip_norm"):
            if getattr(self, name) < 0:
                raise ValueError(f"--optimisation.{name} is 0 or more, got {getattr(self, name)}")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"--optimisation.averaging is in 0..1, got {self.averaging}")


@dataclass(frozen=True, kw_only=True)
class EditorTuneConfig:
    """Tune an existing generator to paint labels; a run that was stopped goes on."""

    base: str
    """Folder of the generator, or OWNER/NAME on the hub together with --revision."""
    images: tuple[Path, ...]
    """Folders of image shards."""
    labels: tuple[Path, ...]
    """Folders of their label shards, in the same order: scenes, or labels of any teacher."""
    out: Path
    """Folder of the run; the tuned teacher is its subfolder `teacher`."""
    revision: str | None = None
    """Commit of a base on the hub."""
    full: bool = False
    """Train all weights of the transformer instead of a LoRA adapter."""
    lora_rank: int = 16
    """Rank of the adapter."""
    lora_layers: str = "blocks"
    """Regular expression: linear layers whose name it is found in carry an adapter."""
    objective: Objective = "single-step"
    """single-step: the painting from zero latents in one step; flow: flow matching from noise."""
    paint_steps: int = 4
    """Denoising steps of a painting afterwards; one for single-step."""
    steps: int = 2000
    """Training steps."""
    batch_size: int = 4
    """Rows of a pass on each device."""
    accumulate: int = 1
    """Passes whose gradients make a step."""
    mixture: Mixture = field(default_factory=Mixture)
    """Ratios of the tasks and of replay."""
    replay: Replay = field(default_factory=Replay)
    """The generator's own data."""
    optimisation: Optimisation = field(default_factory=Optimisation)
    """Learning rate, decay, averaging."""
    sizes: tuple[str, ...] = ("512x512",)
    """Buckets, HEIGHTxWIDTH in pixels; a photograph goes to the nearest in aspect ratio."""
    crops: int = 1
    """Crops of each photograph, mirrored or not, in other exposures; the first is the whole."""
    legends: int = 4
    """In how many ways the colours are dealt to the classes when labelling, for votes."""
    legend_pool: int = 32
    """Further random legends, in colours and wording of their own, for training alone."""
    legend_draws: int = 2
    """Legends in which each crop's classes are painted."""
    held_out: int = 8
    """Labelled photographs, the last ones, that are kept out of training, for validation."""
    gradient_checkpointing: bool = False
    """Compute activations twice, to save memory."""
    precision: Literal["auto", "bf16-mixed", "32-true"] = "auto"
    """Arithmetic; auto is bf16-mixed on a GPU that has it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    devices: int = 1
    """So many of them train side by side (DDP)."""
    every: int = 500
    """Steps between checkpoints; each comes with validation and previews."""
    seed: int = 0
    """Seed of weights, legends, batches and noise."""

    def __post_init__(self) -> None:
        counts = {"lora_rank": 1, "paint_steps": 1, "steps": 1, "batch_size": 1, "accumulate": 1}
        counts |= {"crops": 1, "legends": 1, "legend_pool": 0, "legend_draws": 1, "every": 1}
        for name, least in (counts | {"held_out": 1, "devices": 1}).items():
            if getattr(self, name) < least:
                raise ValueError(f"--{name} must be at least {least}, got {getattr(self, name)}")
        if not self.images or len(self.images) != len(self.labels):
            raise ValueError(
                f"--images and --labels belong together, one folder each: got {len(self.images)} "
                f"and {len(self.labels)}"
            )
        self.buckets()

    def buckets(self) -> tuple[Size, ...]:
        """Height and width of each bucket. Raises ValueError for what is not HEIGHTxWIDTH."""
        found = [re.fullmatch(r"(\d+)x(\d+)", text) for text in self.sizes]
        if not found or None in found:
            raise ValueError(f"--sizes is a list like 512x512,448x576, got {list(self.sizes)}")
        return tuple((int(size[1]), int(size[2])) for size in found if size)

    @property
    def painting_steps(self) -> int:
        """Denoising steps of a painting."""
        return 1 if self.objective == "single-step" else self.paint_steps

    @property
    def start(self) -> str:
        """Initial latents of a painting, one of teacher.painters.card.STARTS."""
        return "zeros" if self.objective == "single-step" else "noise"

"""What `potstill tune --recipe` and `potstill adapt` are asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """Train a teacher from scratch on procedural scenes; a run that was stopped goes on."""

    out: Path
    """Folder of the run; the finished teacher is its subfolder `teacher`."""
    recipe: str = "embedded"
    """Name of a recipe: embedded or smoke."""
    budget: float = 1.0
    """Multiplies the minutes of every training stage."""
    threads: int = 0
    """CPU threads, and processes that render; 0 takes all cores."""
    seed: int = 0
    """Seed of weights, batches and noise."""


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """Tune a teacher further on labelled photographs; a run that was stopped goes on."""

    sets: tuple[Path, ...]
    """Labelled sets: folders with images/ and labels/, such as `potstill import` writes."""
    out: Path
    """Folder of the run; the tuned teacher is its subfolder `teacher`."""
    teacher: str = "embedded"
    """The teacher to start from: one that `potstill tune` made."""
    minutes: float = 15.0
    """Training time."""
    crops: int = 12
    """Crops of each photograph, mirrored or not, in other exposures."""
    scenes: int = 2000
    """Procedural scenes that are mixed in; 0 for none."""
    legends: int = 1
    """In how many ways the colours are dealt to the classes, for votes."""
    learning_rate: float = 5e-4
    """Peak learning rate."""
    threads: int = 0
    """CPU threads, and processes that render; 0 takes all cores."""
    seed: int = 0
    """Seed of crops, batches and noise."""

    def __post_init__(self) -> None:
        for name, least in (("crops", 1), ("scenes", 0), ("legends", 1), ("threads", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} must be at least {least}, got {getattr(self, name)}")
        if not self.sets:
            raise ValueError("--sets needs at least one folder with images/ and labels/")
        if self.minutes <= 0:
            raise ValueError(f"--minutes must be above 0, got {self.minutes}")

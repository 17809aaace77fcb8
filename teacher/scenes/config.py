"""What `potstill scenes` is asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ScenesConfig:
    """Render procedural photographs into shards, with --labels also their ground truth."""

    out: Path
    """Folder for images/ and labels/."""
    count: int = 1000
    """Number of scenes."""
    split: str = "train"
    """Name of the split: scene i of a split is always the same; "held-out" is never trained on."""
    size_px: int = 128
    """Height and width of the pictures."""
    difficulty: float = 0.5
    """0 (few, typical objects, steady camera) to 1 (many objects in any material, noise)."""
    labels: bool = False
    """Also write exact depth, normals, classes and instances as label shards."""
    per_shard: int = 500
    """Scenes in a shard."""
    workers: int = 1
    """Processes that render, one thread each."""

"""What `potstill latency` is asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TimingConfig:
    """Time ONNX files, students or teachers on this machine, in turns.

    Each runs in a process of its own. The core is onnxruntime alone; the other times are from a
    uint8 photograph in memory to decoded labels. A 99th percentile is stated from 662 runs on. The
    limit is the time that the graph's products, or its memory traffic, would take at the peaks
    that the machine reached in the same run.
    """

    files: tuple[Path, ...]
    """ONNX files, folders of students or of teachers."""
    size: str | None = None
    """HxW at which ONNX files run; by default the size that each was trained at."""
    threads: tuple[int, ...] = (1,)
    """CPU threads of the operators; each count is measured by itself."""
    batch: tuple[int, ...] = (1,)
    """Photographs in one call; each count is measured by itself."""
    runs: int = 100
    """Calls to time, of each file."""
    seconds: float = 30.0
    """Time allowed for each file."""
    device: str = "cpu"
    """"cpu", or "auto" for the fastest provider that onnxruntime starts."""
    out: Path | None = None
    """Also write everything that was found to this JSON file."""

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("latency: expected files to time, found none")
        if min((*self.threads, *self.batch, self.runs), default=0) < 1:
            raise ValueError("latency: --threads, --batch and --runs must be at least 1")

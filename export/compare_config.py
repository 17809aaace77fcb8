"""What `potstill compare` is asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Compare a teacher, its student and the student's ONNX files, and write a report."""

    teacher: Path
    """Teacher folder (model_index.json or config.json), or "embedded"."""
    student: Path
    """Folder of `potstill train` (student.json)."""
    onnx: tuple[Path, ...] = ()
    """Files of `potstill export`, or its folder, for all that ship."""
    votes: tuple[int, ...] = ()
    """Compare the teacher also with so many votes."""
    steps: tuple[int, ...] = ()
    """Compare the teacher also with so many denoising steps."""
    reference: tuple[Path, ...] = ()
    """Other labellers to compare with: teachers, students or ONNX files."""
    images: Path
    """Held-out photographs: image shards."""
    labels: Path
    """Their ground truth: a folder with label shards of the same names."""
    out: Path
    """Folder for comparison.json, report/index.html and card/README.md."""
    real: Path | None = None
    """Folder of real photographs with a manifest.json."""
    limit: int | None = None
    """Compare on so many held-out photographs only."""
    real_limit: int | None = None
    """Take so many real photographs only, evenly spread over the manifest."""
    batch: int = 8
    """Photographs in one call while accuracy and throughput are measured."""
    threads: int = 1
    """CPU threads of each labeller while it is timed."""
    runs: int = 100
    """Calls to time for each labeller."""
    seconds: float = 30.0
    """Time allowed for each timing; there are two of each labeller."""
    price_per_hour: float | None = None
    """Price of an hour of the machine that was timed; gives the price of a million photographs."""
    currency: str = ""
    """What the price is in, such as EUR."""
    resamples: int = 1000
    """Bootstrap resamples."""
    seed: int = 0
    """Of the bootstrap."""
    pictures: int = 6
    """Held-out photographs to show, evenly spread."""
    worst_pictures: int = 3
    """Photographs to show for each task on which one fell behind the other most."""
    real_pictures: int = 6
    """Real photographs to show, from as many sources as there are."""

    def __post_init__(self) -> None:
        for name in ("limit", "real_limit", "batch", "threads", "runs", "resamples", "pictures"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, found {value}")
        if self.price_per_hour is not None and not (self.price_per_hour > 0 and self.currency):
            raise ValueError(
                f"price_per_hour: expected a price above 0 and its --currency, found "
                f"{self.price_per_hour} {self.currency}".rstrip()
            )

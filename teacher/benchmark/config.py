"""What `potstill label --benchmark` is asked for."""

from dataclasses import dataclass
from pathlib import Path

from teacher.sample import TASKS


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Measure how fast labels are made on this machine, with a teacher or with random weights.

    The time of a network does not depend on its weights, so that production sizes can be measured
    without downloading them.
    """

    images: Path
    """Photographs: a tar shard, a folder of shards, or a folder of image files."""
    out: Path | None = None
    """Also write benchmark.json and benchmark.md into this folder."""
    teacher: str | None = None
    """Teacher to measure, as for labelling; by default "embedded" where nothing else is."""
    revision: str | None = None
    """Commit of the teacher on the hub."""
    random: str | None = None
    """Generators with random weights: some of klein-4b, kontext-12b, tiny, separated by commas. By
    default the first two on a GPU, unless --teacher is given."""
    resolution_px: int = 512
    """Side of the squares that random weights paint; a teacher paints at its own."""
    tasks: str = ",".join(TASKS)
    """What to label, separated by commas; of these, a teacher's own."""
    steps: str | None = None
    """Denoising steps, separated by commas; by default a teacher's own, 1,4 for random weights."""
    batch_size: int = 8
    """Photographs painted at a time."""
    batches: int = 3
    """Batches that are timed, after one that is not."""
    compiled: bool | None = None
    """Measure compiled transformers too; by default on a GPU."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto: the GPU if there is one."""
    dtype: str | None = None
    """float32, bfloat16 or float16; by default bfloat16 on a GPU, else float32."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, found {getattr(self, name)}")

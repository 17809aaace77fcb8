"""What `potstill evaluate --suite` is asked for."""

from dataclasses import dataclass
from pathlib import Path

from distill.alignment import ALIGNMENTS
from teacher.sample import TASKS, check_tasks


@dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """Score teachers and students on imported data sets, beside what others published.

    Finished pairs of a labeller and a set are kept in results.json and not run again; so another
    labeller can be added later with the same --out.
    """

    suite: Path
    """Folder of imported sets: every folder in it, at any depth, that holds a dataset.json."""
    labeller: list[Path]
    """Folder of a teacher or a student; may be given several times."""
    out: Path
    """Folder for results.json, table.md and chart.png."""
    tasks: tuple[str, ...] = TASKS
    """Tasks to score, where a set has them."""
    alignments: tuple[str, ...] = ()
    """Further alignments of depth, beside none and that of each set's protocol."""
    limit: int | None = None
    """Score the first so many photographs of each set only."""
    votes: int = 1
    """Paintings of each photograph that a teacher merges."""
    device: str = "cpu"
    """Where the labellers run: cpu or cuda."""
    threads: int | None = None
    """CPU threads for an operator, by default PyTorch's own choice."""
    resamples: int = 1000
    """Bootstrap resamples."""
    seed: int = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        check_tasks(self.tasks)
        for name in ("limit", "votes", "threads", "resamples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, found {value}")
        if unknown := [name for name in self.alignments if name not in ALIGNMENTS]:
            known = ", ".join(ALIGNMENTS)
            raise ValueError(f"alignments: expected some of {known}; found {unknown[0]}")

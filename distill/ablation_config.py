"""What `potstill ablate` is asked for, and the variants that it knows."""

import shlex
from dataclasses import dataclass
from pathlib import Path

BASELINE = "baseline"
VARIANTS: dict[str, str] = {
    BASELINE: "",
    "another_seed": "--seed 1",
    "no_confidence": "--objective.use_confidence false",
    "drop_top_10": "--objective.drop_top 0.1",
    "no_gradient": "--objective.gradient 0",
    "keep_90": "--objective.keep 0.9",
    "keep_80": "--objective.keep 0.8",
    "learned_weights": "--objective.learn_weights true",
    "dice": "--objective.dice 0.5",
    "consistency": "--objective.consistency 0.1",
    "relative": "--objective.relative 0.5",
    "feature_alignment": "--alignment.weight 1.0",
    "residual_decoder": "--decoder residual",
}
"""Name -> what differs from the baseline, as options of `potstill train`; `another_seed` shows how
much of a difference is chance."""


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """Train students that differ in one thing each, with one budget and seed, and judge them.

    Each is trained in a process of its own. What is finished is not run again, and what was stopped
    goes on, so variants and counts can be added later.
    """

    images: Path
    """Image shards, or the folder that holds them."""
    labels: Path
    """Folder of the label shards that `potstill label` wrote."""
    on: Path
    """Held-out photographs with ground truth: a folder with images/ and labels/, as `potstill
    scenes --labels` writes it."""
    out: Path
    """Folder of the students, table.md, results.json, variants.png and counts.png."""
    minutes: float | None = None
    """Training time of each student."""
    steps: int | None = None
    """Training steps of each student; with --minutes too, whichever ends first."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """What to compare: names of distill/ablation_config.py, [] for none."""
    labels_of: tuple[str, ...] = ()
    """Further variants, that learn other labels of the same photographs: NAME=FOLDER, such as
    votes2=labels-votes-2/."""
    counts: tuple[int, ...] = ()
    """Also train the baseline on so many photographs, such as [1000,4000,16000]."""
    reference: Path | None = None
    """Scores of the teacher on the same photographs, by `potstill evaluate --out`: a line in the
    charts."""
    options: str = ""
    """Further options of `potstill train` for all of them, such as '--preset edge --seed 3'."""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.variants if name not in VARIANTS]:
            known = ", ".join(VARIANTS)
            raise ValueError(f"--variants: {unknown[0]!r} is none of {known}")
        if strays := [given for given in self.labels_of if not all(given.partition("="))]:
            raise ValueError(f"--labels_of: expected NAME=FOLDER, found {strays[0]!r}")
        if self.steps is None and self.minutes is None:
            raise ValueError("an ablation needs --steps or --minutes, the budget of each student")

    @property
    def runs(self) -> dict[str, str]:
        """Name of each run -> its options."""
        runs = {name: VARIANTS[name] for name in self.variants}
        for given in self.labels_of:
            name, _, folder = given.partition("=")
            runs[name] = shlex.join(["--labels", folder])
        return runs | {count_name(n): f"--photographs {n}" for n in self.counts}


def count_name(photographs: int) -> str:
    """The run on so many photographs."""
    return f"photographs_{photographs}"

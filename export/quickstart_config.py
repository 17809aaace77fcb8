"""What `potstill quickstart` is asked for."""

from dataclasses import dataclass
from pathlib import Path

from teacher.painters import EMBEDDED


@dataclass(frozen=True, kw_only=True)
class QuickstartConfig:
    """Render photographs, label them, train a student, export it and compare it with its teacher.

    A run that was stopped goes on where it was.
    """

    out: Path = Path("runs/quickstart")
    """Folder of everything that is made."""
    teacher: Path = EMBEDDED
    """Teacher folder; by default the embedded one."""
    photographs: int = 2000
    """Unlabeled photographs to render."""
    held_out: int = 128
    """Held-out scenes with exact ground truth to compare on."""
    minutes: float = 8.0
    """Training time of the student."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    real: Path | None = None
    """Folder of real data, with camvid/ and real/: tune the teacher on it, distil from photographs,
    and judge on photographs (see export.real_recipe); scenes are not used then."""
    quick: bool = False
    """The same path in a minute or two, to see that it works; the figures mean nothing."""

    def __post_init__(self) -> None:
        for name, least in (("photographs", 1), ("held_out", 1), ("threads", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} must be at least {least}, got {getattr(self, name)}")
        if self.minutes <= 0:
            raise ValueError(f"--minutes must be above 0, got {self.minutes}")

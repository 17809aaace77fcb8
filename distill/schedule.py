"""How long training lasts, and how the learning rate moves in that time."""

import math
from time import monotonic


class Budget:
    """Training ends after `steps` or `minutes`, whichever comes first.

    spent_s: seconds that earlier runs of the same training took; a resumed run goes on from there.
    Raises ValueError when neither is given, or one is not positive.
    """

    def __init__(self, steps: int | None = None, minutes: float | None = None) -> None:
        given = [value for value in (steps, minutes) if value is not None]
        if not given or min(given) <= 0:
            raise ValueError(
                f"training needs --steps or --minutes above 0, found {steps} and {minutes}"
            )
        self.steps = steps
        self.minutes = minutes
        self.spent_s = 0.0
        self._started: float | None = None

    def start(self) -> None:
        """Let the time run."""
        self._started = monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far."""
        running_s = 0.0 if self._started is None else monotonic() - self._started
        return self.spent_s + running_s

    def fraction(self, step: int, elapsed_s: float) -> float:
        """Share of the budget that is spent after so many steps and seconds, 0..1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = elapsed_s / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))


def cosine(fraction: float, warmup_fraction: float) -> float:
    """Factor of the learning rate: a linear rise over the warm-up, along half a cosine to 0."""
    rise = min(1.0, (fraction + 1e-3) / warmup_fraction) if warmup_fraction > 0 else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * fraction))

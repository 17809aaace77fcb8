"""What a run of a labelling job has done so far, and how busy its device was."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Totals:
    """A run at one moment, from the first painting on."""

    labelled: int
    quarantined: int
    seconds: float
    busy_s: float
    """Time inside the painter: what the host does besides lies between."""

    @property
    def photographs(self) -> int:
        return self.labelled + self.quarantined

    @property
    def per_s(self) -> float:
        """Photographs a second; 0 before the first one."""
        return self.photographs / self.seconds if self.seconds else 0.0

    @property
    def busy(self) -> float:
        """Share of the time for which the device was busy, 0..1."""
        return self.busy_s / self.seconds if self.seconds else 0.0


class Meter:
    """Counts photographs and the device's time. One thread paints; any may count and look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._labelled, self._quarantined, self._busy_s = 0, 0, 0.0
        self._first_s: float | None = None
        self._last_s = 0.0
        self._since_s: float | None = None

    @contextmanager
    def painting(self) -> Iterator[None]:
        """The device is at work for the length of the block."""
        with self._lock:
            self._since_s = time.perf_counter()
            self._first_s = self._first_s or self._since_s
        try:
            yield
        finally:
            with self._lock:
                self._last_s = time.perf_counter()
                self._busy_s += self._last_s - self._since_s
                self._since_s = None

    def count(self, *, quarantined: bool = False) -> None:
        """One more photograph is done."""
        with self._lock:
            self._quarantined += quarantined
            self._labelled += not quarantined

    def totals(self) -> Totals:
        """Up to now while something is painted, else up to the end of the last painting."""
        with self._lock:
            now_s = time.perf_counter()
            painting_s = 0.0 if self._since_s is None else now_s - self._since_s
            until_s = self._last_s if self._since_s is None else now_s
            return Totals(
                labelled=self._labelled,
                quarantined=self._quarantined,
                seconds=0.0 if self._first_s is None else until_s - self._first_s,
                busy_s=self._busy_s + painting_s,
            )

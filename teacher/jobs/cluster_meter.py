"""What all workers of a cluster have done together."""

import time

from teacher.jobs.meter import Meter, Totals


class ClusterMeter(Meter):
    """Adds up what workers tell of their own meters."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[int, Totals] = {}
        self._began_s: float | None = None

    def tell(self, worker: int, totals: Totals) -> None:
        """What a worker has done since it was opened, in place of what it told before."""
        with self._lock:
            self._told[worker] = totals
            if self._began_s is None and totals.seconds:
                self._began_s = time.perf_counter() - totals.seconds

    def totals(self) -> Totals:
        """Photographs of all workers by the clock on the wall; busy is the mean over workers."""
        with self._lock:
            told = list(self._told.values())
            wall_s = 0.0 if self._began_s is None else time.perf_counter() - self._began_s
        worked_s = sum(totals.seconds for totals in told)
        busy = sum(totals.busy_s for totals in told) / worked_s if worked_s else 0.0
        return Totals(
            labelled=sum(totals.labelled for totals in told),
            quarantined=sum(totals.quarantined for totals in told),
            seconds=wall_s,
            busy_s=busy * wall_s,
        )

"""Which shards of a run are still to do, which are tried again, and which are given up.

A shard may fail for two reasons, and each has a budget of its own. Its data may be bad: a damaged
file stays damaged, so it is tried only once more. Or its worker may die under it: that says little
about the shard, so it is tried more often. Only attempts that had started count.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from teacher.shards import InputShard

DATA_ATTEMPTS = 2
"""Times that a shard may be found unreadable; twice, since a shared file system may hiccup."""

WORKER_ATTEMPTS = 4
"""Workers that may die under a shard before it is suspected of killing them."""


class Arriving:
    """Shards from an iterator that may have to wait for one; whoever asks here does not wait.

    One shard is taken in advance, in a thread.
    """

    def __init__(self, shards: Iterable[InputShard]) -> None:
        self._shards = iter(shards)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._coming = self._thread.submit(next, self._shards, None)
        self.ended = False

    def poll(self) -> InputShard | None:
        """The next shard if it is there. Raises what iterating raised."""
        if self.ended or not self._coming.done():
            return None
        shard = self._coming.result()
        self.ended = shard is None
        if shard:
            self._coming = self._thread.submit(next, self._shards, None)
        return shard

    def close(self) -> None:
        """Take no more; waits for the one that is on its way."""
        self._thread.shutdown(cancel_futures=True)


class ShardQueue:
    """The shards that no worker has at the moment: those that come back, then those that arrive."""

    def __init__(self, arriving: Arriving) -> None:
        self._arriving = arriving
        self._waiting: deque[InputShard] = deque()
        self._data_failures: defaultdict[str, list[int]] = defaultdict(list)
        self._worker_failures: defaultdict[str, list[int]] = defaultdict(list)
        self.given_up: dict[str, str] = {}
        """Shard name -> why."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do, and nothing will arrive."""
        return self._arriving.ended and not self._waiting

    def take(self, place: int, alive: Collection[int]) -> InputShard | None:
        """A shard for the worker in a place; None when there is none for it at the moment.

        alive: the places that have a worker. A shard that failed in a place is tried in the others
        first, so that one sick machine cannot spend the whole budget of a good shard.
        """
        for at, shard in enumerate(self._waiting):
            failed = {*self._data_failures[shard.name], *self._worker_failures[shard.name]}
            if place not in failed or failed.issuperset(alive):
                del self._waiting[at]
                return shard
        return self._arriving.poll()

    def put_back(self, shard: InputShard) -> None:
        """It had not started: the next worker takes it, and nothing is counted."""
        self._waiting.appendleft(shard)

    def worker_died(self, shard: InputShard, place: int, reason: str) -> None:
        """The worker was labelling this shard when it died, or its device failed."""
        failures = self._worker_failures[shard.name]
        failures.append(place)
        self._retry(shard, reason, budget_left=WORKER_ATTEMPTS - len(failures))

    def bad_data(self, shard: InputShard, place: int, reason: str) -> None:
        """The worker is well, but cannot make labels from this shard."""
        failures = self._data_failures[shard.name]
        failures.append(place)
        self._retry(shard, reason, budget_left=DATA_ATTEMPTS - len(failures))

    def _retry(self, shard: InputShard, reason: str, budget_left: int) -> None:
        if budget_left > 0:
            self._waiting.append(shard)
        else:
            self.given_up[shard.name] = reason

"""What the Ray engine does besides Ray: budgets of shards, an actor's events, sums."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_workers import OpenCopier

from teacher.jobs.cluster_meter import ClusterMeter
from teacher.jobs.meter import Totals
from teacher.jobs.ray_worker import Advanced, Finished, Opened, ShardActor, Started, Unusable
from teacher.jobs.shard_queue import DATA_ATTEMPTS, WORKER_ATTEMPTS, Arriving, ShardQueue
from teacher.shards import InputShard, ShardWriter, inspect_shard


def shard(name: str) -> InputShard:
    return InputShard(f"/shards/{name}.tar", 1, "0" * 64, 1)


A, B = shard("a"), shard("b")


@pytest.fixture
def queue() -> Iterator[ShardQueue]:
    arriving = Arriving([A, B])
    yield ShardQueue(arriving)
    arriving.close()


def take(queue: ShardQueue, place: int = 0, alive: tuple[int, ...] = (0,)) -> InputShard | None:
    """Like queue.take, but waits for what is arriving."""
    found = None
    while found is None and not queue.is_empty:
        found = queue.take(place, alive)
    return found


def test_shards_come_in_order_and_the_end_is_known(queue: ShardQueue) -> None:
    assert [take(queue), take(queue), take(queue)] == [A, B, None]
    assert queue.is_empty


def test_nobody_waits_for_a_shard_that_is_not_there_yet() -> None:
    known = threading.Event()

    def slow() -> Iterator[InputShard]:
        known.wait()
        yield A

    arriving = Arriving(slow())
    queue = ShardQueue(arriving)
    assert queue.take(0, [0]) is None
    assert not queue.is_empty
    known.set()
    assert take(queue) == A
    arriving.close()


def test_what_iterating_raises_is_raised_to_the_one_who_takes() -> None:
    def full() -> Iterator[InputShard]:
        yield A
        raise OSError("disk full")

    arriving = Arriving(full())
    queue = ShardQueue(arriving)
    assert take(queue) == A
    with pytest.raises(OSError, match="disk full"):
        take(queue)
    arriving.close()


def test_a_shard_that_never_started_may_come_back_for_ever(queue: ShardQueue) -> None:
    for _ in range(10 * WORKER_ATTEMPTS):
        assert take(queue) == A
        queue.put_back(A)
    assert not queue.given_up


def test_bad_data_and_dead_workers_have_budgets_of_their_own(queue: ShardQueue) -> None:
    for _ in range(DATA_ATTEMPTS - 1):
        queue.bad_data(A, 0, "damaged")
    for _ in range(WORKER_ATTEMPTS - 1):
        queue.worker_died(A, 0, "killed")
    assert not queue.given_up
    queue.worker_died(A, 0, "killed again")
    assert queue.given_up == {"a": "killed again"}


def test_a_shard_that_failed_in_a_place_is_left_to_the_other_places(queue: ShardQueue) -> None:
    take(queue)
    take(queue)
    queue.worker_died(A, 0, "killed")
    assert queue.take(0, (0, 1)) is None
    assert queue.take(1, (0, 1)) == A
    queue.worker_died(A, 1, "killed")
    assert queue.take(0, (0, 1)) == A


def test_the_last_place_alive_takes_what_failed_there(queue: ShardQueue) -> None:
    take(queue)
    take(queue)
    queue.worker_died(A, 0, "killed")
    assert queue.take(0, (0,)) == A


def test_an_actor_tells_what_it_does(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.tar") as writer:
        for number in range(3):
            writer.add(f"p{number}", {"jpg": b"jpeg"})
    out = tmp_path / "out"
    out.mkdir()
    actor = ShardActor(threads=1)
    assert list(actor.open(OpenCopier(out=out, photograph_s=0))) == [Started(), Opened()]
    started, *advanced, finished = actor.label(inspect_shard(tmp_path / "a.tar"))
    assert started == Started()
    assert isinstance(advanced[-1], Advanced)
    assert advanced[-1].totals.photographs == 3
    assert isinstance(finished, Finished)
    assert finished.marker.ok == 3
    (tmp_path / "b.tar").write_bytes(b"no tar")
    broken = InputShard(str(tmp_path / "b.tar"), 1, "0" * 64, 1)
    assert isinstance(list(actor.label(broken))[-1], Unusable)


def test_a_cluster_is_as_busy_as_its_workers_on_the_average() -> None:
    meter = ClusterMeter()
    assert meter.totals().photographs == 0
    meter.tell(0, Totals(labelled=1, quarantined=0, seconds=1.0, busy_s=0.5))
    meter.tell(0, Totals(labelled=6, quarantined=1, seconds=2.0, busy_s=2.0))
    meter.tell(1, Totals(labelled=4, quarantined=0, seconds=2.0, busy_s=1.0))
    totals = meter.totals()
    assert (totals.labelled, totals.quarantined) == (10, 1)
    assert totals.busy == pytest.approx(0.75)
    assert 1.0 <= totals.seconds < 60  # by the clock on the wall since the first worker began

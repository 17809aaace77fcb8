"""Threads behind bounded queues: order, bounds, and where errors come out."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from teacher.map_ahead import Background, map_ahead, read_ahead


def test_map_ahead_keeps_order_and_bounds_what_it_begins() -> None:
    begun: list[int] = []

    def double(item: int) -> int:
        begun.append(item)
        time.sleep(0.01 * (item % 3 == 0))
        return 2 * item

    with ThreadPoolExecutor(4) as pool:
        results = map_ahead(pool, double, iter(range(50)), ahead=5)
        assert next(results) == 0
        pool.submit(lambda: None).result()
        assert len(begun) <= 6
        assert list(results) == list(range(2, 100, 2))
        assert list(map_ahead(pool, double, [], ahead=5)) == []
        with pytest.raises(ZeroDivisionError):
            list(map_ahead(pool, lambda item: 1 // item, [1, 0], ahead=5))


def failing_at(end: int, taken: list[int]) -> Iterator[int]:
    for item in range(end):
        taken.append(item)
        yield item
    raise ValueError("the source is damaged")


def test_read_ahead_is_bounded_and_raises_after_what_was_sound() -> None:
    taken: list[int] = []
    items = read_ahead(failing_at(6, taken), ahead=2)
    assert next(items) == 0
    time.sleep(0.05)
    assert len(taken) == 4  # one is out, two wait, one waits for room
    assert [next(items) for _ in range(5)] == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="the source is damaged"):
        next(items)


def test_read_ahead_ends_its_thread_when_nobody_reads_on() -> None:
    before = threading.active_count()
    items = read_ahead(iter(range(1000)), ahead=2)
    next(items)
    items.close()
    assert threading.active_count() == before


def pairs(items: Iterator[int]) -> Iterator[int]:
    """The sum of every two items; an odd one at the end would never be seen."""
    for item in items:
        yield item + next(items)


def test_background_yields_what_is_ready_and_finishes() -> None:
    background = Background(pairs, ahead=1)
    results = []
    for item in range(10):
        background.put(item)
        results += background.ready()
    results += background.finish()
    assert results == [1, 5, 9, 13, 17]


def test_background_drops_what_is_incomplete_when_it_is_abandoned() -> None:
    background = Background(pairs, ahead=1)
    for item in range(5):
        background.put(item)
    assert list(background.abandon()) == [1, 5]


def test_background_raises_in_the_caller_and_never_blocks_it() -> None:
    def failing(items: Iterator[int]) -> Iterator[int]:
        yield next(items)
        raise OSError("disk")

    background = Background(failing, ahead=1)
    for item in range(10):
        background.put(item)
    with pytest.raises(OSError, match="disk"):
        list(background.finish())

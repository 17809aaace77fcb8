"""Work in threads behind bounded queues, results in the order of the input."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import Queue, SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

END = object()


class Abandoned(Exception):
    """Raised in a Background's thread where its next item would be: there will be none."""


def map_ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """Like `map`, in the pool, with up to `ahead` items begun before their results are asked for.

    Unlike Executor.map it never holds more than that, however long `items` is.
    """
    begun: deque[Future[Result]] = deque()
    for item in items:
        begun.append(pool.submit(function, item))
        if len(begun) > ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def read_ahead(items: Iterable[Item], *, ahead: int) -> Iterator[Item]:
    """The items, iterated over in a thread of their own, up to `ahead` of them in advance.

    What iterating raises is raised here, after the items before it. When the caller stops early,
    the thread ends with the item it is at.
    """
    queue: Queue = Queue(ahead)
    stopped = threading.Event()

    def fill() -> None:
        try:
            for item in items:
                queue.put(item)
                if stopped.is_set():
                    return
            queue.put(END)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            queue.put(_Failure(error))

    thread = threading.Thread(target=fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not END:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        stopped.set()
        _drain_until_dead(queue, thread)


def _drain_until_dead(queue: Queue, thread: threading.Thread) -> None:
    """Make room for what the thread puts last, and wait for its end."""
    while thread.is_alive():
        while not queue.empty():
            queue.get()
        thread.join(timeout=0.01)


class Background(Generic[Item, Result]):
    """A generator function that consumes items in a thread of its own, up to `ahead` of them
    waiting. One thread puts items and takes results."""

    def __init__(
        self, consume: Callable[[Iterator[Item]], Iterator[Result]], *, ahead: int
    ) -> None:
        self._items: Queue = Queue(ahead)
        self._results: SimpleQueue = SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, args=(consume,), name="background", daemon=True
        )
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand an item over; waits for room."""
        self._items.put(item)

    def ready(self) -> Iterator[Result]:
        """The results that are there, at once. Raises what the function raised."""
        while not self._results.empty():
            result = self._results.get()
            if isinstance(result, _Failure):
                raise result.error
            yield result

    def finish(self) -> Iterator[Result]:
        """No more items: the remaining results, once the function has returned."""
        self._items.put(END)
        self._thread.join()
        yield from self.ready()

    def abandon(self) -> Iterator[Result]:
        """No more items, and what is incomplete is dropped: the remaining results."""
        self._items.put(_Failure(Abandoned()))
        self._thread.join()
        yield from self.ready()

    def _run(self, consume: Callable[[Iterator[Item]], Iterator[Result]]) -> None:
        try:
            with suppress(Abandoned):
                for result in consume(self._received()):
                    self._results.put(result)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._results.put(_Failure(error))
            with suppress(Abandoned):
                deque(self._received(), maxlen=0)  # so that nobody waits for room

    def _received(self) -> Iterator[Item]:
        while (item := self._items.get()) is not END:
            if isinstance(item, _Failure):
                raise item.error
            yield item

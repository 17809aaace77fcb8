"""Input shards behind a URL, on this machine while they are used: one, and the next."""

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from teacher.jobs.remote import RemoteFolder, is_url
from teacher.manifest import InputShard
from teacher.provenance import sha256_file

FETCH_ATTEMPTS = 2
"""Times that a shard is fetched before its bytes count as changed: a transfer may have gone bad."""

SCRATCH_PREFIX = "potstill-"
"""Of folders in $TMPDIR; those of a killed process may be deleted."""


@contextmanager
def local_copy(source: InputShard) -> Iterator[InputShard]:
    """The shard itself, or a copy that is deleted after the block, with its bytes checked.

    Raises ValueError when the bytes are not those that the job was planned with, OSError when the
    shard cannot be fetched.
    """
    if not is_url(source.path):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX) as scratch:
        copy = Path(scratch) / f"{source.name}.tar"
        for attempt in range(FETCH_ATTEMPTS):
            fetch(source.path, copy)
            found = sha256_file(copy)
            if found == source.sha256:
                break
            if attempt + 1 == FETCH_ATTEMPTS:
                raise ValueError(
                    f"{source.path} changed since the job was planned (sha256 {found[:12]}, "
                    f"planned {source.sha256[:12]}): restore it, or label into another folder"
                )
        yield replace(source, path=str(copy))


def local_copies(sources: Iterable[InputShard]) -> Iterator[InputShard]:
    """Each shard as local_copy gives it, until the next one is asked for.

    While one behind a URL is used, the next is fetched, so that a device need not wait for it.
    """
    ahead: Future[_Copy] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="fetch") as pool:
        try:
            for source in sources:
                current, ahead = ahead, pool.submit(_Copy, source)
                if current:
                    yield from current.result().used()
                if not is_url(source.path):  # it is here already, and others may want the next
                    current, ahead = ahead, None
                    yield from current.result().used()
            if ahead:
                current, ahead = ahead, None
                yield from current.result().used()
        finally:
            if ahead:
                ahead.add_done_callback(_discard)


class _Copy:
    """A local_copy that one thread makes and another uses."""

    def __init__(self, source: InputShard) -> None:
        self.stack = ExitStack()
        self._shard = self.stack.enter_context(local_copy(source))

    def used(self) -> Iterator[InputShard]:
        """Yield the shard once, and delete the copy."""
        with self.stack:
            yield self._shard


def _discard(unused: Future[_Copy]) -> None:
    if not unused.cancelled() and unused.exception() is None:
        unused.result().stack.close()


def fetch(url: str, target: Path) -> None:
    """Copy one file from behind a URL. Raises OSError naming it."""
    folder, _, name = url.rpartition("/")
    RemoteFolder(folder).fetch(name, target)

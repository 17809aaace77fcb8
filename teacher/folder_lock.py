"""Several runs may write to one folder; the first to come clears what killed ones left behind."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from teacher.atomic import remove_temporaries

if sys.platform != "win32":
    import fcntl

LOCK_NAME = ".lock"


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Be known as a writer of the folder for the length of the block.

    The kernel forgets a writer when its process dies, however it dies. A run that finds no other
    one alive removes the temporary files that are there. File systems without locks keep them.
    """
    with (folder / LOCK_NAME).open("a") as lock:
        if _lock(lock, alone=True):
            remove_temporaries(folder)
        _lock(lock, alone=False)
        yield


def _lock(lock: TextIO, *, alone: bool) -> bool:
    """Whether the lock was taken: alone and at once or not at all, or shared with other writers."""
    if sys.platform == "win32":
        return False
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        return True
    return False

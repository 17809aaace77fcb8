"""Temporary files in a folder that several processes write to: those of the dead are removed."""

import os
from pathlib import Path

from teacher.process_id import ProcessId

QUIET_S = 3600.0
"""A writer on another machine touches its file more often than this."""


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of processes that are dead; those of living ones stay.

    Of a process on another machine, which cannot be asked, they count as left behind when they
    have not changed for QUIET_S.
    """
    files = list(folder.glob(".*.tmp"))
    now_s = _server_time_s(folder) if files else 0.0
    for file in files:
        if _is_left_behind(file, now_s):
            file.unlink(missing_ok=True)


def _is_left_behind(file: Path, now_s: float) -> bool:
    owner = ProcessId.parse(file.suffixes[-3][1:]) if len(file.suffixes) > 2 else None
    if owner is not None and owner.is_here():
        return owner.is_dead()
    try:
        return now_s - file.stat().st_mtime > QUIET_S
    except FileNotFoundError:  # finished in the meantime
        return False


def _server_time_s(folder: Path) -> float:
    """The time of the server that keeps the folder, whose clock the files' times are of."""
    os.utime(folder)
    return folder.stat().st_mtime

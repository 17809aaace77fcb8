"""How many cores this process may use, and how its threads share them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_S = 0.0005
"""How long a thread may compute while another one waits for its turn."""


def usable_cores() -> int:
    """Cores of the process's affinity mask: under taskset or SLURM fewer than the machine has.

    More threads than these make PyTorch several times slower, not faster.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def many_small_threads() -> Iterator[None]:
    """For the length of the block, favour a thread that waits for a device over those that compute.

    Python lets a thread that computes go on for 5 ms while others wait: the device would wait as
    long, several times a batch. And OpenCV starts no threads of its own beside those that call it.
    """
    import cv2

    interval_s, threads = sys.getswitchinterval(), cv2.getNumThreads()
    sys.setswitchinterval(SWITCH_S)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        sys.setswitchinterval(interval_s)

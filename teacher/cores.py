"""How many cores this process may use."""

import os


def usable_cores() -> int:
    """Cores of the process's affinity mask: under taskset or SLURM fewer than the machine has.

    More threads than these make PyTorch several times slower, not faster.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

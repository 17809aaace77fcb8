"""What the machine tells of itself while something is timed: load, clocks, memory, energy."""

import os
import resource
import sys
from pathlib import Path
from typing import Any

RAPL = Path("/sys/class/powercap")
"""Counters of Linux for the energy of each processor package; often readable by root alone."""
MICRO, MILLI = 1e-6, 1e-3


def load_average() -> float:
    """Processes that ran or waited in the last minute."""
    return os.getloadavg()[0]


def clock_mhz() -> float | None:
    """The fastest core's clock right now, as Linux states it; None elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return max(clocks, default=None)


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far.

    Linux keeps the maximum of getrusage across exec, and with it that of the process that spawned
    this one; the high-water mark of /proc is this program's own.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def energy_j(rapl: Path = RAPL) -> float | None:
    """Joules that processors and GPUs have used since some moment; None where nothing counts them.

    Differences count, and they are the whole machine's: of other programs too.
    """
    counters = [
        _read_joules(path)
        for path in sorted(rapl.glob("intel-rapl:?/energy_uj"))
        if _is_package(path.parent)
    ]
    counters += _gpu_joules()
    known = [joules for joules in counters if joules is not None]
    return sum(known) if known else None


def _is_package(domain: Path) -> bool:
    """Not the platform ("psys"), in which the packages count once more."""
    name = domain / "name"
    return not name.is_file() or name.read_text().startswith("package")


def _read_joules(counter: Path) -> float | None:
    try:
        return int(counter.read_text()) * MICRO
    except (OSError, ValueError):
        return None


def _gpu_joules() -> list[float | None]:
    """One for each NVIDIA GPU that counts, where NVIDIA's package pynvml is installed."""
    try:
        import pynvml  # type: ignore[import-not-found]
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        devices = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return [_gpu_counter(pynvml, device) for device in devices]
    except pynvml.NVMLError:
        return []


def _gpu_counter(pynvml: Any, device: Any) -> float | None:
    try:
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(device) * MILLI
    except pynvml.NVMLError:  # an older GPU
        return None

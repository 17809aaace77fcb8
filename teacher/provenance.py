"""What made a file: package versions, git commit, machine, hashes; the run.json of every run."""

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from teacher.cores import usable_cores

PACKAGES = ("potstill", "torch", "diffusers", "lightning", "timm", "onnx", "onnxruntime", "numpy")


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide a result; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        for distribution in (name, f"{name}-gpu"):
            try:
                found[name] = version(distribution)
                break
            except PackageNotFoundError:
                continue
    return found


def describe_machine() -> dict[str, Any]:
    """The computer that the figures come from: processor, cores that may be used, system."""
    return {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _cpu_name() -> str:
    """The model that Linux names, otherwise what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_commit() -> str | None:
    """The commit of the source tree that runs, or None outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def as_json(value: Any) -> Any:
    """A dataclass, path or container as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def write_run(folder: Path, config: Any, **extra: Any) -> Path:
    """Write `run.json`: configuration, versions, git commit and whatever else is given."""
    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "config": as_json(config),
        "versions": package_versions(),
        "git_commit": git_commit(),
        **{key: as_json(value) for key, value in extra.items()},
    }
    path = folder / "run.json"
    path.write_text(json.dumps(run, indent=2) + "\n")
    return path


def claim_run(folder: Path, config: Any, *, free: Collection[str] = (), **extra: Any) -> None:
    """write_run, unless the folder belongs to a run with another configuration.

    What that run left there would be taken for a part of this one.
    free: settings that may change from one attempt to the next.
    Raises ValueError naming what differs.
    """
    path = folder / "run.json"
    if path.exists():
        before = json.loads(path.read_text())["config"]
        now = {name: value for name, value in as_json(config).items() if name not in free}
        changed = [name for name, value in now.items() if before.get(name) != value]
        if changed:
            raise ValueError(
                f"{folder} belongs to a run with another {', '.join(changed)}; "
                "give another --out, or delete the folder"
            )
    write_run(folder, config, **extra)

"""Joining a Ray cluster, or starting one of our own, and leaving it as it was."""

import importlib.util
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from teacher.cores import usable_cores

OBJECT_STORE_BYTES = 100 * 2**20
"""Shared memory of a cluster of our own: nothing of size is put into it."""

CONNECT_TIMEOUT_S = 5


def require_ray() -> None:
    """Raise ValueError saying how to get Ray when it is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ValueError("--engine ray needs the package ray: pip install potstill[ray]")


@contextmanager
def joined_cluster(address: str) -> Iterator[None]:
    """Be a driver of the cluster for the length of the block.

    address: "local" starts a cluster in this machine and ends it after the block; "auto" joins the
    one that runs on this machine, or that RAY_ADDRESS names; HOST:PORT joins that one. A cluster
    that was joined is left running.
    Raises ValueError when Ray is not installed or no cluster answers.
    """
    require_ray()
    import ray
    from ray.exceptions import RayError

    _check_address(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address, log_to_driver=False, logging_level=logging.WARNING, **_own(address)
        )
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise ValueError(f"--address {address}: {error}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray has put one of its own, which only exits
    try:
        yield
    finally:
        ray.shutdown()


def _own(address: str) -> dict[str, Any]:
    """Options that Ray takes only when it starts a cluster."""
    if address != "local":
        return {}
    return {
        "num_cpus": usable_cores(),
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }


def _check_address(address: str) -> None:
    """Fail at once where Ray would try for two minutes, and then end the process."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"--address must be auto, local or HOST:PORT, found {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ValueError(
            f"--address {address}: no Ray cluster answers there ({error}); "
            f"start one with: ray start --head --port {port}"
        ) from error

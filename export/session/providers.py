"""Which part of the machine runs a model: the fastest execution provider that really starts."""

import ctypes
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import (
    NotImplemented as NotSupported,
)

LOGGER = logging.getLogger(__name__)

TENSORRT = "TensorrtExecutionProvider"
CPU = "CPUExecutionProvider"
CPU_ONLY = (CPU,)
PREFERENCE = (
    TENSORRT,
    "CUDAExecutionProvider",
    "OpenVINOExecutionProvider",
    "CoreMLExecutionProvider",
    CPU,
)
SESSION_ERRORS = (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotSupported,
    RuntimeException,
    RuntimeError,
)
KNOWN_BAD_TENSORRT = {
    (10, 3): "NVIDIA/TensorRT#4419, #4723, spacewalk01/depth-anything-tensorrt#49, "
    "ika-rwth-aachen/ros2-depth-anything-v3-trt#16",
    (10, 4): "NVIDIA/TensorRT#4742",
}
"""(major, minor) -> who saw vision transformers go wrong with it: DINOv3 and Depth Anything, in
float32 as well. 10.3 is what JetPack 6.1 and 6.2 bring; with 10.16 depth was right again."""
LOG_FATAL, LOG_WARNING = 4, 2

Providers = Sequence[str] | Literal["auto"]
OpenOn = Callable[[Sequence[str]], onnxruntime.InferenceSession]


def open_session(
    model: bytes,
    name: str,
    *,
    threads: int | None,
    providers: Providers,
    engine_cache: Path | None,
) -> onnxruntime.InferenceSession:
    """Open a model that was inspected before; `name` is what messages call it.

    Raises ValueError when onnxruntime refuses the model, or when a provider that was named is not
    there or does not start. "auto" takes the first of PREFERENCE that starts, and logs which.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0

    def open_on(chosen: Sequence[str]) -> onnxruntime.InferenceSession:
        return _open(model, name, options, chosen, engine_cache)

    wanted = _wanted(name, providers)
    auto = providers == "auto"
    session = _open_first(name, wanted, open_on) if auto else _open_named(wanted, open_on)
    if TENSORRT in session.get_providers() and engine_cache is None:
        LOGGER.warning(
            "%s: TensorRT builds an engine for every size, for minutes; with "
            "engine_cache=FOLDER it does so once",
            name,
        )
    return session


def _wanted(name: str, providers: Providers) -> list[str]:
    """The providers to open, in order; a TensorRT that is known to be wrong is named."""
    auto = providers == "auto"
    offered = onnxruntime.get_available_providers()
    wanted = [p for p in PREFERENCE if p in offered] if auto else list(providers)
    if TENSORRT in wanted and (wrong := what_is_wrong(tensorrt_version())):
        LOGGER.warning("%s: %s", name, wrong)
        return [p for p in wanted if p != TENSORRT] if auto else wanted
    return wanted


def _open_first(name: str, offered: Sequence[str], open_on: OpenOn) -> onnxruntime.InferenceSession:
    """The first provider that starts. What it cannot run itself goes to those after it."""
    idle: list[str] = []
    for at, provider in enumerate(offered):
        session = open_on(offered[at:]) if provider == CPU else _try(open_on, offered[at:])
        if session is not None and provider in session.get_providers():
            _log_choice(name, provider, idle)
            return session
        idle.append(provider)
    raise ValueError(f"{name}: onnxruntime offers none of {', '.join(PREFERENCE)}")


def _log_choice(name: str, chosen: str, idle: Sequence[str]) -> None:
    """One line; a warning where the machine may have more to give."""
    if not idle:
        offered = ", ".join(map(short_name, onnxruntime.get_available_providers()))
        LOGGER.info("%s runs on %s; onnxruntime offers %s", name, short_name(chosen), offered)
        return
    LOGGER.warning(
        "%s runs on %s: %s did not start (driver or libraries missing; for onnxruntime's own words "
        "name it: providers=[%r])",
        name,
        short_name(chosen),
        " and ".join(map(short_name, idle)),
        idle[-1],
    )


def short_name(provider: str) -> str:
    """CUDA for CUDAExecutionProvider."""
    return provider.removesuffix("ExecutionProvider").replace("Tensorrt", "TensorRT")


def _try(open_on: OpenOn, providers: Sequence[str]) -> onnxruntime.InferenceSession | None:
    """A session, or None; without the lines that onnxruntime prints about missing libraries."""
    onnxruntime.set_default_logger_severity(LOG_FATAL)
    try:
        return open_on(providers)
    except ValueError:
        return None
    finally:
        onnxruntime.set_default_logger_severity(LOG_WARNING)


def _open_named(providers: Sequence[str], open_on: OpenOn) -> onnxruntime.InferenceSession:
    """Exactly the providers that were asked for: none is left out silently."""
    available = onnxruntime.get_available_providers()
    unknown = sorted(set(providers) - set(available))
    if unknown:
        raise ValueError(
            f"providers: this onnxruntime offers {', '.join(available)}, not {', '.join(unknown)}"
        )
    session = open_on(providers)
    missing = sorted(set(providers) - set(session.get_providers()))
    if missing:
        raise ValueError(
            f"providers: {', '.join(missing)} did not start; onnxruntime has printed why"
        )
    return session


def _open(
    model: bytes,
    name: str,
    options: onnxruntime.SessionOptions,
    providers: Sequence[str],
    engine_cache: Path | None,
) -> onnxruntime.InferenceSession:
    """Open the bytes that were inspected, not the file again: it may have changed since."""
    with_options = [(p, provider_options(p, engine_cache)) for p in providers]
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=with_options, enable_fallback=False
        )
    except SESSION_ERRORS as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: onnxruntime cannot open it: {reason}") from error


def provider_options(provider: str, engine_cache: Path | None) -> dict[str, str]:
    """TensorRT builds an engine for minutes: it is kept where the caller wants it."""
    if provider != TENSORRT or engine_cache is None:
        return {}
    engine_cache.mkdir(parents=True, exist_ok=True)
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(engine_cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(engine_cache),
    }


def what_is_wrong(version: tuple[int, int, int] | None) -> str | None:
    """What is known to be wrong with a version of TensorRT."""
    seen_by = KNOWN_BAD_TENSORRT.get(version[:2]) if version else None
    if version is None or seen_by is None:
        return None
    return (
        f"TensorRT {'.'.join(map(str, version))} gives wrong results for vision transformers "
        f'({seen_by}): "auto" does not use it; update it to 10.16 or newer'
    )


def tensorrt_version() -> tuple[int, int, int] | None:
    """The TensorRT 10 that is installed, as its own library says; None without one, or elsewhere
    than on Linux."""
    try:
        number = ctypes.CDLL("libnvinfer.so.10").getInferLibVersion()
    except (OSError, AttributeError):
        return None
    return number // 10000, number // 100 % 100, number % 100

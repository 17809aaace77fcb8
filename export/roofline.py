"""How near a measurement comes to what the machine could do at best.

The limit of a file is the time that its operations take at the machine's peak, or that its bytes
take at the memory's, whichever is longer (Williams and others, "Roofline", 2009). Peaks are
measured, with the runtime and the threads of the measurement that they are held against.
"""

import itertools
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from export.graph_cost import GraphCost

SIDE = 512
"""Of the square matrices: 0.3 GFLOP, short enough to be undisturbed now and then."""
COPIED_BYTES = 2**27
"""Several times as much as a cache holds, so that every piece comes from memory anew."""
PIECE_BYTES = 2**23
TRIED_S = 1.0
"""Each is repeated for so long, and its fastest run counts: other programs only ever slow it."""


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What the machine reached."""

    float_gflop_s: float
    """Of float32 matrix products"""
    int8_gop_s: float
    """Of uint8 by int8 matrix products"""
    memory_gb_s: float
    """Read and written, in copying a large array"""
    threads: int


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """The limit of one file at one size, and how near it came."""

    gflop: float
    """Operations of one batch, of either kind"""
    megabytes: float
    """Moved for one batch"""
    limit_ms: float
    bound_by: str
    """"compute" or "memory" """
    reached: float
    """Share of the limit: 1 would be as fast as the machine can be"""


def place(cost: GraphCost, peaks: Peaks, measured_ms: float) -> Roofline:
    """Hold a measured time against the limit."""
    compute_ms = cost.float_flop / peaks.float_gflop_s / 1e6 + cost.int8_op / peaks.int8_gop_s / 1e6
    memory_ms = cost.bytes_moved / peaks.memory_gb_s / 1e6
    limit_ms = max(compute_ms, memory_ms)
    return Roofline(
        gflop=(cost.float_flop + cost.int8_op) / 1e9,
        megabytes=cost.bytes_moved / 1e6,
        limit_ms=limit_ms,
        bound_by="compute" if compute_ms >= memory_ms else "memory",
        reached=limit_ms / measured_ms,
    )


def measure_peaks(threads: int) -> Peaks:
    """Measure the machine in a process of its own, with so many threads."""
    from export.turns import environment

    done = subprocess.run(
        [sys.executable, "-m", "export.roofline", str(threads)],
        env=environment(threads),
        capture_output=True,
        text=True,
        check=True,
    )
    return Peaks(**json.loads(done.stdout))


def _measure(threads: int) -> Peaks:
    rng = np.random.default_rng(0)
    left, right = rng.random((2, SIDE, SIDE), dtype=np.float32)
    unsigned, signed = (left * 255).astype(np.uint8), (right * 127).astype(np.int8)
    count = 2 * SIDE**3
    seconds = {
        "MatMul": _best(_product("MatMul", left, right, threads)),
        "MatMulInteger": _best(_product("MatMulInteger", unsigned, signed, threads)),
    }
    return Peaks(
        float_gflop_s=count / seconds["MatMul"] / 1e9,
        int8_gop_s=count / seconds["MatMulInteger"] / 1e9,
        memory_gb_s=2 * PIECE_BYTES / _best(_copy(threads)) / 1e9,
        threads=threads,
    )


def _best(call: Callable[[], object]) -> float:
    """Seconds of the fastest call."""
    call()
    fastest, ends = math.inf, time.perf_counter() + TRIED_S
    while (start := time.perf_counter()) < ends:
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def _product(
    operator: str, left: np.ndarray, right: np.ndarray, threads: int
) -> Callable[[], object]:
    """A matrix product as students compute it: with onnxruntime, the right-hand side stored."""
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    kinds = {"MatMul": onnx.TensorProto.FLOAT, "MatMulInteger": onnx.TensorProto.INT32}
    graph = helper.make_graph(
        [helper.make_node(operator, ["left", "right"], ["out"])],
        "product",
        [
            helper.make_tensor_value_info(
                "left", helper.np_dtype_to_tensor_dtype(left.dtype), left.shape
            )
        ],
        [helper.make_tensor_value_info("out", kinds[operator], [SIDE, SIDE])],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"left": left})


def _copy(threads: int) -> Callable[[], object]:
    """Copies the next piece of a large array, each thread its share of it."""
    from concurrent.futures import ThreadPoolExecutor

    source, target = np.ones(COPIED_BYTES, np.uint8), np.ones(COPIED_BYTES, np.uint8)
    pieces = COPIED_BYTES // PIECE_BYTES
    shares = [
        list(zip(np.array_split(to, threads), np.array_split(part, threads)))
        for to, part in zip(np.split(target, pieces), np.split(source, pieces))
    ]
    turn = itertools.cycle(shares)
    if threads == 1:
        return lambda: np.copyto(*next(turn)[0])
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(lambda share: np.copyto(*share), next(turn)))


if __name__ == "__main__":
    print(json.dumps(asdict(_measure(int(sys.argv[1])))))

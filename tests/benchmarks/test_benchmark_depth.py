"""Reading depth from a painting of 512 x 512, beside the packages that do the same.

Every timing is of one thread, in one run, so that the ratios hold whatever the machine.
hilbertcurve is timed on CURVE_POINTS points and scaled, as its time is linear in their number.
"""

import time

import numpy as np
import pytest

from teacher.colormaps import COLOR_MAPS
from teacher.depth import CUBE_WALK, ColorMap, DepthCodec, Gray, Hilbert, decode_depth, encode_depth

SIZE_PX = 512
CURVE_POINTS = 1 << 14
CODECS: tuple[DepthCodec, ...] = (
    CUBE_WALK,
    *(Hilbert(order) for order in (1, 2, 4, 8)),
    Gray(),
    *(ColorMap(name) for name in COLOR_MAPS),
)


@pytest.fixture(scope="module")
def painting() -> np.ndarray:
    """Colours at random: harder on caches and branches than any picture."""
    return np.random.default_rng(0).integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)


def report(benchmark, name: str, theirs_s: float, least: int) -> None:
    ratio = theirs_s / benchmark.stats.stats.median
    benchmark.extra_info.update({"theirs_ms": 1e3 * theirs_s, "times_as_fast": ratio})
    ours_ms = 1e3 * benchmark.stats.stats.median
    print(f"\n{name}: {1e3 * theirs_s:.0f} ms, ours {ours_ms:.2f} ms: {ratio:.0f} times as fast")
    assert ratio > least


def median_s(run, rounds: int = 5) -> float:
    """Median time of a call in seconds, after one to warm up."""
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_decode(benchmark, painting, codec):
    benchmark.pedantic(decode_depth, (painting, codec), rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_encode(benchmark, painting, codec):
    depth_m = decode_depth(painting).depth_m
    benchmark.pedantic(encode_depth, (depth_m, codec), rounds=15, warmup_rounds=2)


def test_cube_walk_against_hilbertmap(benchmark, painting):
    from hilbertmap import rgb_to_depth

    benchmark.pedantic(decode_depth, (painting,), rounds=15, warmup_rounds=2)
    fractions = painting / 255
    with np.errstate(divide="ignore"):
        report(benchmark, "hilbertmap", median_s(lambda: rgb_to_depth(fractions)), least=10)


def test_order_8_against_hilbertcurve(benchmark, painting):
    from hilbertcurve.hilbertcurve import HilbertCurve

    benchmark.pedantic(decode_depth, (painting, Hilbert(8)), rounds=15, warmup_rounds=2)
    curve = HilbertCurve(8, 3)
    points = painting.reshape(-1, 3)[:CURVE_POINTS].tolist()  # lists: faster for it than arrays
    some_s = median_s(lambda: curve.distances_from_points(points))
    report(benchmark, "hilbertcurve", some_s * SIZE_PX**2 / CURVE_POINTS, least=500)


@pytest.mark.gpu
def test_compiled_cube_walk_against_copying(benchmark):
    """32 paintings on a GPU: bytes that have to move, per second, against those of a plain copy."""
    import torch

    count = 32 * SIZE_PX * SIZE_PX
    rgb = torch.randint(0, 256, (32, SIZE_PX, SIZE_PX, 3), dtype=torch.uint8, device="cuda")
    decode = torch.compile(decode_depth, fullgraph=True)

    def timed(run) -> None:
        run()
        torch.cuda.synchronize()

    benchmark.pedantic(timed, (lambda: decode(rgb),), rounds=50, warmup_rounds=10)
    source = torch.empty(11 * count, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copy_s = median_s(lambda: timed(lambda: target.copy_(source)), rounds=50)
    moved = 3 + 4 + 4  # a colour is read, a depth and a residual are written
    share = (moved * count / benchmark.stats.stats.median) / (2 * len(source) / copy_s)
    benchmark.extra_info["share_of_copy_bandwidth"] = share
    print(f"\ncompiled cube walk: {100 * share:.0f} % of the copy bandwidth")
    assert share > 0.5

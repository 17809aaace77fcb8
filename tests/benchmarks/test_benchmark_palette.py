"""Reading classes, normals and instances from a painting of 512 px, on one thread."""

import time

import cv2
import numpy as np
import pytest

from teacher.instances import decode_instances
from teacher.normals import decode_normals
from teacher.palette import Palette, decode_segments, encode_segments

SIZE_PX = 512
LEAST_RATIO = 5
"""Times that decode_segments is faster than a plain argmin over distances, with 20 classes."""


@pytest.fixture(autouse=True)
def one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(scope="module")
def palette() -> Palette:
    return Palette.distinct([f"class {i}" for i in range(20)])


@pytest.fixture(scope="module")
def painting(palette: Palette) -> np.ndarray:
    """Twenty classes in blocks of 32 px, with the noise of a generator."""
    generator = np.random.default_rng(0)
    ids = generator.integers(0, 20, (SIZE_PX // 32, SIZE_PX // 32)).repeat(32, 0).repeat(32, 1)
    noise = generator.normal(0, 8, (SIZE_PX, SIZE_PX, 3))
    return np.clip(np.rint(encode_segments(ids, palette) + noise), 0, 255).astype(np.uint8)


def plain_argmin(rgb: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """What one would write first."""
    apart = rgb[:, :, None].astype(np.float32) - colors.astype(np.float32)
    return (apart**2).sum(axis=-1).argmin(axis=-1)


def fastest_s(function, *arguments, rounds: int = 7) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def test_segments_against_the_plain_argmin(benchmark, painting, palette):
    plain = plain_argmin(painting, palette.colors)
    np.testing.assert_array_equal(decode_segments(painting, palette).ids, plain)
    plain_s = fastest_s(plain_argmin, painting, palette.colors)
    benchmark.pedantic(decode_segments, (painting, palette), rounds=20, warmup_rounds=2)
    ratio = plain_s / fastest_s(decode_segments, painting, palette)
    benchmark.extra_info["times_faster_than_plain_argmin"] = ratio
    print(f"\nplain argmin {plain_s * 1e3:.1f} ms: decode_segments is {ratio:.1f} times faster")
    assert ratio >= LEAST_RATIO


def test_normals(benchmark, painting):
    benchmark.pedantic(decode_normals, (painting,), rounds=20, warmup_rounds=2)


def test_instances(benchmark):
    """Thirty discs, each in its own colour, blurred as a decoder's edges are."""
    rgb = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    for number, color in enumerate(Palette.distinct(list(map(str, range(30)))).colors.tolist()):
        row, column = divmod(number, 6)
        cv2.circle(rgb, (45 + 84 * column, 55 + 100 * row), 36, color, -1)
    rgb = np.asarray(cv2.GaussianBlur(rgb, (5, 5), 1))
    assert decode_instances(rgb).ids.max() == 30
    benchmark.pedantic(decode_instances, (rgb,), rounds=10, warmup_rounds=1)

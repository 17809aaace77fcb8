"""How far two forms of one student differ, output by output, as a share of each output's range.

A file can be exact at the traced size and wrong at every other (a position grid that was baked
into the graph), so no size is compared that was traced. And two dead networks agree about anything:
outputs that hardly vary from picture to picture are named too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill.depth_losses import SKY_M
from teacher.sample import resize_photograph

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""One form of a student: (N, H, W, 3) uint8 -> name of an output -> its array."""

SIZES = ((4.0, 4.0), (3.0, 5.0), (4.3, 2.6), (2.1, 7.0), (1.0, 3.7))
"""Height and width in multiples of what the student takes; square, long, and uneven ones."""
LARGE_BATCH = 3


@dataclass(frozen=True)
class Tolerance:
    """Limits of |difference| / range, at the 99.9th percentile of pixels and at the worst pixel."""

    p999: float
    worst: float


TOLERANCES = {
    "depth_m": Tolerance(1e-4, 5e-4),
    "normal": Tolerance(2e-4, 2e-3),
    "confidence": Tolerance(4e-4, 1e-3),
    "segment": Tolerance(1e-3, 1e-3),
}
"""Several times what float32 arithmetic in another order costs a trained student (seen at the worst
pixel: depth 3e-5, normals 2e-4, confidence 4e-6, segments 3e-5); a size baked into the graph
costs 2e-3 and more. Normals are divided by a length that may be small.
For confidence: a tenth and a quarter of a step of the 8 bits that labels give it. For segments: the
share of pixels of another class."""
SUMMED_PX = 2**15
"""Pixels up to which these limits hold; a larger picture may be off by as many times as much. A
student that sums over the whole picture in float32 differs more, the larger that is (seen at 480 x
640 px: on a photograph depth 7e-6, on a checkerboard depth 3e-4 and normals 9e-4)."""
RANGES = {"normal": 2.0, "confidence": 1.0}
"""Highest less lowest value. Depth runs over orders of magnitude: see depth_range."""
TINY = float(np.finfo(np.float32).tiny)
LEAST_VARIATION = 1e-5
"""Standard deviation from picture to picture of a living output, as a share of its mean."""
MAY_BE_STILL = ("segment", "confidence")
"""Outputs that may be the same for every picture: few classes, or labels that are all certain."""


@dataclass(frozen=True, kw_only=True)
class ParityRow:
    """One output at one size and batch; differences as shares of the range."""

    output: str
    batch: int
    height_px: int
    width_px: int
    mean: float
    p999: float
    worst: float

    @property
    def passed(self) -> bool:
        """Within both limits of float32; NaN is not."""
        return self.p999 <= self.limit.p999 and self.worst <= self.limit.worst

    @property
    def limit(self) -> Tolerance:
        """Of this output at this size."""
        least = TOLERANCES[self.output]
        growth = max(1.0, self.height_px * self.width_px / SUMMED_PX)
        return Tolerance(least.p999 * growth, least.worst * growth)

    def __str__(self) -> str:
        limit = self.limit
        return (
            f"{self.output} at {self.batch} x {self.height_px} x {self.width_px} px: p99.9 "
            f"{self.p999:.1e} of the range (limit {limit.p999:.0e}), worst {self.worst:.1e} "
            f"(limit {limit.worst:.0e})"
        )


def worst_rows(rows: Sequence[ParityRow]) -> dict[str, dict[str, float]]:
    """Output -> the largest mean, p99.9 and worst difference over all sizes and batches.

    One digit each, so that the order of a sum does not change the file that carries them.
    """
    return {
        name: {
            figure: _one_digit(max(getattr(r, figure) for r in rows if r.output == name))
            for figure in ("mean", "p999", "worst")
        }
        for name in dict.fromkeys(row.output for row in rows)
    }


def _one_digit(value: float) -> float:
    return float(f"{value:.0e}")


def untraced_sizes(multiple_px: int) -> list[tuple[int, int]]:
    """The sizes in pixels that are compared."""
    return [(int(height * multiple_px), int(width * multiple_px)) for height, width in SIZES]


def parity_batches(
    photographs: Sequence[np.ndarray], sizes_px: Sequence[tuple[int, int]], batch: int = LARGE_BATCH
) -> Iterator[np.ndarray]:
    """(N, H, W, 3) uint8 of every size: all pictures a few at a time, then one of them alone.

    photographs: (H, W, 3) uint8 each, of any size; a constant and a checkerboard are added.
    """
    for size_px in sizes_px:
        fitted = [resize_photograph(photograph, *size_px) for photograph in photographs]
        pictures = np.stack([*fitted, *_patterns(*size_px)])
        for start in range(0, len(pictures), batch):
            yield pictures[start : start + batch]
        if batch > 1:
            yield pictures[:1]


def _patterns(height_px: int, width_px: int) -> list[np.ndarray]:
    """A constant gray and a checkerboard of single pixels: flat input and the highest frequency."""
    gray = np.full((height_px, width_px, 3), 128, np.uint8)
    squares = (np.indices((height_px, width_px)).sum(axis=0) % 2 * 255).astype(np.uint8)
    return [gray, np.repeat(squares[..., None], 3, axis=-1)]


def compare_outputs(
    expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> list[ParityRow]:
    """One row for each output of a batch."""
    rows = []
    for name, reference in expected.items():
        count, height_px, width_px = reference.shape[:3]
        mean, p999, worst = difference(name, reference, found[name])
        row = ParityRow(
            output=name,
            batch=count,
            height_px=height_px,
            width_px=width_px,
            mean=mean,
            p999=p999,
            worst=worst,
        )
        rows.append(row)
    return rows


def difference(name: str, expected: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """|difference| as a share of the range: mean, 99.9th percentile, maximum. NaN stays NaN.

    For "segment": three times the share of pixels of another class. Depth is compared where not
    both sides say sky.
    """
    if name == "segment":
        share = float(np.mean(expected != found))
        return share, share, share
    wide = expected.astype(np.float64)
    if name == "depth_m":
        near = ~(np.isinf(expected) & np.isinf(found))
        wide, found = where_sky_begins(wide, found)[near], where_sky_begins(found, wide)[near]
    if not wide.size:
        return 0.0, 0.0, 0.0
    spread = depth_range(wide) if name == "depth_m" else RANGES[name]
    distance = np.abs(wide - found) / spread
    return float(distance.mean()), float(np.percentile(distance, 99.9)), float(distance.max())


def where_sky_begins(depth_m: np.ndarray, other_m: np.ndarray) -> np.ndarray:
    """Depth with its sky as near as sky can be to what the other side says.

    Where a student's depth is about SKY_M, the last digit decides whether it becomes inf.
    """
    return np.where(np.isinf(depth_m), np.maximum(other_m, SKY_M), depth_m)


def depth_range(depth_m: np.ndarray) -> np.ndarray:
    """The range of depth, or the depth itself where that is less: 10 cm are much at 1 m."""
    return np.minimum(np.abs(depth_m), np.ptp(depth_m)) + TINY


def dead_outputs(outputs: Mapping[str, np.ndarray]) -> set[str]:
    """Names of outputs that are the same for every picture, whose agreement proves nothing."""
    return {
        name for name, output in outputs.items() if name not in MAY_BE_STILL and not varies(output)
    }


def varies(output: np.ndarray) -> bool:
    """Whether an output depends on the pixels: it differs from picture to picture."""
    finite = np.where(np.isinf(output), 0, output).astype(np.float64)
    spread = finite.std(axis=0).mean() if len(output) > 1 else np.inf
    return bool(spread > LEAST_VARIATION * max(np.abs(finite).mean(), TINY))

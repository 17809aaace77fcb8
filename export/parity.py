"""Does the exported file say what PyTorch says? On real photographs, at sizes that were not traced.

A file can be exact at the traced size and wrong at every other (a position grid that was baked
into the graph), so no size is tested that was traced. And two dead networks agree about anything:
outputs that hardly vary from picture to picture fail as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from export.session import Predictor
from teacher.sample import PHOTO_SUFFIXES, decode_photograph, resize_photograph
from teacher.shards import image_shards, read_photographs

SIZES = ((4.0, 4.0), (3.0, 5.0), (4.3, 2.6), (2.1, 7.0), (1.0, 3.7))
"""Height and width in multiples of what the student takes; square, long, and uneven ones."""
PHOTOGRAPHS = 4
LARGE_BATCH = 3
RENDERED_PX = 192


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
"""A few times what float32 arithmetic in another order costs a trained student; a size that is
baked into the graph costs 2e-3 and more. Normals are divided by a length that may be small.
Confidence leaves through a steep logistic: its limits are a tenth and a quarter of a step of the 8
bits that labels give it. For segments: the share of pixels of another class."""
RANGES = {"normal": 2.0, "confidence": 1.0}
"""Highest less lowest value. Depth runs over orders of magnitude: see depth_range."""
TINY = float(np.finfo(np.float32).tiny)
LEAST_VARIATION = 1e-5
"""Standard deviation from picture to picture of a living output, as a share of its mean."""


class PlainGraph(Protocol):
    """The PyTorch side: what DeployGraph is."""

    multiple_px: int

    def __call__(self, image: Tensor, /) -> Sequence[Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class ParityRow:
    """One output at one size and batch."""

    output: str
    batch: int
    height_px: int
    width_px: int
    p999: float
    worst: float

    @property
    def passed(self) -> bool:
        """Within both limits; NaN is not."""
        limit = TOLERANCES[self.output]
        return self.p999 <= limit.p999 and self.worst <= limit.worst

    def __str__(self) -> str:
        limit = TOLERANCES[self.output]
        return (
            f"{self.output} at {self.batch} x {self.height_px} x {self.width_px} px: p99.9 "
            f"{self.p999:.1e} of the range (limit {limit.p999:.0e}), worst {self.worst:.1e} "
            f"(limit {limit.worst:.0e})"
        )


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """All that was compared."""

    rows: Sequence[ParityRow]
    dead: Sequence[str]
    """Outputs that are the same for every picture, so that their agreement proves nothing."""
    photographs: int

    @property
    def passed(self) -> bool:
        """Every row within its limits, and every output alive."""
        return not self.dead and all(row.passed for row in self.rows)

    def require_passed(self, path: Path) -> None:
        """Raise ValueError naming the worst disagreement, unless everything passed."""
        failed = [row for row in self.rows if not row.passed]
        if failed:
            worst = max(failed, key=lambda row: np.nan_to_num(row.worst, nan=np.inf))
            raise ValueError(
                f"{path}: not written, the ONNX file disagrees with PyTorch in {len(failed)} of "
                f"{len(self.rows)} comparisons, the worst is {worst}; --force writes it even so"
            )
        if self.dead:
            raise ValueError(
                f"{path}: not written, the student's {', '.join(self.dead)} hardly varies with the "
                "picture, so comparing it proves nothing; train it first, or use --force"
            )

    def describe(self) -> str:
        """One line for each output."""
        lines = [
            f"  {name:<11} p99.9 {entry['p999']:.0e}, worst {entry['worst']:.0e} of the range"
            for name, entry in self.summary()["outputs"].items()
        ]
        sizes = len({(row.height_px, row.width_px) for row in self.rows})
        verdict = "agrees with PyTorch" if self.passed else "DISAGREES with PyTorch"
        return f"{verdict} at {sizes} sizes that were not traced:\n" + "\n".join(lines)

    def summary(self) -> dict[str, Any]:
        """For the file's metadata; one digit, so that a sum's order does not change the file."""
        outputs = dict.fromkeys(row.output for row in self.rows)
        return {
            "passed": self.passed,
            "photographs": self.photographs,
            "sizes_px": sorted({(row.height_px, row.width_px) for row in self.rows}),
            "batches": sorted({row.batch for row in self.rows}),
            "outputs": {
                name: {
                    "p999": _one_digit(max(r.p999 for r in self.rows if r.output == name)),
                    "worst": _one_digit(max(r.worst for r in self.rows if r.output == name)),
                }
                for name in outputs
            },
        }


def _one_digit(value: float) -> float:
    return float(f"{value:.0e}")


def check_parity(
    graph: PlainGraph, predictor: Predictor, photographs: Sequence[np.ndarray]
) -> ParityReport:
    """Compare the PyTorch graph with what was exported from it, output by output.

    photographs: (H, W, 3) uint8 each, of any size; a constant and a checkerboard are added.
    """
    rows: list[ParityRow] = []
    dead: set[str] = set()
    for size_px in untraced_sizes(graph.multiple_px):
        pictures = np.stack(
            [*(resize_photograph(p, *size_px) for p in photographs), *_patterns(*size_px)]
        )
        found = [compare_batch(graph, predictor, batch) for batch in _batches(pictures)]
        rows += [row for some, _ in found for row in some]
        dead |= set(found[0][1])
    return ParityReport(rows=rows, dead=sorted(dead), photographs=len(photographs))


def untraced_sizes(multiple_px: int) -> list[tuple[int, int]]:
    """The sizes in pixels that are compared."""
    return [(int(height * multiple_px), int(width * multiple_px)) for height, width in SIZES]


def _patterns(height_px: int, width_px: int) -> list[np.ndarray]:
    """A constant gray and a checkerboard of single pixels: flat input and the highest frequency."""
    gray = np.full((height_px, width_px, 3), 128, np.uint8)
    squares = (np.indices((height_px, width_px)).sum(axis=0) % 2 * 255).astype(np.uint8)
    return [gray, np.repeat(squares[..., None], 3, axis=-1)]


def _batches(pictures: np.ndarray) -> Iterator[np.ndarray]:
    """All pictures a few at a time, then one of them alone."""
    for start in range(0, len(pictures), LARGE_BATCH):
        yield pictures[start : start + LARGE_BATCH]
    yield pictures[:1]


def compare_batch(
    graph: PlainGraph, predictor: Predictor, batch: np.ndarray
) -> tuple[list[ParityRow], list[str]]:
    """One row for each output, and the names of the outputs that are dead on this batch."""
    with torch.no_grad():
        expected = [output.numpy() for output in graph(torch.from_numpy(batch))]
    prediction = predictor(batch)
    rows, dead = [], []
    for name, reference in zip(predictor.outputs, expected):
        p999, worst = difference(name, reference, getattr(prediction, name))
        count, height, width = batch.shape[:3]
        rows.append(
            ParityRow(
                output=name,
                batch=count,
                height_px=height,
                width_px=width,
                p999=p999,
                worst=worst,
            )
        )
        if name != "segment" and not varies(reference):
            dead.append(name)
    return rows, dead


def difference(name: str, expected: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """|difference| as a share of the range: 99.9th percentile, and maximum. NaN stays NaN.

    For "segment": twice, the share of pixels of another class.
    """
    if name == "segment":
        share = float(np.mean(expected != found))
        return share, share
    wide = expected.astype(np.float64)
    spread = depth_range(wide) if name == "depth_m" else RANGES[name]
    distance = np.abs(wide - found) / spread
    return float(np.percentile(distance, 99.9)), float(distance.max())


def depth_range(depth_m: np.ndarray) -> np.ndarray:
    """The range of depth, or the depth itself where that is less: 10 cm are much at 1 m."""
    return np.minimum(np.abs(depth_m), np.ptp(depth_m)) + TINY


def varies(output: np.ndarray) -> bool:
    """Whether an output depends on the pixels: it differs from picture to picture."""
    spread = output.astype(np.float64).std(axis=0).mean() if len(output) > 1 else np.inf
    return bool(spread > LEAST_VARIATION * max(np.abs(output).mean(), TINY))


def load_photographs(path: Path | None) -> list[np.ndarray]:
    """A few photographs from image shards or a folder of image files; rendered ones without a path.

    Raises FileNotFoundError or ValueError when there is none, or when one cannot be read.
    """
    if path is None:
        from teacher.scenes import render_scenes

        return list(render_scenes(range(PHOTOGRAPHS), RENDERED_PX).rgb)
    files = sorted(p for p in path.rglob("*") if p.suffix[1:].lower() in PHOTO_SUFFIXES)
    if files:
        return [_decode(str(file), file.read_bytes()) for file in files[:PHOTOGRAPHS]]
    photographs = []
    for shard in image_shards(path):
        for key, data in read_photographs(shard):
            photographs.append(_decode(f"{shard}: {key}", data))
            if len(photographs) == PHOTOGRAPHS:
                return photographs
    return photographs


def _decode(where: str, data: bytes) -> np.ndarray:
    try:
        return decode_photograph(data)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error

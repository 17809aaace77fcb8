"""Scoring speed: one image of NYUv2's size, on one thread, under each alignment; and its edges."""

import numpy as np
import pytest

from distill.alignment import ALIGNMENTS
from distill.boundaries import boundary_f1
from distill.depth_metrics import score_depth
from distill.protocols import NYUV2


@pytest.fixture(scope="module")
def depths_m() -> tuple[np.ndarray, np.ndarray]:
    """A noisy prediction and a truth with a tenth unknown."""
    rng = np.random.default_rng(0)
    true_m = np.exp(rng.normal(1, 0.5, (480, 640))).clip(0.5, 9.9).astype(np.float32)
    pred_m = (true_m * np.exp(rng.normal(0, 0.2, true_m.shape))).astype(np.float32)
    true_m[rng.random(true_m.shape) < 0.1] = 0
    return pred_m, true_m


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_score_depth(benchmark, depths_m, alignment):
    benchmark(score_depth, *depths_m, NYUV2, alignment)
    benchmark.extra_info["s_for_654_images"] = 654 * benchmark.stats.stats.median


def test_boundary_f1(benchmark, depths_m):
    benchmark(boundary_f1, *depths_m)
    benchmark.extra_info["s_for_654_images"] = 654 * benchmark.stats.stats.median

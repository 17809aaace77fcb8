"""Two protocols for normals against loops over pixels, and what goes wrong when they are mixed."""

import math
import statistics

import numpy as np
import pytest

from distill.normal_metrics import (
    BINS_PER_DEG,
    NormalScores,
    PerImageNormalMeter,
    PooledNormalMeter,
)

AHEAD = (0.0, 0.0, 1.0)
LIMITS_DEG = {"5": 5, "7_5": 7.5, "11_25": 11.25, "22_5": 22.5, "30": 30}
Image = tuple[np.ndarray, np.ndarray]


def make_image(rng: np.random.Generator) -> Image:
    """Normals and a guess near them; some of the truth unknown, some of the guess no direction."""
    size = (int(rng.integers(1, 5)), int(rng.integers(1, 6)))
    true = rng.normal(size=(*size, 3))
    true /= np.linalg.norm(true, axis=-1, keepdims=True)
    pred = (true + rng.uniform(0, 0.4) * rng.normal(size=true.shape)) * rng.uniform(0.1, 9)
    pred[rng.random(size) < 0.1] = rng.choice([0.0, np.nan, np.inf])
    true[rng.random(size) < 0.2] = rng.choice([0.0, np.nan, 1e-3])
    return pred.astype(np.float32), true.astype(np.float32)


def loop_errors_deg(pred: np.ndarray, true: np.ndarray) -> list[float]:
    """Pixel by pixel, from the cross product: exact for small angles too."""
    errors = []
    for p, t in zip(pred.reshape(-1, 3).astype(float), true.reshape(-1, 3).astype(float)):
        if not np.linalg.norm(t) > 0.5:
            continue
        if not np.isfinite(p).all() or not p.any():
            errors.append(90.0)
        else:
            errors.append(math.degrees(math.atan2(np.linalg.norm(np.cross(p, t)), p @ t)))
    return errors


def loop_statistics(errors: list[float]) -> dict[str, float]:
    found = {
        "mean_deg": math.fsum(errors) / len(errors),
        "median_deg": statistics.median(errors),
        "rmse_deg": math.sqrt(math.fsum(e * e for e in errors) / len(errors)),
    }
    for name, limit in LIMITS_DEG.items():
        found[f"within_{name}"] = sum(e < limit for e in errors) / len(errors)
    return found


def measure(images: list[Image]) -> tuple[NormalScores | None, NormalScores | None]:
    pooled, per_image = PooledNormalMeter(), PerImageNormalMeter()
    for pred, true in images:
        pooled.update(pred, true)
        per_image.update(pred, true)
    return pooled.result(), per_image.result()


def at_angles(*angles_deg: float, known: bool = True) -> Image:
    """One row of pixels, each this far off."""
    radians = np.radians(angles_deg)
    pred = np.stack([np.sin(radians), np.zeros(len(radians)), np.cos(radians)], axis=-1)
    true = np.broadcast_to(AHEAD if known else (0.0, 0.0, 0.0), pred.shape)
    return pred[None], true[None]


def test_both_protocols_equal_loops_over_pixels_on_a_thousand_data_sets() -> None:
    rng = np.random.default_rng(0)
    scored = 0
    for _ in range(1000):
        images = [make_image(rng) for _ in range(rng.integers(1, 4))]
        errors = [found for image in images if (found := loop_errors_deg(*image))]
        pooled, per_image = measure(images)
        if not errors:
            assert pooled is None
            assert per_image is None
            continue
        assert pooled is not None
        assert per_image is not None
        scored += 1
        assert pooled.images == per_image.images == len(errors)
        for name, value in loop_statistics([e for image in errors for e in image]).items():
            tolerance = 0.5001 / BINS_PER_DEG if name == "median_deg" else 1e-6
            assert getattr(pooled, name) == pytest.approx(value, abs=tolerance), name
        rows = [loop_statistics(image) for image in errors]
        for name in rows[0]:
            mean = math.fsum(row[name] for row in rows) / len(rows)
            assert getattr(per_image, name) == pytest.approx(mean, abs=1e-6), name
    assert scored > 900


def test_a_large_image_rules_the_pool_and_not_the_mean_over_images() -> None:
    """One pixel 40 degrees off beside an image of nine right ones."""
    pooled, per_image = measure([at_angles(40), at_angles(*[0] * 9)])
    assert pooled is not None
    assert per_image is not None
    assert pooled.protocol == "pooled"
    assert per_image.protocol == "per image"
    assert (pooled.mean_deg, per_image.mean_deg) == pytest.approx((4, 20), abs=1e-6)
    assert (pooled.within_30, per_image.within_30) == pytest.approx((0.9, 0.5))
    assert pooled.rmse_deg == pytest.approx(math.sqrt(40**2 / 10), abs=1e-6)
    assert per_image.rmse_deg == pytest.approx(20, abs=1e-6)  # the mean of roots, no root of a mean


def test_the_median_of_medians_is_no_median() -> None:
    images = [at_angles(0, 0, 30), at_angles(10, 50, 60), at_angles(20, 70, 80)]
    pooled, per_image = measure(images)
    assert pooled is not None
    assert per_image is not None
    assert pooled.median_deg == pytest.approx(30, abs=0.5001 / BINS_PER_DEG)
    assert per_image.median_deg == pytest.approx((0 + 50 + 70) / 3, abs=1e-6)


def test_two_middle_errors_are_averaged() -> None:
    pooled, _ = measure([at_angles(10, 20, 60, 80)])
    assert pooled is not None
    assert pooled.median_deg == pytest.approx(40, abs=0.5001 / BINS_PER_DEG)


@pytest.mark.parametrize("wild", [0.0, np.nan, np.inf])
def test_to_abstain_does_not_pay(wild: float) -> None:
    """Masked by the prediction's length, this would score 0 degrees."""
    pred, true = at_angles(0, 0)
    pred[0, 0] = wild
    for scores in measure([(pred, true)]):
        assert scores is not None
        assert scores.mean_deg == pytest.approx(45)
        assert scores.within_30 == 0.5


def test_unknown_truth_does_not_count_as_90_degrees() -> None:
    """A cosine against a zero vector is 0, which is 90 degrees."""
    images = [at_angles(10), at_angles(10, 10, 10, known=False)]
    for scores in measure(images):
        assert scores is not None
        assert scores.mean_deg == pytest.approx(10)
        assert scores.images == 1


def test_opposite_normals_are_180_degrees_apart() -> None:
    """The last bin of the histogram."""
    pooled, _ = measure([at_angles(180), at_angles(180)])
    assert pooled is not None
    assert pooled.median_deg == pytest.approx(180, abs=0.5001 / BINS_PER_DEG)
    assert pooled.within_30 == 0


def test_nothing_known_is_no_score() -> None:
    assert measure([at_angles(10, known=False)]) == (None, None)


@pytest.mark.parametrize("meter", [PooledNormalMeter, PerImageNormalMeter])
def test_another_shape_is_refused(meter: type) -> None:
    with pytest.raises(ValueError, match=r"normals.*\(4, 5, 3\) predicted for \(8, 5, 3\)"):
        meter().update(np.ones((4, 5, 3)), np.ones((8, 5, 3)))
    with pytest.raises(ValueError, match=r"normals: expected \(H, W, 3\)"):
        meter().update(np.ones((3, 4, 5)), np.ones((3, 4, 5)))

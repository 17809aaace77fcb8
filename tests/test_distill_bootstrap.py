"""Drawing photographs, or whole scenes, with replacement."""

import numpy as np
import pytest

from distill.bootstrap import draw_weights, interval, resampled_mean


def test_photographs_of_one_scene_are_drawn_together() -> None:
    scenes = ["kitchen", "street", "kitchen", "hall", "street", "kitchen"]
    weights = draw_weights(6, 200, seed=1, scenes=scenes)
    assert np.array_equal(weights, draw_weights(6, 200, seed=1, scenes=scenes))
    kitchen, street, hall = weights[:, [0, 2, 5]], weights[:, [1, 4]], weights[:, 3]
    assert (kitchen == kitchen[:, :1]).all()
    assert (street == street[:, :1]).all()
    assert (kitchen[:, 0] + street[:, 0] + hall == 3).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.2)


def test_each_photograph_a_scene_of_its_own_is_the_plain_bootstrap() -> None:
    assert np.array_equal(
        draw_weights(4, 50, seed=0, scenes=["a", "b", "c", "d"]), draw_weights(4, 50, seed=0)
    )


def test_an_interval_that_takes_pictures_of_a_scene_as_independent_is_too_narrow() -> None:
    """Ten scenes of twenty like pictures hold no more than ten pictures."""
    rng = np.random.default_rng(2)
    values = np.repeat(rng.normal(size=10), 20)
    scenes = [str(scene) for scene in np.repeat(np.arange(10), 20)]

    def width(scenes: list[str] | None) -> float:
        bounds = interval(resampled_mean(draw_weights(200, 1000, 0, scenes), values))
        assert bounds is not None
        return bounds[1] - bounds[0]

    assert width(scenes) > 3 * width(None)


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(3).normal(size=400)
    bounds = interval(resampled_mean(draw_weights(400, 4000, 0), values))
    error = values.std() / 20
    expected = [values.mean() - 1.96 * error, values.mean() + 1.96 * error]
    assert bounds == pytest.approx(expected, abs=0.15 * error)


def test_a_mean_leaves_out_what_is_unknown() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, 5.0]])
    weights = np.array([[1, 1, 1], [3, 1, 0]])
    np.testing.assert_allclose(resampled_mean(weights, values), [[2, 5], [1.5, np.nan]])


def test_one_scene_for_each_photograph() -> None:
    with pytest.raises(ValueError, match="needs 3 scenes, one an image: 2"):
        draw_weights(3, 10, 0, ["a", "b"])

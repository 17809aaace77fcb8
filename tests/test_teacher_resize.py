"""Labels at another size: each value is one that was there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from teacher.sample import resize_nearest

quick = settings(derandomize=True, max_examples=30)
sizes = st.integers(1, 12)
any_depth = st.one_of(st.floats(0.125, 99, width=32), st.sampled_from([np.nan, np.inf, 0.0]))


@quick
@given(
    depth_m=arrays(np.float32, st.tuples(sizes, sizes), elements=any_depth),
    height_px=sizes,
    width_px=sizes,
)
def test_resizing_takes_every_depth_from_the_place_it_covers(depth_m, height_px, width_px) -> None:
    resized = resize_nearest(depth_m, height_px, width_px)
    assert resized.shape == (height_px, width_px)
    for (row, column), value in np.ndenumerate(resized):
        at = [
            slice(int(index * found / wanted), int(np.ceil((index + 1) * found / wanted)))
            for index, found, wanted in zip((row, column), depth_m.shape, resized.shape)
        ]
        assert value in depth_m[*at] or (np.isnan(value) and np.isnan(depth_m[*at]).any())


def test_resizing_twice_as_large_and_back_changes_nothing() -> None:
    normal = np.random.default_rng(0).random((5, 7, 3), np.float32)
    larger = resize_nearest(normal, 10, 14)
    np.testing.assert_array_equal(larger, normal.repeat(2, axis=0).repeat(2, axis=1))
    np.testing.assert_array_equal(resize_nearest(larger, 5, 7), normal)
    assert resize_nearest(normal, 5, 7) is normal


@pytest.mark.parametrize(
    ("shape", "height_px", "message"),
    [((4,), 2, r"found \(4,\) and 2 x 3"), ((4, 4), 0, "0 x 3"), ((0, 4), 2, r"found \(0, 4\)")],
)
def test_a_size_that_makes_no_sense_is_refused(shape, height_px, message) -> None:
    with pytest.raises(ValueError, match=message):
        resize_nearest(np.ones(shape, np.float32), height_px, 3)

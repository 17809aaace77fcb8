"""Protocols: the constants of the published evaluations, and which pixels count."""

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from distill.alignment import ALIGNMENTS
from distill.protocols import (
    DEPTH_PROTOCOLS,
    DIODE,
    ETH3D,
    KITTI,
    KITTI_GARG,
    NYUV2,
    PLAIN,
    depth_protocol,
    kitti_benchmark_crop,
    kitti_eigen_crop,
    kitti_garg_crop,
)


@pytest.mark.parametrize(
    ("name", "row"),
    {
        "nyuv2": (1e-3, 10, (1e-3, 10), None, 654),
        "kitti": (1e-5, 80, (1e-5, 80), None, 652),
        "kitti_garg": (1e-3, 80, (1e-3, 80), None, 652),
        "eth3d": (1e-5, math.inf, (1e-5, 1000), 756, 454),
        "scannet": (1e-3, 10, (1e-3, 10), None, 800),
        "diode": (0, math.inf, (0.6, 350), 640, 771),
        "diode_indoor": (0, 25, (1e-3, 1000), None, 325),
        "ibims1": (0, 25, (1e-3, 1000), None, 100),
        "nuscenes": (0, 80, (1e-3, 1000), None, None),
        "plain": (0, math.inf, (1e-3, 1000), None, None),
    }.items(),
)
def test_constants_of_the_published_evaluations(name: str, row: tuple) -> None:
    p = DEPTH_PROTOCOLS[name]
    assert (p.min_m, p.max_m, p.clip_m, p.edge_px, p.images) == row
    assert p.name == name
    assert p.alignment in ALIGNMENTS
    assert p.source
    assert p.truth


def test_an_unknown_set_is_scored_plainly() -> None:
    assert depth_protocol("kitti") is KITTI
    assert depth_protocol("my garden") is PLAIN


def test_protocols_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        NYUV2.max_m = 20  # type: ignore[misc]


def test_nyu_counts_inside_the_eigen_crop_only() -> None:
    valid = NYUV2.valid(np.full((480, 640), 3.0))
    rows, columns = np.nonzero(valid)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (45, 470, 41, 600)
    assert valid.sum() == 426 * 560


def test_kitti_windows() -> None:
    """The benchmark crop keeps the bottom and the middle; Garg's window reaches lower."""
    assert kitti_benchmark_crop(375, 1242) == (slice(23, 375), slice(13, 1229))
    assert kitti_benchmark_crop(352, 1216) == (slice(0, 352), slice(0, 1216))
    assert kitti_eigen_crop(352, 1216) == (slice(117, 321), slice(43, 1172))
    assert kitti_garg_crop(352, 1216) == (slice(143, 349), slice(43, 1172))


@pytest.mark.parametrize("protocol", [KITTI, KITTI_GARG])
def test_kitti_windows_are_taken_of_the_benchmark_crop(protocol) -> None:
    """So that a picture that was cropped on import counts the same pixels as a whole one."""
    assert protocol.crop is not None
    whole = protocol.valid(np.full((375, 1242), 7.0))
    cropped = protocol.valid(np.full((352, 1216), 7.0))
    np.testing.assert_array_equal(whole[23:375, 13:1229], cropped)
    assert whole.sum() == cropped.sum()
    assert not whole[protocol.crop(375, 1242)].all()


def test_the_bounds_themselves_do_not_count() -> None:
    depth_m = np.full((480, 640), np.nan)
    depth_m[100, 100:107] = [1e-3, 2e-3, 9.99, 10, 0, -1, np.inf]
    assert NYUV2.valid(depth_m)[100, 100:107].tolist() == [False, True, True] + [False] * 4
    assert NYUV2.valid(depth_m).sum() == 2


@pytest.mark.parametrize("protocol", [PLAIN, ETH3D, DIODE])
def test_without_a_cap_everything_known_but_sky_counts(protocol) -> None:
    depth_m = np.array([[0.1, 0.5, 400, 5000, np.inf, np.nan, 0, -1]])
    assert protocol.valid(depth_m).tolist() == [[True] * 4 + [False] * 4]


def test_diode_clips_predictions_and_not_the_truth() -> None:
    assert DIODE.valid(np.array([[0.2, 360]])).all()
    assert DIODE.clip(np.array([0.2, 360, 5])).tolist() == [0.6, 350, 5]


def test_clipping_leaves_no_value_that_is_not_a_depth() -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 0, -2, 3], np.float32)
    assert NYUV2.clip(wild).tolist() == [10, 10, 1e-3, 1e-3, 1e-3, 3]
    assert NYUV2.clip(wild).dtype == np.float64


@pytest.mark.parametrize(
    ("protocol", "size", "message"),
    [
        (NYUV2, (240, 320), "480 x 640 pictures, found 240 x 320: bring predictions"),
        (KITTI, (376, 1000), "at least 352 x 1216 pixels, found 376 x 1000"),
    ],
)
def test_a_crop_that_does_not_fit_is_refused(protocol, size, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        protocol.valid(np.ones(size))

"""Crops of labelled photographs: the labels stay true to the picture."""

import numpy as np
import pytest
from samples import CLASSES, angle_deg, make_record

from teacher.sample import Labels
from teacher.tuning.crops import Crops

HEIGHT, WIDTH = 96, 160


def ramp() -> tuple[np.ndarray, Labels]:
    """A photograph that grows redder to the right, as its depth grows; normals lean to the right,
    and the classes are stripes."""
    across = np.tile(np.linspace(0, 1, WIDTH, dtype=np.float32), (HEIGHT, 1))
    photo = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    photo[..., 0] = np.rint(40 + 150 * across)
    normal = np.broadcast_to(np.float32([0.6, 0.0, 0.8]), (HEIGHT, WIDTH, 3)).copy()
    labels = Labels(
        depth_m=2 + 6 * across,
        depth_kind="metric",
        normal=normal,
        segment=np.minimum(across * 3, 2).astype(np.uint8),
        classes=CLASSES,
        record=make_record(width_px=WIDTH, height_px=HEIGHT),
    )
    return photo, labels


def crops(count: int = 1, **fields) -> list[tuple[np.ndarray, Labels]]:
    made = Crops(**{"height_px": 48, "width_px": 64, "count": count, **fields})
    return list(made.of("a photograph", *ramp()))


def test_the_first_crop_is_the_middle_of_the_whole_photograph():
    ((photo, labels),) = crops()
    assert photo.shape == (48, 64, 3)
    assert labels.depth_m is not None
    kept = 96 * 64 / 48 / 160  # the aspect ratio cuts the sides
    edges = 2 + 6 * np.array([0.5 - kept / 2, 0.5 + kept / 2])
    np.testing.assert_allclose(labels.depth_m[0, [0, -1]], edges, atol=0.08)


def test_every_crop_shows_the_labels_of_its_own_pixels():
    """Redder is farther in each of them, whatever the exposure; a mirror turns the normals."""
    for number, (photo, labels) in enumerate(crops(count=12)):
        assert labels.depth_m is not None
        assert labels.normal is not None
        red = photo[24, :, 0].astype(float)
        assert np.corrcoef(red, labels.depth_m[24])[0, 1] > 0.99
        mirrored = number % 2 == 1
        assert (labels.depth_m[0, -1] < labels.depth_m[0, 0]) == mirrored
        expected = np.float32([-0.6 if mirrored else 0.6, 0.0, 0.8])
        assert angle_deg(labels.normal, expected[None, None]).max() < 0.1


def test_an_enlarged_crop_is_nearer():
    """Twice as large on the picture, half as far: the slope of depth over pixels shows both."""
    whole, *others = crops(count=8, max_zoom=2.0)
    assert whole[1].depth_m is not None
    slope = np.diff(whole[1].depth_m[0]).mean()
    zooms = []
    for _, labels in others:
        assert labels.depth_m is not None
        zooms.append(float(np.sqrt(slope / abs(np.diff(labels.depth_m[0]).mean()))))
        class_at = 3 * (zooms[-1] * labels.depth_m - 2) / 6
        agree = np.minimum(class_at, 2).astype(int) == labels.segment
        assert agree.mean() > 0.93
    assert 1.0 <= min(zooms) < max(zooms) < 2.1


def test_crops_depend_on_the_key_and_the_seed_alone():
    first, again = crops(count=4), crops(count=4)
    other = crops(count=4, seed=1)
    assert all(np.array_equal(one[0], two[0]) for one, two in zip(first, again))
    assert not all(np.array_equal(one[0], two[0]) for one, two in zip(first[1:], other[1:]))


@pytest.mark.parametrize("missing", ["depth_m", "normal", "segment"])
def test_what_is_not_labelled_stays_so(missing):
    photo, labels = ramp()
    fields = {"depth_m": labels.depth_m, "normal": labels.normal, "segment": labels.segment}
    fields[missing] = None
    part = Labels(
        **fields,
        depth_kind=None if missing == "depth_m" else "metric",
        classes=() if missing == "segment" else CLASSES,
        record=labels.record,
    )
    for _, seen in Crops(height_px=48, width_px=64, count=3).of("key", photo, part):
        assert getattr(seen, missing) is None
        assert seen.tasks == part.tasks

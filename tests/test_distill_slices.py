"""Slices: by hand on small pictures, and scores within one."""

import numpy as np
import pytest
from samples import make_labels, make_record

from distill.metrics import Prediction
from distill.slices import SLICES, SliceTallies, slice_masks, within
from teacher.sample import Labels

GRAY = np.full((12, 17, 3), 128, np.uint8)


def flat(**fields: object) -> Labels:
    """A wall 5 m away, all of class "box"; `fields` override its planes."""
    size = (12, 17)
    planes = {
        "depth_m": np.full(size, 5, np.float32),
        "depth_kind": "metric",
        "normal": np.broadcast_to(np.array([0, 0, 1], np.float32), (*size, 3)).copy(),
        "segment": np.full(size, 2, np.uint8),
        "classes": ("sky", "ground", "box"),
    }
    return Labels(**{**planes, **fields}, record=make_record())  # type: ignore[arg-type]


def found(**fields: object) -> dict[str, int]:
    """Slice -> pixels in it."""
    return {name: int(mask.sum()) for name, mask in slice_masks(GRAY, flat(**fields)).items()}


def test_a_flat_wall_is_mid_and_nothing_else() -> None:
    assert found() == {**dict.fromkeys(SLICES, 0), "mid": 12 * 17}


def test_distances_by_hand() -> None:
    depth_m = flat().depth_m
    assert depth_m is not None
    depth_m[0, :6] = [2.9, 3.0, 9.9, 10.0, np.inf, np.nan]
    counts = found(depth_m=depth_m)
    assert (counts["near"], counts["far"], counts["sky"]) == (1, 1, 1)
    assert counts["mid"] == 12 * 17 - 4


def test_edges_are_beside_steps_of_depth_and_of_class() -> None:
    depth_m = np.full((12, 17), 5, np.float32)
    depth_m[:, 8:] = 5.5  # a ratio of 1.1 is no edge
    assert found(depth_m=depth_m)["edges"] == 0
    depth_m[:, 8:] = np.inf
    mask = slice_masks(GRAY, flat(depth_m=depth_m))["edges"]
    assert mask[0].nonzero()[0].tolist() == [7, 8]
    segment = np.full((12, 17), 2, np.uint8)
    segment[6:] = 1
    mask = slice_masks(GRAY, flat(segment=segment))["edges"]
    assert mask[:, 0].nonzero()[0].tolist() == [5, 6]


def test_unknown_labels_have_no_edges() -> None:
    depth_m = np.full((12, 17), 5, np.float32)
    depth_m[:, 8:] = np.nan
    segment = np.full((12, 17), 2, np.uint8)
    segment[6:] = 255
    assert found(depth_m=depth_m, segment=segment)["edges"] == 0


def test_bands_grow_with_the_picture() -> None:
    size = (300, 400)  # a diagonal of 500 pixels
    segment = np.full(size, 2, np.uint8)
    segment[:, 200:] = 1
    record = make_record(height_px=300, width_px=400)
    labels = Labels(segment=segment, classes=("sky", "ground", "box"), record=record)
    mask = slice_masks(np.full((*size, 3), 128, np.uint8), labels)["edges"]
    assert mask[0].nonzero()[0].tolist() == list(range(195, 205))


def test_small_regions_are_connected_ones() -> None:
    segment = np.full((12, 17), 2, np.uint8)
    segment[2, 2:4] = 0  # two pixels: below 1 % of 204
    segment[6:8, 6:8] = 1  # four: above
    mask = slice_masks(GRAY, flat(segment=segment))["small"]
    assert np.argwhere(mask).tolist() == [[2, 2], [2, 3]]


def test_sky_by_its_name_or_by_its_depth() -> None:
    segment = np.full((12, 17), 2, np.uint8)
    segment[:2] = 0
    assert found(segment=segment)["sky"] == 2 * 17
    assert found(segment=segment, classes=("road", "ground", "box"))["sky"] == 0


def test_dark_pixels_and_low_confidence() -> None:
    photograph = GRAY.copy()
    photograph[0, 0] = 63
    photograph[0, 1] = 64
    confidence = np.full((3, 5, 3), 200, np.uint8)
    confidence[2, 4] = 127, 255, 255
    masks = slice_masks(photograph, flat(confidence=confidence))
    assert np.argwhere(masks["dark"]).tolist() == [[0, 0]]
    assert masks["low_confidence"][8:, 16].all()
    assert masks["low_confidence"].sum() == 4


def test_the_confidence_of_a_task_without_labels_does_not_count() -> None:
    confidence = np.full((3, 5, 3), 200, np.uint8)
    confidence[..., 1] = 0
    assert found(normal=None, confidence=confidence)["low_confidence"] == 0


def test_labels_of_affine_depth_have_no_distances() -> None:
    ramp = np.linspace(0, 1, 12 * 17, dtype=np.float32).reshape(12, 17)
    counts = found(depth_m=ramp, depth_kind="affine", segment=None, classes=())
    assert counts == dict.fromkeys(SLICES, 0)


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a photograph of \(12, 17, 3\), found \(9, 9"):
        slice_masks(GRAY[:9, :9], flat())


def test_within_a_mask_the_truth_stays_and_elsewhere_nothing_is_known() -> None:
    truth = make_labels(0)
    mask = np.zeros(truth.size, bool)
    mask[:6] = True
    part = within(truth, mask)
    assert part.depth_m is not None
    assert truth.depth_m is not None
    assert part.normal is not None
    assert part.segment is not None
    np.testing.assert_array_equal(part.depth_m[:6], truth.depth_m[:6])
    assert np.isnan(part.depth_m[6:]).all()
    assert not part.normal[6:].any()
    assert (part.segment[6:] == 255).all()
    only_depth = within(truth, {"depth": mask})
    assert only_depth.segment is truth.segment


def test_scores_within_slices() -> None:
    """Right from 10 m on, twice too far before: delta1 is 1 and 0 there."""
    depth_m = np.full((12, 17), 5, np.float32)
    depth_m[6:] = 20
    truth = flat(depth_m=depth_m)
    guess = Prediction(depth_m=np.where(depth_m < 10, 2 * depth_m, depth_m))
    slices = SliceTallies()
    for _ in range(3):
        slices.update(guess, GRAY, truth)
    results = {name: tally.result() for name, tally in slices.tallies.items()}
    assert results["far"]["depth"]["delta1"] == 1
    assert results["mid"]["depth"]["delta1"] == 0
    assert results["edges"]["depth"]["delta1"] == pytest.approx(0.5)
    assert results["near"] == {}
    assert {len(tally) for tally in slices.tallies.values()} == {3}
    assert slices.tallies["near"].resample(np.ones((2, 3))) == {}

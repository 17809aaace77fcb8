"""mIoU and boundary IoU against torchmetrics and loops, and the traps of averaging and decoding."""

import math

import cv2
import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from distill.segment_metrics import BoundaryMeter, SegmentMeter, boundary_width_px
from teacher.palette import Palette, decode_segments, encode_segments

IGNORE = 255
Image = tuple[np.ndarray, np.ndarray]


def make_images(rng: np.random.Generator, classes: int, blocks: int = 1) -> list[Image]:
    """Ids in blocks, some ignored; predictions with errors, some of them no class."""
    images = []
    for _ in range(rng.integers(1, 4)):
        size = rng.integers(1, 9, 2)
        true = rng.integers(0, classes, size)
        pred = np.where(rng.random(size) < 0.4, rng.integers(0, classes, size), true)
        true[rng.random(size) < 0.15] = IGNORE
        pred[rng.random(size) < 0.1] = rng.choice([classes, classes + 3, 254, 255])
        images.append(tuple(np.kron(ids, np.ones((blocks, blocks), int)) for ids in (pred, true)))
    return images


def names(classes: int) -> list[str]:
    return [f"class {index}" for index in range(classes)]


def segments(classes: int, *images: Image):
    meter = SegmentMeter(names(classes))
    for pred, true in images:
        meter.update(pred, true)
    return meter.result()


def boundaries(classes: int, *images: Image):
    meter = BoundaryMeter(names(classes))
    for pred, true in images:
        meter.update(pred, true)
    return meter.result()


def row(*ids: int) -> np.ndarray:
    return np.array([ids])


def test_scores_equal_torchmetrics_on_a_thousand_data_sets() -> None:
    """There, "no class" is one more class, whose own IoU is left out."""
    rng = np.random.default_rng(0)
    scored = 0
    for _ in range(1000):
        classes = int(rng.integers(2, 6))
        images = make_images(rng, classes)
        scores = segments(classes, *images)
        pred, true = (torch.tensor(np.concatenate([i[k].ravel() for i in images])) for k in (0, 1))
        if (true == IGNORE).all():
            assert scores is None
            continue
        assert scores is not None
        scored += 1
        pred = pred.clamp(max=classes)
        kept = true != IGNORE
        expected = MulticlassJaccardIndex(classes + 1, average="none", ignore_index=IGNORE)(
            pred, true
        )[:classes].tolist()
        seen = set(pred[kept].tolist()) | set(true[kept].tolist())
        for index, value in enumerate(scores.iou.values()):
            assert value == (pytest.approx(expected[index], abs=1e-6) if index in seen else None)
        known = [expected[index] for index in seen if index < classes]
        assert scores.miou == pytest.approx(math.fsum(known) / len(known), abs=1e-6)
        accuracy = MulticlassAccuracy(classes + 1, average="micro", ignore_index=IGNORE)(pred, true)
        assert scores.accuracy == pytest.approx(float(accuracy), abs=1e-6)
        undecodable = (pred[kept] == classes).float().mean()
        assert scores.undecodable == pytest.approx(float(undecodable), abs=1e-6)
        assert scores.pixels == int(kept.sum())
    assert scored > 900


def official_boundary(mask: np.ndarray) -> np.ndarray:
    """One mask's region as Cheng et al. make it: a 3 x 3 erosion, repeated, zeros outside."""
    height, width = mask.shape
    steps = max(1, round(0.02 * math.sqrt(height**2 + width**2)))
    eroded = np.pad(mask, 1)
    for _ in range(steps):
        padded = np.pad(eroded, 1)
        eroded = np.min(
            [padded[y : y + height + 2, x : x + width + 2] for y in range(3) for x in range(3)],
            axis=0,
        )
    return mask & ~eroded[1:-1, 1:-1]


@pytest.mark.parametrize(("cases", "blocks"), [(980, 1), (20, 16)])
def test_boundary_iou_equals_the_official_regions_mask_by_mask(cases: int, blocks: int) -> None:
    rng = np.random.default_rng(1)
    widths = set()
    for _ in range(cases):
        classes = int(rng.integers(2, 5))
        images = make_images(rng, classes, blocks)
        both, either = np.zeros(classes), np.zeros(classes)
        for pred, true in images:
            widths.add(boundary_width_px(true.shape))
            kept = true != IGNORE
            for c in range(classes):
                p, t = official_boundary((pred == c) & kept), official_boundary(true == c)
                both[c] += (p & t).sum()
                either[c] += (p | t).sum()
        scores = boundaries(classes, *images)
        if not either.any():
            assert scores is None
            continue
        assert scores is not None
        expected = [b / e if e else None for b, e in zip(both, either)]
        assert list(scores.iou.values()) == expected
        assert scores.miou == pytest.approx(np.mean([e for e in expected if e is not None]))
    assert widths == {1} if blocks == 1 else max(widths) >= 3


def test_miou_of_the_data_set_is_no_mean_over_images() -> None:
    """A right image with both classes, and one of eight pixels with one of them missed."""
    images = [(row(0, 1), row(0, 1)), (row(0, 0, 0, 0, 0, 0, 0, 0), row(1, 1, 1, 1, 0, 0, 0, 0))]
    scores = segments(2, *images)
    each = [segments(2, image) for image in images]
    assert scores is not None
    assert scores.iou == pytest.approx({"class 0": 5 / 9, "class 1": 1 / 5})
    assert scores.miou == pytest.approx((5 / 9 + 1 / 5) / 2)
    assert np.mean([image.miou for image in each if image]) == pytest.approx((1 + 0.25) / 2)


def test_a_class_that_is_only_predicted_scores_zero_and_counts() -> None:
    scores = segments(3, (row(0, 0, 0, 1), row(0, 0, 0, 0)))
    assert scores is not None
    assert scores.iou == {"class 0": 0.75, "class 1": 0.0, "class 2": None}
    assert scores.miou == pytest.approx(0.375)


def test_ignored_pixels_cannot_be_wrong() -> None:
    """Neither as a miss of the true class nor as a false alarm of the predicted one."""
    scores = segments(2, (row(0, 1, 1), row(0, IGNORE, IGNORE)))
    assert scores is not None
    assert scores.iou == {"class 0": 1.0, "class 1": None}
    assert scores.pixels == 1


def test_the_last_id_of_255_classes_is_not_taken_for_ignore() -> None:
    image = (row(254, 254, 0), row(254, 255, 0))
    for scores in (segments(255, image), boundaries(255, image)):
        assert scores is not None
        assert scores.iou["class 254"] == 1.0
    with pytest.raises(ValueError, match=r"true id 256 is none of 255 classes nor 255"):
        segments(255, (row(0), row(256)))


def test_above_255_classes_ignore_is_65535() -> None:
    scores = segments(300, (row(255, 299, 0), np.array([[255, 299, 65535]], np.uint16)))
    assert scores is not None
    assert scores.miou == 1.0
    assert scores.pixels == 2


@pytest.mark.parametrize("no_class", [2, 255, 65535, -1])
def test_what_decodes_to_no_class_is_wrong(no_class: int) -> None:
    """Left out instead, three right pixels of four would score 1."""
    scores = segments(2, (row(0, 0, 1, no_class), row(0, 0, 1, 1)))
    assert scores is not None
    assert scores.undecodable == 0.25
    assert scores.accuracy == 0.75
    assert scores.iou == {"class 0": 1.0, "class 1": 0.5}


def test_background_counts_when_it_is_a_class_and_only_then() -> None:
    """A thing of one pixel in ten; all is called background."""
    true = row(1, *[0] * 9)
    with_background = segments(2, (np.zeros_like(true), true))
    without = segments(1, (np.full_like(true, 9), np.where(true == 1, 0, IGNORE)))
    assert with_background is not None
    assert without is not None
    assert with_background.miou == pytest.approx(0.45)
    assert without.miou == 0


def test_a_true_id_beyond_the_classes_is_refused_and_not_dropped() -> None:
    """Cityscapes' raw ids, say, instead of its 19 train ids."""
    for meter in (SegmentMeter(names(19)), BoundaryMeter(names(19))):
        with pytest.raises(ValueError, match=r"true id 33 is none of 19 classes nor 255"):
            meter.update(row(1, 1), row(1, 33))
        with pytest.raises(ValueError, match=r"true id -1 "):
            meter.update(row(1, 1), row(1, -1))


def test_another_size_is_refused() -> None:
    for meter in (SegmentMeter(names(2)), BoundaryMeter(names(2))):
        with pytest.raises(ValueError, match=r"\(4, 4\) predicted for \(8, 8\).*nearest"):
            meter.update(np.zeros((4, 4), int), np.zeros((8, 8), int))


def test_colours_resized_before_they_are_decoded_make_a_third_class() -> None:
    """Halfway from red to blue lies purple: a seam of a class that is nowhere in the picture."""
    palette = Palette(
        ("red", "blue", "purple"), np.array([[255, 0, 0], [0, 0, 255], [128, 0, 128]])
    )
    true = np.repeat([[0] * 8 + [1] * 8], 16, axis=0)
    small = encode_segments(true[::2, ::2], palette)
    blended = cv2.resize(small, (16, 16), interpolation=cv2.INTER_LINEAR)
    decoded = decode_segments(small, palette).ids.repeat(2, axis=0).repeat(2, axis=1)
    wrong = segments(3, (decode_segments(blended, palette).ids, true))
    right = segments(3, (decoded, true))
    assert wrong is not None
    assert right is not None
    assert right.miou == 1
    assert wrong.iou["class 2"] == 0
    assert wrong.miou < 0.67


def test_a_blurred_outline_costs_more_at_the_boundary_than_in_area() -> None:
    """A large square, its prediction two pixels smaller all round."""
    true = np.zeros((100, 100), int)
    true[20:80, 20:80] = 1
    pred = np.zeros_like(true)
    pred[22:78, 22:78] = 1
    area, boundary = segments(2, (pred, true)), boundaries(2, (pred, true))
    assert area is not None
    assert boundary is not None
    assert boundary_width_px(true.shape) == 3
    assert area.iou["class 1"] == pytest.approx(56**2 / 60**2)
    # rings of three pixels: 60..54 and 56..50; they share 56..54
    assert boundary.iou["class 1"] == pytest.approx((56**2 - 54**2) / (60**2 - 50**2))


def test_the_truth_itself_scores_one_beside_ignored_pixels() -> None:
    """A prediction goes on below what is ignored, where the truth ends."""
    true = np.zeros((40, 40), int)
    true[:, 20:] = IGNORE
    scores = boundaries(1, (np.zeros_like(true), true))
    assert scores is not None
    assert scores.miou == 1


def test_nothing_known_is_no_score() -> None:
    assert segments(2) is None
    assert boundaries(2) is None
    assert segments(2, (row(0), row(IGNORE))) is None
    assert boundaries(2, (row(0), row(IGNORE))) is None

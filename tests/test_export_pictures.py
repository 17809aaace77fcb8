"""Strips of pictures: teacher, student, and how far they lie apart."""

from dataclasses import replace

import numpy as np
import pytest
from exported import photographs
from samples import CLASSES, make_labels, make_record

from distill.metrics import Prediction
from export import differences
from export.gallery import Specimen, depth_range, legends, make_strip, make_strips
from teacher.pictures import UNKNOWN_COLOR


def test_differences_are_dark_where_there_is_none() -> None:
    same, far = (tuple(c) for c in differences.difference_colors(np.array([0.0, 1.0])))
    depth_m = np.array([[1.0, 2.0, np.inf, np.nan]])
    other_m = np.array([[1.0, 4.0, 500.0, 1.0]])
    found = [tuple(c) for c in differences.depth_difference(depth_m, other_m, far_m=100)[0]]
    # The same; twice as far; sky against what has the sky's colour; unknown.
    assert found[:2] == [same, far]
    assert found[2] == same
    assert found[3] == UNKNOWN_COLOR


def test_differences_of_normals_and_classes() -> None:
    same, far = (tuple(c) for c in differences.difference_colors(np.array([0.0, 1.0])))
    up, right = np.array([[[0, 1, 0]]], np.float32), np.array([[[1, 0, 0]]], np.float32)
    assert tuple(differences.normal_difference(up, up)[0, 0]) == same
    assert tuple(differences.normal_difference(up, right)[0, 0]) == far
    assert tuple(differences.normal_difference(up, 0 * up)[0, 0]) == UNKNOWN_COLOR
    ids = np.array([[1, 2]])
    assert [tuple(c) for c in differences.segment_difference(ids, np.array([[1, 3]]))[0]] == [
        same,
        far,
    ]


@pytest.fixture
def specimen() -> Specimen:
    truth = make_labels(0, record=make_record(width_px=24, height_px=24))
    said = Prediction(
        depth_m=np.full((24, 24), 2.0, np.float32),
        normal=truth.normal,
        segment=truth.segment,
        classes=CLASSES,
    )
    return Specimen(
        key="a/1",
        photograph=photographs()[0][:24, :24],
        teacher=said,
        student=said,
        truth=truth,
        scores={"normal": ("1.0°", "2.0°")},
    )


def test_large_pictures_are_shown_smaller(specimen: Specimen) -> None:
    large = replace(specimen, photograph=np.zeros((600, 1200, 3), np.uint8))
    strip = make_strip(large, "normal", CLASSES)
    assert strip is not None
    assert (strip.pictures[0].width_px, strip.pictures[0].height_px) == (512, 256)
    assert strip.pictures[1].width_px == 24


def test_a_strip_has_five_pictures(specimen: Specimen) -> None:
    strip = make_strip(specimen, "normal", CLASSES)
    assert strip is not None
    labels = [picture.label for picture in strip.pictures]
    assert labels == ["photograph", "teacher", "student", "difference", "ground truth"]
    assert [picture.score for picture in strip.pictures] == ["", "1.0°", "2.0°", "", ""]
    assert {(p.width_px, p.height_px) for p in strip.pictures} == {(24, 24)}


def test_a_strip_without_truth_has_four(specimen: Specimen) -> None:
    bare = Specimen(
        key="b",
        photograph=specimen.photograph,
        teacher=specimen.teacher,
        student=specimen.student,
        truth=None,
    )
    strip = make_strip(bare, "segment", CLASSES)
    assert strip is not None
    assert len(strip.pictures) == 4


def test_a_task_that_the_student_does_not_do_has_no_strip(specimen: Specimen) -> None:
    bare = Specimen(
        key="b",
        photograph=specimen.photograph,
        teacher=specimen.teacher,
        student=Prediction(),
        truth=specimen.truth,
    )
    assert make_strips([bare, specimen], "depth", CLASSES) == [
        make_strip(specimen, "depth", CLASSES)
    ]


def test_a_row_of_depth_says_its_range(specimen: Specimen) -> None:
    strip = make_strip(specimen, "depth", CLASSES)
    assert strip is not None
    near_m, far_m = depth_range(specimen)
    assert 0.1 <= near_m < far_m <= 1000
    assert strip.title == f"a/1 · {near_m:.2g} to {far_m:.2g} m"


def test_a_flat_wall_still_has_a_range(specimen: Specimen) -> None:
    flat = Specimen(
        key="wall",
        photograph=specimen.photograph,
        teacher=specimen.teacher,
        student=specimen.student,
        truth=None,
    )
    assert depth_range(flat) == pytest.approx((2.0, 3.0))


def test_a_legend_names_every_class() -> None:
    found = legends(CLASSES)
    assert [name for name, _ in found["classes"]] == list(CLASSES)  # type: ignore[union-attr]

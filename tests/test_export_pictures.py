"""Pictures for people: colours that mean something, and strips that show it."""

import base64
import io

import numpy as np
import pytest
from exported import photographs
from PIL import Image
from samples import CLASSES, make_labels, make_record

from distill.metrics import Prediction
from export import pictures
from export.gallery import Specimen, depth_range, legends, make_strip, make_strips


def test_near_is_bright_and_far_is_dark() -> None:
    picture = pictures.depth_picture(np.geomspace(1, 10, 32)[None], 1, 10).astype(int)
    lightness = picture[0] @ [299, 587, 114]
    assert (np.diff(lightness) < 0).all()


def test_sky_and_unknown_have_colours_of_their_own() -> None:
    depth_m = np.array([[np.inf, np.nan, 0.0, -1.0, 1e-9, 1e9]])
    picture = pictures.depth_picture(depth_m, 1, 10)
    assert tuple(picture[0, 0]) == pictures.SKY_COLOR
    for column in (1, 2, 3):
        assert tuple(picture[0, column]) == pictures.UNKNOWN_COLOR
    assert tuple(picture[0, 4]) == tuple(pictures.depth_colors(np.zeros(1))[0])
    assert tuple(picture[0, 5]) == tuple(pictures.depth_colors(np.ones(1))[0])


def test_normals_in_the_usual_colours() -> None:
    normal = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]], np.float32)
    red, green, blue, unknown = pictures.normal_picture(normal)[0].tolist()
    assert red == [255, 128, 128]
    assert green == [128, 255, 128]
    assert blue == [128, 128, 255]
    assert tuple(unknown) == pictures.UNKNOWN_COLOR


def test_every_class_has_a_colour_of_its_own() -> None:
    colors = pictures.segment_colors(48)
    assert len(np.unique(colors, axis=0)) == 48
    first = pictures.segment_colors(16).astype(int)
    gaps = np.abs(first[:, None] - first[None]).max(axis=-1)[np.triu_indices(16, 1)]
    assert gaps.min() >= 24


def test_an_id_that_is_no_class_is_unknown() -> None:
    picture = pictures.segment_picture(np.array([[0, 255]], np.uint8), 3)
    assert tuple(picture[0, 0]) == pictures.SEGMENT_COLORS[0]
    assert tuple(picture[0, 1]) == pictures.UNKNOWN_COLOR


def test_differences_are_dark_where_there_is_none() -> None:
    same, far = (tuple(c) for c in pictures.difference_colors(np.array([0.0, 1.0])))
    depth_m = np.array([[1.0, 2.0, np.inf, np.nan]])
    other_m = np.array([[1.0, 4.0, 500.0, 1.0]])
    found = [tuple(c) for c in pictures.depth_difference(depth_m, other_m, far_m=100)[0]]
    # The same; twice as far; sky against what has the sky's colour; unknown.
    assert found[:2] == [same, far]
    assert found[2] == same
    assert found[3] == pictures.UNKNOWN_COLOR


def test_differences_of_normals_and_classes() -> None:
    same, far = (tuple(c) for c in pictures.difference_colors(np.array([0.0, 1.0])))
    up, right = np.array([[[0, 1, 0]]], np.float32), np.array([[[1, 0, 0]]], np.float32)
    assert tuple(pictures.normal_difference(up, up)[0, 0]) == same
    assert tuple(pictures.normal_difference(up, right)[0, 0]) == far
    assert tuple(pictures.normal_difference(up, 0 * up)[0, 0]) == pictures.UNKNOWN_COLOR
    ids = np.array([[1, 2]])
    assert [tuple(c) for c in pictures.segment_difference(ids, np.array([[1, 3]]))[0]] == [
        same,
        far,
    ]


def test_the_ball_is_round() -> None:
    ball = pictures.normal_sphere(40)
    assert ball.shape == (40, 40, 4)
    assert ball[0, 0, 3] == 0
    assert ball[20, 20, 3] == 255
    assert ball[20, 20, 2] > 250


def test_a_picture_survives_its_uri() -> None:
    picture = pictures.segment_picture(np.arange(64).reshape(8, 8) % 11, 11)
    head, data = pictures.data_uri(picture).split(",")
    assert head == "data:image/webp;base64"
    assert np.array_equal(np.array(Image.open(io.BytesIO(base64.b64decode(data)))), picture)


def test_colours_for_css() -> None:
    assert pictures.css_color((255, 0, 16)) == "#ff0010"
    gradient = pictures.css_gradient(np.array([[0, 0, 0], [255, 255, 255]], np.uint8))
    assert gradient == "linear-gradient(90deg, #000000, #ffffff)"


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

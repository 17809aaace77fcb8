"""Labels as pictures for people: colours that mean something."""

import base64
import io

import numpy as np
from PIL import Image

from teacher import pictures


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

"""Depth as colours: every codec against its formula, edge cases and bad input."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from teacher.colormaps import COLOR_MAPS
from teacher.cubewalk import cube_path
from teacher.depth import (
    CODECS,
    CUBE_WALK,
    ColorMap,
    CubeWalk,
    DepthCodec,
    DisparityGray,
    Gray,
    Hilbert,
    codec_from_json,
    codec_to_json,
    decode_depth,
    encode_depth,
)

CODEC_EXAMPLES: tuple[DepthCodec, ...] = (
    CUBE_WALK,
    CubeWalk(lam=-2.0, c=6.0),
    CubeWalk(lam=-1.01),
    Gray(),
    Gray(near_m=0, far_m=1),
    DisparityGray(near_m=0.5, far_m=80),
    *(ColorMap(name) for name in COLOR_MAPS),
    ColorMap("plasma", near_m=0, far_m=1),
    *(Hilbert(order) for order in range(1, 9)),
    Hilbert(2, near_m=0.25, far_m=20, gamma=0.5),
    Hilbert(8, near_m=0, far_m=1000, gamma=2.2),
)
every_codec = pytest.mark.parametrize("codec", CODEC_EXAMPLES, ids=str)
quick = settings(derandomize=True, max_examples=40)
paintings = arrays(np.uint8, array_shapes(max_dims=3, max_side=6).map(lambda shape: (*shape, 3)))


def path_fraction(codec: DepthCodec, depth_m: np.ndarray) -> np.ndarray:
    """Position on a codec's path, 0..1, straight from the formulas in the docstrings."""
    depth_m = np.asarray(depth_m, np.float64)
    match codec:
        case CubeWalk(lam, c):
            return 1 - (1 - depth_m / (lam * c)) ** (lam + 1)
        case DisparityGray(near_m, far_m):
            return (1 / depth_m - 1 / far_m) / (1 / near_m - 1 / far_m)
        case Hilbert(_, near_m, far_m, gamma):
            return ((depth_m - near_m) / (far_m - near_m)) ** gamma
        case Gray(near_m, far_m) | ColorMap(_, near_m, far_m):
            return (depth_m - near_m) / (far_m - near_m)
    raise AssertionError(codec)


def path_steps(codec: DepthCodec) -> float:
    """Colour levels along a codec's path."""
    match codec:
        case CubeWalk():
            return 7 * 255
        case Hilbert(order):
            return (8**order - 1) * 255 / (2**order - 1)
        case ColorMap("viridis"):
            return 255 / 3  # two of its colours stand twice in the table
    return 255


def in_range(codec: DepthCodec, share: np.ndarray) -> np.ndarray:
    """0..1 -> depths that the codec can tell apart, in float32."""
    near_m, far_m = (0.01, 500) if isinstance(codec, CubeWalk) else (codec.near_m, codec.far_m)
    near_m = max(near_m, 1e-3)
    return np.clip(near_m * (far_m / near_m) ** share, near_m, far_m).astype(np.float32)


@every_codec
@quick
@given(shares=arrays(np.float64, (7,), elements=st.floats(0, 1)))
def test_round_trip_stays_within_half_a_step(codec: DepthCodec, shares: np.ndarray) -> None:
    depth_m = in_range(codec, shares)
    decoded = decode_depth(encode_depth(depth_m, codec), codec)
    error = path_fraction(codec, decoded.depth_m) - path_fraction(codec, depth_m)
    # 0.52: the vertices of Hilbert orders 3 and 5 to 7 are rounded to whole levels.
    np.testing.assert_allclose(error, 0, atol=0.52 / path_steps(codec) + 2e-7)
    assert (decoded.residual == 0).all()


@every_codec
@quick
@given(rgb=paintings)
def test_any_colour_decodes_and_encodes_stably(codec: DepthCodec, rgb: np.ndarray) -> None:
    decoded = decode_depth(rgb, codec)
    assert decoded.depth_m.shape == decoded.residual.shape == rgb.shape[:-1]
    assert decoded.depth_m.dtype == decoded.residual.dtype == np.float32
    assert (decoded.depth_m >= 0).all()
    assert np.isfinite(decoded.residual).all()
    once = encode_depth(decoded.depth_m, codec)
    sky = np.isinf(decoded.depth_m)  # the defined end of the cube walk, and of nothing else
    assert (once[sky] == 255).all()
    assert isinstance(codec, CubeWalk) or not sky.any()
    on_path = decode_depth(once, codec)
    np.testing.assert_array_equal(encode_depth(on_path.depth_m, codec), once)


@every_codec
def test_deeper_is_never_decoded_as_nearer(codec: DepthCodec) -> None:
    depth_m = in_range(codec, np.linspace(0, 1, 3000))
    assert (np.diff(decode_depth(encode_depth(depth_m, codec), codec).depth_m) >= 0).all()


@every_codec
def test_unknown_is_black_whatever_the_codec(codec: DepthCodec) -> None:
    unknown = np.array([np.nan, 0.0, -0.0, -3.0, -np.inf])
    assert (encode_depth(unknown, codec) == 0).all()


def test_cube_walk_gives_unknown_back_as_zero_and_sky_as_infinity() -> None:
    rgb = encode_depth(np.array([np.nan, 0, -1, np.inf], np.float32))
    assert rgb.tolist() == [[0, 0, 0]] * 3 + [[255, 255, 255]]
    assert decode_depth(rgb).depth_m.tolist() == [0, 0, 0, np.inf]
    assert not np.signbit(decode_depth(rgb).depth_m).any()


def test_a_range_clamps_and_sky_is_its_far_end() -> None:
    depth_m = np.array([0.5, 1.0, 9.0, 50.0, np.inf])
    for codec in (Gray(1, 9), DisparityGray(1, 9), ColorMap("plasma", 1, 9), Hilbert(3, 1, 9)):
        decoded = decode_depth(encode_depth(depth_m, codec), codec).depth_m
        np.testing.assert_allclose(decoded, [1, 1, 9, 9, 9], rtol=1e-6)


def test_cube_walk_passes_its_corners_at_the_papers_depths() -> None:
    corners_m = [0.80, 1.83, 3.23, 5.28, 8.71, 16.46, np.inf]
    colors = [
        *([255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 255, 255]),
        *([0, 0, 255], [255, 0, 255], [255, 255, 255]),
    ]
    np.testing.assert_allclose(decode_depth(np.array(colors, np.uint8)).depth_m, corners_m, 3e-3)
    np.testing.assert_allclose(encode_depth(np.array(corners_m)), colors, atol=2)


def test_cube_walk_paints_sky_from_587_metres_on() -> None:
    assert encode_depth(np.array([587.0])).tolist() == [[255, 254, 255]]
    assert encode_depth(np.array([588.0])).tolist() == [[255, 255, 255]]


@every_codec
def test_sky_is_the_far_end_whatever_the_codec(codec: DepthCodec) -> None:
    sky = decode_depth(encode_depth(np.float32(np.inf), codec), codec).depth_m
    np.testing.assert_allclose(sky, getattr(codec, "far_m", np.inf), rtol=1e-6)


@every_codec
def test_half_precision_is_painted_as_its_value_in_float32(codec: DepthCodec) -> None:
    depth_m = np.array([np.nan, -np.inf, -1, -0.0, 0, 6e-8, 0.1, 1, 3.3, 65504, np.inf], np.float16)
    rgb = encode_depth(depth_m, codec)
    np.testing.assert_array_equal(rgb, encode_depth(depth_m.astype(np.float32), codec))
    assert (rgb[:5] == 0).all()


@every_codec
def test_a_place_on_the_path_and_its_depth_belong_together(codec: DepthCodec) -> None:
    fraction = np.linspace(0, 1, 50)
    np.testing.assert_allclose(codec.fraction(codec.metres(fraction)), fraction, atol=1e-9)
    depth_m = in_range(codec, fraction)
    np.testing.assert_allclose(codec.fraction(depth_m), path_fraction(codec, depth_m), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.float64, np.int32, np.uint8])
def test_depth_may_have_any_real_dtype(dtype) -> None:
    depth_m = np.array([[0, 1, 2], [5, 30, 100]], dtype)
    expected = encode_depth(depth_m.astype(np.float32))
    np.testing.assert_array_equal(encode_depth(depth_m), expected)


def test_shapes_from_a_scalar_to_a_batch() -> None:
    for shape in ((), (0,), (2, 0, 3), (2, 3, 4, 5)):
        rgb = encode_depth(np.full(shape, 2.5, np.float32))
        assert rgb.shape == (*shape, 3)
        assert decode_depth(rgb).depth_m.shape == shape


def test_a_single_unknown_pixel_is_black_and_leaves_the_path_as_it_is() -> None:
    assert encode_depth(np.float32(np.nan)).tolist() == [0, 0, 0]
    assert (np.abs(np.diff(cube_path().astype(int), axis=0)).sum(axis=1) == 1).all()


def test_float_paintings_are_rounded_to_levels() -> None:
    generator = np.random.default_rng(0)
    rgb = generator.integers(0, 256, (500, 3), dtype=np.uint8)
    nearly = np.clip((rgb + generator.uniform(-0.4, 0.4, rgb.shape)) / 255, 0, 1)
    np.testing.assert_array_equal(decode_depth(nearly).depth_m, decode_depth(rgb).depth_m)


def test_gray_measures_how_colourful_a_pixel_is() -> None:
    decoded = decode_depth(np.array([[30, 60, 90], [60, 60, 60]], np.uint8), Gray(0, 255))
    np.testing.assert_allclose(decoded.depth_m, 60, rtol=1e-6)
    np.testing.assert_allclose(decoded.residual, [np.sqrt(1800), 0], rtol=1e-6)


@every_codec
def test_json_brings_a_codec_back(codec: DepthCodec) -> None:
    assert codec_from_json(codec_to_json(codec)) == codec


def test_json_of_the_default() -> None:
    assert codec_to_json(CUBE_WALK) == {"codec": "cubewalk", "lam": -3.0, "c": 10 / 3}
    assert {codec_to_json(codec)["codec"] for codec in CODEC_EXAMPLES} == set(CODECS)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, 'names itself under "codec" as one of cubewalk, hilbert.*got None'),
        ({"codec": "rainbow"}, "got 'rainbow'"),
        ({"codec": "gray", "near_m": 0, "far": 3}, "'gray' cannot be read.*'far'"),
        ({"codec": "hilbert"}, "'hilbert' cannot be read.*order"),
        ({"codec": "cubewalk", "lam": "x"}, "'cubewalk' cannot be read"),
        ({"codec": "gray", "near_m": 3, "far_m": 3}, "Gray needs 0 <= near_m < far_m"),
    ],
)
def test_json_that_is_no_codec_is_refused(record: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec_from_json(record)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CubeWalk(lam=-1), "lam < -1 and c > 0, got lam=-1"),
        (lambda: CubeWalk(c=0), "got lam=-3.0, c=0"),
        (lambda: CubeWalk(lam=float("nan")), "got lam=nan"),
        (lambda: Gray(near_m=5, far_m=5), "Gray needs .* got near_m=5, far_m=5"),
        (lambda: Gray(near_m=-1), "got near_m=-1"),
        (lambda: DisparityGray(near_m=0), "near_m > 0"),
        (lambda: DisparityGray(far_m=float("inf")), "both finite"),
        (lambda: ColorMap("jet"), "unknown colour map 'jet'; choose one of plasma, inferno"),
        (lambda: ColorMap("plasma", near_m=2, far_m=1), "ColorMap needs"),
        (lambda: Hilbert(0), "order 1 to 8, got order=0"),
        (lambda: Hilbert(9), "order 1 to 8, got order=9"),
        (lambda: Hilbert(2, gamma=0), "gamma > 0, got gamma=0"),
        (lambda: Hilbert(2, near_m=9, far_m=1), "Hilbert needs"),
        (lambda: encode_depth(np.array(["far"])), "real numbers"),
        (lambda: encode_depth(np.array([True])), "real numbers .* got bool"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(make, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_decoders_load_without_torch() -> None:
    program = (
        "import sys, teacher.depth, teacher.depth_edges, teacher.normals, teacher.palette;"
        "import teacher.prompts;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

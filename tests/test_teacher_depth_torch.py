"""The depth codecs on torch tensors say what they say on numpy arrays."""

import shutil

import numpy as np
import pytest
import torch

from teacher.colormaps import COLOR_MAPS
from teacher.depth import (
    CUBE_WALK,
    ColorMap,
    CubeWalk,
    DepthCodec,
    DisparityGray,
    Gray,
    Hilbert,
    decode_depth,
    encode_depth,
)

CODECS: tuple[DepthCodec, ...] = (
    CUBE_WALK,
    CubeWalk(lam=-2.0, c=6.0),
    Gray(),
    DisparityGray(),
    *(ColorMap(name) for name in COLOR_MAPS),
    *(Hilbert(order, gamma=0.5) for order in range(1, 9)),
)
every_codec = pytest.mark.parametrize("codec", CODECS, ids=str)


def colors(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3), dtype=np.uint8)


def depths(count: int) -> np.ndarray:
    """Depths of every kind, the unusual ones first."""
    depth_m = np.random.default_rng(0).lognormal(1.5, 1, count).astype(np.float32)
    depth_m[:6] = np.nan, np.inf, -np.inf, -1, 0, 1e-9
    return depth_m


def assert_read_alike(rgb: np.ndarray, codec: DepthCodec) -> None:
    ours, theirs = decode_depth(rgb, codec), decode_depth(torch.from_numpy(rgb), codec)
    np.testing.assert_array_equal(ours.depth_m, theirs.depth_m.numpy())
    np.testing.assert_allclose(ours.residual, theirs.residual.numpy(), rtol=1e-6)


@every_codec
def test_a_painting_is_read_alike(codec: DepthCodec) -> None:
    assert_read_alike(colors(20_000), codec)


def test_a_million_colours_are_read_alike_on_the_cube_walk() -> None:
    assert_read_alike(colors(1_000_000), CUBE_WALK)


@pytest.mark.slow
@pytest.mark.parametrize("codec", [CUBE_WALK, Hilbert(2), Hilbert(8)], ids=str)
def test_all_colours_are_read_alike(codec: DepthCodec) -> None:
    for red in range(256):
        rest = np.indices((256, 256), np.uint8).reshape(2, -1).T
        assert_read_alike(np.insert(rest, 0, red, axis=1), codec)


@every_codec
def test_depth_is_painted_alike(codec: DepthCodec) -> None:
    depth_m = depths(20_000)
    ours, theirs = encode_depth(depth_m, codec), encode_depth(torch.from_numpy(depth_m), codec)
    apart = np.abs(ours.astype(int) - theirs.numpy())
    # float32 powers differ in their last bit, and so does the rounding of a tie
    assert (apart > 0).any(axis=-1).mean() < 1e-3
    assert apart.max() <= 1


def test_the_kind_of_array_and_the_shape_are_kept() -> None:
    depth_m = torch.rand(2, 3, 4) * 9
    rgb = encode_depth(depth_m)
    assert (rgb.dtype, rgb.shape) == (torch.uint8, (2, 3, 4, 3))
    decoded = decode_depth(rgb)
    assert decoded.depth_m.dtype == decoded.residual.dtype == torch.float32
    assert decoded.depth_m.shape == decoded.residual.shape == depth_m.shape
    assert decode_depth(rgb[:0]).depth_m.shape == (0, 3, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_tensors_may_have_any_real_dtype(dtype: torch.dtype) -> None:
    depth_m = torch.tensor([0, 1, 2, 5, 30, 100]).to(dtype)
    assert torch.equal(encode_depth(depth_m), encode_depth(depth_m.float()))


def test_float_tensors_are_rounded_to_levels() -> None:
    rgb = torch.from_numpy(colors(500))
    nearly = (rgb / 255).half()
    assert torch.equal(decode_depth(nearly).depth_m, decode_depth(rgb).depth_m)


@pytest.mark.parametrize(
    ("rgb", "message"),
    [
        (torch.zeros(4, 4, 4, dtype=torch.uint8), r"needs 3 channels .* got shape \(4, 4, 4\)"),
        (torch.zeros(3, 4, 4), "with the channels last"),
        (torch.full((2, 2, 3), 1.5), r"lies in 0\.\.1, got 1\.5\.\.1\.5"),
        (torch.full((2, 2, 3), torch.nan), r"lies in 0\.\.1, got nan"),
        (torch.zeros(2, 2, 3, dtype=torch.int32), "got int32"),
    ],
)
def test_a_tensor_that_is_no_painting_is_refused(rgb: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_depth(rgb)


def test_a_tensor_that_is_no_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"real numbers \(metres\), got bool"):
        encode_depth(torch.tensor([True]))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("codec", [CUBE_WALK, Gray(), Hilbert(2), Hilbert(8)], ids=str)
def test_the_compiled_decoder_is_one_graph_and_says_the_same(codec: DepthCodec) -> None:
    rgb = torch.from_numpy(colors(4096))
    plain = decode_depth(rgb, codec)
    compiled = torch.compile(lambda painting: decode_depth(painting, codec), fullgraph=True)(rgb)
    torch.testing.assert_close(compiled.depth_m, plain.depth_m, rtol=1e-6, atol=0)
    torch.testing.assert_close(compiled.residual, plain.residual, rtol=1e-5, atol=1e-4)

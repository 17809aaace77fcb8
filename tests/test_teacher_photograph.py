"""Photographs of every kind that cameras and programs write, and of kinds that are refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import make_photograph

from teacher.sample import decode_photograph, encode_photograph, resize_photograph

ORIENTATION = 0x0112
RAMP = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6) * 10


def image_bytes(
    pixels: np.ndarray, mode: str | None = None, format: str = "PNG", **options
) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png_16(pixels: np.ndarray, color: int) -> bytes:
    """A 16-bit PNG of (H, W, C) pixels, written by hand: Pillow cannot write all of them."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


# What is taken


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_a_photograph_returns(format: str):
    smooth = np.stack(np.meshgrid(np.arange(64), np.arange(48), indexing="xy"), -1)
    photo = np.concatenate([2 * smooth, smooth[..., :1] + 90], axis=-1).astype(np.uint8)
    found = decode_photograph(encode_photograph(photo, format))
    assert (found.shape, found.dtype) == ((48, 64, 3), np.uint8)
    tolerance = 0 if format == "png" else 8
    assert np.abs(found.astype(int) - photo).max() <= tolerance
    assert encode_photograph(photo, format) == encode_photograph(photo, format)


UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored),
    0: lambda stored: stored,
    9: lambda stored: stored,
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_applied(orientation: int, format: str):
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    options |= {"lossless": True} if format == "WEBP" else {}
    found = decode_photograph(image_bytes(stored, format=format, exif=exif, **options))
    expected = UPRIGHT[orientation](stored)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 2


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_exif_that_cannot_be_read_counts_as_none(exif: bytes):
    data = make_photograph()
    broken = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    np.testing.assert_array_equal(decode_photograph(broken), decode_photograph(data))


def test_gray_is_repeated():
    found = decode_photograph(image_bytes(RAMP))
    np.testing.assert_array_equal(found, np.repeat(RAMP[..., None], 3, axis=-1))


def test_black_and_white_is_0_and_255():
    found = decode_photograph(image_bytes(RAMP > 100))
    np.testing.assert_array_equal(found[..., 0], np.where(RAMP > 100, 255, 0))


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3)])
def test_the_upper_half_of_16_bits_is_kept(color: int, channels: int):
    pixels = np.random.default_rng(0).integers(0, 2**16, (4, 6, channels))
    found = decode_photograph(png_16(pixels, color))
    np.testing.assert_array_equal(found, np.broadcast_to(pixels >> 8, (4, 6, 3)))


@pytest.mark.parametrize(("color", "channels"), [(4, 2), (6, 4)])
def test_16_bits_with_alpha_are_laid_over_white(color: int, channels: int):
    pixels = np.random.default_rng(0).integers(0, 2**16, (4, 6, channels))
    pixels[:2, :, -1], pixels[2:, :, -1] = 65535, 0
    found = decode_photograph(png_16(pixels, color))
    expected = np.broadcast_to(pixels[:2, :, :-1] >> 8, (2, 6, 3))
    np.testing.assert_array_equal(found[:2], expected)
    assert (found[2:] == 255).all()


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_what_is_transparent_is_laid_over_white(format: str):
    pixels = np.full((4, 6, 4), (200, 100, 0, 255), np.uint8)
    pixels[2:, :, 3] = 0
    pixels[:, 5, 3] = 128
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    found = decode_photograph(image_bytes(pixels, format=format, **options))
    assert found[0, 0].tolist() == [200, 100, 0]
    assert found[3, 0].tolist() == [255, 255, 255]
    np.testing.assert_allclose(found[0, 5], [227, 177, 127], atol=1)


def test_a_palette_with_a_transparent_colour_is_laid_over_white():
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    file = io.BytesIO()
    image.save(file, "PNG", transparency=1)
    expected = [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
    np.testing.assert_array_equal(decode_photograph(file.getvalue()), expected)


def test_cmyk_is_converted():
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0] = 255  # cyan above, paper below
    found = decode_photograph(image_bytes(inks, "CMYK", "JPEG", quality=100)).astype(int)
    np.testing.assert_allclose(found[2, 2], [0, 255, 255], atol=8)
    np.testing.assert_allclose(found[14, 2], [255, 255, 255], atol=8)


def test_the_first_of_several_pictures_of_a_phone_is_taken():
    first, second = (Image.fromarray(np.full((16, 16, 3), v, np.uint8)) for v in (40, 200))
    file = io.BytesIO()
    first.save(file, "MPO", save_all=True, append_images=[second])
    assert abs(int(decode_photograph(file.getvalue()).mean()) - 40) <= 2


# What is refused


def test_more_pixels_than_allowed_are_refused_before_decoding():
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"never read")
    with pytest.raises(ValueError, match="too large"):
        decode_photograph(bomb)
    photo = make_photograph(height_px=24, width_px=34)
    with pytest.raises(ValueError, match="too large: 34 x 24 pixels, expected at most 815 in all"):
        decode_photograph(photo, max_pixels=815)
    assert decode_photograph(photo, max_pixels=816).shape == (24, 34, 3)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animated_images_are_refused(format: str):
    frames = [Image.fromarray(np.full((8, 8, 3), v, np.uint8)) for v in (0, 100, 200)]
    file = io.BytesIO()
    frames[0].save(file, format, save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="animated: 3 frames, expected a single picture"):
        decode_photograph(file.getvalue())


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_truncated_files_are_refused(format: str):
    photo = np.random.default_rng(0).integers(0, 256, (24, 34, 3), dtype=np.uint8)
    data = encode_photograph(photo, format)
    end = {"jpg": 2, "png": 20, "webp": 0}[format]  # checksum and end mark are not missed
    for length in range(0, len(data) - end, max(1, len(data) // 60)):
        with pytest.raises(ValueError, match=r"^(truncated or damaged|not a JPEG)[^\n]*$"):
            decode_photograph(data[:length])


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_refused(format: str):
    with pytest.raises(ValueError, match="not a JPEG, PNG or WebP image"):
        decode_photograph(image_bytes(np.zeros((4, 4, 3), np.uint8), format=format))


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_is_refused(data: bytes):
    with pytest.raises(ValueError, match="not a JPEG, PNG or WebP image"):
        decode_photograph(data)


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
@given(data=st.data())
@settings(max_examples=60)
def test_damaged_files_give_pixels_or_one_line(format: str, data: st.DataObject):
    photo = np.random.default_rng(0).integers(0, 256, (24, 34, 3), dtype=np.uint8)
    damaged = bytearray(encode_photograph(photo, format))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        found = decode_photograph(bytes(damaged))
    except ValueError as error:
        message = str(error)
    else:
        assert (found.dtype, found.shape[2]) == (np.uint8, 3)
        return
    assert message
    assert "\n" not in message


# Resizing and encoding


def test_resizing_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resize_photograph(stripes, 16, 8)
    assert small.shape == (16, 8, 3)
    assert np.abs(small.astype(int) - 127).max() <= 6


def test_resizing_stretches_without_a_crop_or_a_shift():
    ramp = np.repeat(np.linspace(0, 252, 64)[None, :, None], 30, axis=0)
    ramp = np.broadcast_to(ramp, (30, 64, 3)).astype(np.uint8)
    small = resize_photograph(ramp, 30, 32).astype(int)
    pairs = ramp.reshape(30, 32, 2, 3).mean(axis=2)
    assert np.abs(small - pairs)[:, 3:-3].max() <= 2
    mirrored = resize_photograph(np.ascontiguousarray(ramp[:, ::-1]), 30, 32).astype(int)
    assert np.abs(mirrored[:, ::-1] - small).max() <= 1


def test_resizing_to_the_same_size_changes_nothing():
    photo = decode_photograph(make_photograph())
    np.testing.assert_array_equal(resize_photograph(photo, 24, 34), photo)


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_photographs_are_refused(photo: np.ndarray):
    with pytest.raises(ValueError, match=r"photograph: expected \(H, W, 3\) uint8, found"):
        resize_photograph(photo, 2, 2)
    with pytest.raises(ValueError, match=r"photograph: expected \(H, W, 3\) uint8, found"):
        encode_photograph(photo)


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match=r"format: expected one of .*, found 'gif'"):
        encode_photograph(np.zeros((4, 4, 3), np.uint8), "gif")

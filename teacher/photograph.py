"""A photograph's bytes as pixels and back, and the one rule that resizes it."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

MAX_PHOTO_PIXELS = 64 * 2**20
PILLOW_FORMATS = ("JPEG", "PNG", "WEBP")
ENCODINGS = {
    "jpg": {"format": "JPEG", "quality": 95},
    "png": {"format": "PNG", "compress_level": 1},
    "webp": {"format": "WEBP", "quality": 95},
}
ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the picture upright; any other value leaves it as it is."""
BROKEN_FILE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on broken files."""


def decode_photograph(data: bytes, *, max_pixels: int = MAX_PHOTO_PIXELS) -> np.ndarray:
    """Pixels of a JPEG, PNG or WebP file, (H, W, 3) uint8 sRGB, upright as its EXIF says.

    Gray is repeated in three channels; of 16 bits the upper 8 are kept; CMYK is converted without
    a profile; what is transparent is laid over white. Colour profiles are not applied: a device
    that runs the student will not apply them either. Of a multi-picture JPEG (phones write them)
    the first picture is taken. EXIF that cannot be read counts as none. A PNG file that is whole,
    but whose compressed rows end early, is black from there on: Pillow does not tell.

    Raises ValueError with the reason: no such image, truncated or damaged, animated, or more than
    max_pixels (judged by the header, before anything is decoded).
    """
    with _explained():
        image = Image.open(io.BytesIO(data), formats=PILLOW_FORMATS)
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height} pixels"
        raise ValueError(f"too large: {size}, expected at most {max_pixels} in all")
    if frames > 1:
        raise ValueError(f"animated: {frames} frames, expected a single picture")
    with _explained():
        image.load()
        return np.array(_upright(_as_rgb(image), _orientation(image)))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what Pillow raises into a ValueError with a reason in one line."""
    try:
        yield
    except UnidentifiedImageError:
        raise ValueError("not a JPEG, PNG or WebP image, or its header is damaged") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"too large: {error}") from error
    except BROKEN_FILE as error:
        raise ValueError(f"truncated or damaged: {' '.join(str(error).split())}") from error


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN_FILE:
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = ROTATIONS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        # Pillow's own conversion would clip to 255 instead of scaling.
        image = Image.fromarray((np.array(image).astype(np.int32) >> 8).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def resize_photograph(photo: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """The photograph stretched to a size, (height_px, width_px, 3) uint8: Lanczos, antialiased.

    photo: (H, W, 3) uint8. Every labeller sees the picture through this rule ("stretch" in a
    label's record), so that teacher and student are compared on the same pixels.
    """
    check_photograph(photo)
    if photo.shape[:2] == (height_px, width_px):
        return photo
    image = Image.fromarray(photo).resize((width_px, height_px), Image.Resampling.LANCZOS)
    return np.array(image)


def encode_photograph(photo: np.ndarray, format: str = "jpg") -> bytes:
    """A photograph (H, W, 3) uint8 as the bytes of a "jpg", "png" (lossless) or "webp" file."""
    check_photograph(photo)
    if format not in ENCODINGS:
        raise ValueError(f"format: expected one of {tuple(ENCODINGS)}, found {format!r}")
    file = io.BytesIO()
    Image.fromarray(photo).save(file, **ENCODINGS[format])
    return file.getvalue()


def check_photograph(photo: np.ndarray) -> None:
    """Raise ValueError unless this is (H, W, 3) uint8 with at least one pixel."""
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise ValueError(f"photograph: expected (H, W, 3) uint8, found {photo.shape} {photo.dtype}")

"""Everything that has been found in photograph collections: odd, broken, hostile. Made, not stored.

odd_pictures()     are used, and what their pixels should be like is known
bad_pictures()     cannot be decoded
useless_pictures() can be, but show nothing
bad_members()      members of a tar that are quarantined when it is read
bad_shards()       whole tars that are broken, with the good photographs that can be saved
"""

import io
import pickle
import struct
import zlib

import numpy as np
from PIL import Image

SIZE_PX = 40
ORIENTATION = 0x0112


# Pieces


def scene(seed: int = 0) -> np.ndarray:
    """A smooth picture (40, 40, 3) uint8 without symmetry: what survives every compression."""
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] / (SIZE_PX - 1)
    return np.stack([255 * columns, 255 * rows, 200 * rows * columns + seed], -1).astype(np.uint8)


def saved(pixels: np.ndarray, format: str, mode: str | None = None, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png_file(width: int, height: int, bits: int, color: int, raw: bytes, *extra: bytes) -> bytes:
    """A PNG by hand: raw holds its compressed rows, extra further chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [header, *extra, chunk(b"IDAT", raw), chunk(b"IEND", b"")]
    )


def png_16(pixels: np.ndarray, color: int) -> bytes:
    """(H, W, C) as a PNG of 16 bits, which Pillow cannot write for all C."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png_file(pixels.shape[1], pixels.shape[0], 16, color, zlib.compress(rows))


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """A JPEG with one more segment right after its start."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]


def animated(format: str) -> bytes:
    frames = [Image.fromarray(np.roll(scene(), 9 * n, 0)) for n in range(3)]
    file = io.BytesIO()
    frames[0].save(file, format, save_all=True, append_images=frames[1:])
    return file.getvalue()


def bomb_png(side_px: int = 30_000) -> bytes:
    """A whole, valid PNG of 900 million pixels in about 100 kB."""
    packer, rows = zlib.compressobj(9), bytes(1 + side_px // 8) * 500
    raw = b"".join(packer.compress(rows) for _ in range(side_px // 500)) + packer.flush()
    return png_file(side_px, side_px, 1, 0, raw)


def bomb_jpeg(side_px: int = 30_000) -> bytes:
    """A JPEG whose header claims 900 million pixels."""
    data = bytearray(saved(scene(), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", side_px, side_px)
    return bytes(data)


def rotated(orientation: int, pixels: np.ndarray | None = None, format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(scene() if pixels is None else pixels, format, exif=exif, quality=98)


def multi_picture() -> bytes:
    file = io.BytesIO()
    first, second = Image.fromarray(scene()), Image.fromarray(255 - scene())
    first.save(file, "MPO", save_all=True, append_images=[second], quality=95)
    return file.getvalue()


def with_alpha() -> np.ndarray:
    return np.dstack([scene(), np.full((SIZE_PX, SIZE_PX), 255, np.uint8)])


def profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# Pictures that are used


def gray(pixels: np.ndarray) -> np.ndarray:
    """What a gray version of a picture looks like, in three channels."""
    return np.repeat(np.array(Image.fromarray(pixels).convert("L"))[..., None], 3, -1)


def odd_pictures() -> dict[str, tuple[str, bytes, np.ndarray]]:
    """Name -> suffix, file, and the pixels (40, 40, 3) uint8 that it should give, or nearly so."""
    wide = scene().astype(np.uint16) * 257
    jpeg = saved(scene(), "JPEG", quality=95)
    luma = gray(scene())
    cmyk = np.dstack([255 - scene(), np.zeros((SIZE_PX, SIZE_PX), np.uint8)])
    file = io.BytesIO()
    Image.fromarray(cmyk, "CMYK").save(file, "JPEG", quality=95)
    inks = file.getvalue()
    two = np.where(luma > 127, 255, 0).astype(np.uint8)
    pictures = {
        "jpeg": ("jpg", jpeg, scene()),
        "progressive": ("jpg", saved(scene(), "JPEG", progressive=True, quality=95), scene()),
        "gray-jpeg": ("jpg", saved(scene(), "JPEG", "L", quality=95), luma),
        "cmyk-jpeg": ("jpg", inks, scene()),
        "gray-png": ("png", saved(scene(), "PNG", "L"), luma),
        "gray-alpha-png": ("png", saved(scene(), "PNG", "LA"), luma),
        "black-and-white-png": ("png", saved(two[..., 0] > 0, "PNG"), two),
        "palette-png": ("png", saved(two, "PNG", "P"), two),
        "alpha-png": ("png", saved(with_alpha(), "PNG"), scene()),
        "alpha-webp": ("webp", saved(with_alpha(), "WEBP", lossless=True), scene()),
        "gray-16-bit-png": ("png", png_16(wide[..., :1], 0), np.repeat(scene()[..., :1], 3, -1)),
        "rgb-16-bit-png": ("png", png_16(wide, 2), scene()),
        "rgba-16-bit-png": ("png", png_16(with_alpha().astype(np.uint16) * 257, 6), scene()),
        "interlaced-or-not-png": ("png", saved(scene(), "PNG", optimize=True), scene()),
        "webp": ("webp", saved(scene(), "WEBP", quality=98), scene()),
        "multi-picture-jpeg": ("jpg", multi_picture(), scene()),
        "icc-profile-jpeg": ("jpg", saved(scene(), "JPEG", icc_profile=profile()), scene()),
        "broken-icc-profile": ("jpg", with_segment(jpeg, 0xE2, b"ICC_PROFILE\0\1\1x"), scene()),
        "huge-exif": ("jpg", with_segment(jpeg, 0xE1, b"Exif\0\0" + bytes(65_000)), scene()),
        "broken-exif": ("jpg", with_segment(jpeg, 0xE1, b"Exif\0\0MM\0*\xff\xff\xff"), scene()),
        "long-comment-jpeg": ("jpg", with_segment(jpeg, 0xFE, b"x" * 65_000), scene()),
        "trailing-bytes-jpeg": ("jpg", jpeg + b"trailing" * 500, scene()),
        "png-named-jpg": ("jpg", saved(scene(), "PNG"), scene()),
        "jpeg-named-webp": ("webp", jpeg, scene()),
        "loud-suffix": ("JPEG", jpeg, scene()),
    }  # fmt: skip
    turned = {
        2: scene()[:, ::-1],
        3: scene()[::-1, ::-1],
        4: scene()[::-1],
        5: scene().transpose(1, 0, 2),
        6: np.rot90(scene(), -1),
        7: scene()[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(scene()),
    }
    for value, expected in turned.items():
        pictures[f"exif-rotation-{value}"] = ("jpg", rotated(value), expected)
    return pictures


# Pictures that are quarantined


def bad_pictures() -> dict[str, tuple[str, bytes, str]]:
    """Name -> suffix, file, and a pattern of the reason for which it is quarantined."""
    jpeg, png = saved(scene(), "JPEG", quality=95), saved(scene(), "PNG")
    webp = saved(scene(), "WEBP", quality=98)
    progressive = saved(scene(), "JPEG", progressive=True, quality=95)
    damaged = bytearray(png)
    damaged[png.index(b"IDAT") + 30] ^= 0xFF
    no_image, cut = "not a JPEG, PNG or WebP image", "truncated or damaged"
    noise, broken = np.random.default_rng(0).bytes(5000), f"{cut}|{no_image}"
    rows = zlib.compress(bytes(SIZE_PX * (1 + 3 * SIZE_PX)))
    text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(200 * 2**20)))
    return {
        "empty": ("jpg", b"", no_image),
        "nothing-but-zeros": ("jpg", bytes(20_000), no_image),
        "text": ("jpg", b"just text", no_image),
        "web-page": ("jpg", b"<!doctype html><title>404 Not Found</title>", no_image),
        "vector-graphic": ("png", b'<svg xmlns="http://www.w3.org/2000/svg"/>', no_image),
        "pdf": ("jpg", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", no_image),
        "postscript": ("jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", no_image),
        "gif": ("jpg", saved(scene(), "GIF"), no_image),
        "bmp": ("png", saved(scene(), "BMP"), no_image),
        "tiff": ("jpg", saved(scene(), "TIFF"), no_image),
        "heic": ("jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(900), no_image),
        "pickle-named-jpg": ("jpg", pickle.dumps({"a": 1}), no_image),
        "only-a-jpeg-start": ("jpg", b"\xff\xd8\xff", no_image),
        "jpeg-start-and-noise": ("jpg", b"\xff\xd8\xff\xe0" + noise, broken),
        "cut-jpeg": ("jpg", jpeg[: len(jpeg) // 2], cut),
        "cut-progressive-jpeg": ("jpg", progressive[: len(progressive) * 3 // 4], cut),
        "progressive-jpeg-without-its-last-scan": ("jpg", progressive[:-40], cut),
        "cut-in-the-header-jpeg": ("jpg", jpeg[:150], cut),
        "cut-png": ("png", png[: len(png) // 2], cut),
        "damaged-png": ("png", bytes(damaged), cut),
        "png-without-pixels": ("png", png_file(SIZE_PX, SIZE_PX, 8, 2, b""), cut),
        "png-of-no-size": ("png", png_file(0, 0, 8, 2, rows), broken),
        "png-of-unknown-kind": ("png", png_file(SIZE_PX, SIZE_PX, 7, 5, rows), broken),
        "png-whose-text-is-a-bomb": ("png", png_file(SIZE_PX, SIZE_PX, 8, 2, rows, text), cut),
        "cut-webp": ("webp", webp[: len(webp) // 2], broken),
        "animated-png": ("png", animated("PNG"), "animated: 3 frames"),
        "animated-webp": ("webp", animated("WEBP"), "animated: 3 frames"),
        "bomb-png": ("png", bomb_png(), "too large: .*900000000 pixels"),
        "bomb-jpeg": ("jpg", bomb_jpeg(), "too large: .*900000000 pixels"),
        "larger-than-allowed": ("png", png_file(8200, 8200, 8, 2, b"unread"), "too large: 8200"),
    }  # fmt: skip


def useless_pictures() -> dict[str, tuple[str, bytes, str]]:
    """The same for sound files that show nothing."""
    return {
        "one-pixel": ("png", saved(scene()[:1, :1], "PNG"), "one colour"),
        "one-colour": ("png", saved(np.full_like(scene(), 7), "PNG"), "one colour"),
        "invisible": ("png", saved(with_alpha() * np.uint8([1, 1, 1, 0]), "PNG"), "one colour"),
        "one-pixel-high": ("png", saved(scene()[:1], "PNG"), "more than 8 times as long as wide"),
    }

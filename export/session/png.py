"""PNG files of 8-bit RGB, with the standard library alone."""

import struct
import zlib
from pathlib import Path

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB, BITS, STRAIGHT = 2, 8, 0
"""Colour type, bits of a channel, and no interlacing."""
MAX_PNG_PIXELS = 2**24


def write_png(path: Path, image: np.ndarray) -> None:
    """image: (H, W, 3) uint8"""
    height, width = image.shape[:2]
    rows = np.pad(image.reshape(height, width * 3), ((0, 0), (1, 0)))  # filter 0 in front of each
    header = struct.pack(">IIBBBBB", width, height, BITS, RGB, 0, 0, STRAIGHT)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")
    path.write_bytes(SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks))


def read_png(path: Path) -> np.ndarray:
    """(H, W, 3) uint8. Raises ValueError for anything but a whole PNG of 8-bit RGB."""
    try:
        return _decode(path.read_bytes())
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        raise ValueError(f"{path}: not a PNG of 8-bit RGB ({error})") from error


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _decode(data: bytes) -> np.ndarray:
    if not data.startswith(SIGNATURE):
        raise ValueError("no PNG signature")
    header, packed, position = b"", b"", len(SIGNATURE)
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + size]
        header += body if kind == b"IHDR" else b""
        packed += body if kind == b"IDAT" else b""
        position += size + 12
    width, height, bits, color, _, _, interlace = struct.unpack(">IIBBBBB", header)
    if (bits, color, interlace) != (BITS, RGB, STRAIGHT):
        raise ValueError(f"{bits} bits, colour type {color}, interlacing {interlace}")
    if not 0 < width * height <= MAX_PNG_PIXELS:
        raise ValueError(f"{width} x {height} px")
    expected = height * (width * 3 + 1)
    rows = zlib.decompressobj().decompress(packed, expected)
    if len(rows) != expected:
        raise ValueError(f"{len(rows)} of {expected} bytes")
    return _unfilter(np.frombuffer(rows, np.uint8).reshape(height, width * 3 + 1))


def _unfilter(rows: np.ndarray) -> np.ndarray:
    """(H, 1 + W * 3), a filter's number in front of each row -> (H, W, 3) uint8."""
    height, width = len(rows), rows.shape[1] // 3
    image = np.zeros(
        (height + 1, width + 1, 3), np.uint8
    )  # a border of zeros above and to the left
    for y, row in enumerate(rows, start=1):
        image[y, 1:] = row[1:].reshape(width, 3)
        _unfilter_row(int(row[0]), image[y], image[y - 1])
    return image[1:, 1:].copy()


def _unfilter_row(kind: int, row: np.ndarray, above: np.ndarray) -> None:
    """In place. row, above: (1 + W, 3) uint8; sums are taken modulo 256."""
    if kind == 0:
        return
    if kind == 1:
        row[:] = np.cumsum(row, axis=0, dtype=np.uint8)
    elif kind == 2:
        row += above
    elif kind in (3, 4):
        predict = _average if kind == 3 else _paeth
        for x in range(1, len(row)):
            for c in range(3):
                left, up, corner = int(row[x - 1, c]), int(above[x, c]), int(above[x - 1, c])
                row[x, c] = (int(row[x, c]) + predict(left, up, corner)) & 255
    else:
        raise ValueError(f"filter {kind}")


def _average(left: int, up: int, _: int) -> int:
    return (left + up) // 2


def _paeth(left: int, up: int, corner: int) -> int:
    """Of the three neighbours the one nearest to left + up - corner."""
    estimate = left + up - corner
    return min((left, up, corner), key=lambda neighbour: abs(estimate - neighbour))

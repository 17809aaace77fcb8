"""Protobuf as far as an ONNX file needs it: the fields of a message, without a library."""

from collections.abc import Iterator

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5


class MalformedError(Exception):
    """The bytes are no protobuf message."""


def read_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message: an int for a varint, otherwise a view of the bytes."""
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        wire = tag & 7
        if wire == VARINT:
            value, position = _read_varint(message, position)
            yield tag >> 3, value
            continue
        if wire == BYTES:
            size, position = _read_varint(message, position)
        elif wire in (FIXED_64, FIXED_32):
            size = 8 if wire == FIXED_64 else 4
        else:
            raise MalformedError(f"wire type {wire}")
        if position + size > len(message):
            raise MalformedError("a field ends beyond the file")
        yield tag >> 3, message[position : position + size]
        position += size


def read_varints(packed: int | memoryview) -> Iterator[int]:
    """The numbers of a repeated field: one of them, or many packed together."""
    if isinstance(packed, int):
        yield packed
        return
    position = 0
    while position < len(packed):
        value, position = _read_varint(packed, position)
        yield value


def as_message(value: int | memoryview) -> memoryview:
    """A field that has to be a message."""
    if isinstance(value, int):
        raise MalformedError("a number where a message was expected")
    return value


def as_text(value: int | memoryview) -> str:
    """A field that has to be text."""
    return bytes(as_message(value)).decode("utf-8", errors="replace")


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise MalformedError("a number without an end")

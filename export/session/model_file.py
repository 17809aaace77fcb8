"""What an ONNX file holds, read from its bytes before a runtime opens it.

A runtime that opens a file follows links to other files, loads what custom operators name, and
allocates what shapes ask for. So what a student never has is refused here.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from .protobuf import MalformedError, as_message, as_text, read_fields, read_varints

SCHEMA_VERSION = 2
METADATA_KEY = "potstill"
INPUT_NAME = "image"
OUTPUTS = ("depth_m", "normal", "segment", "confidence")
STANDARD_DOMAINS = ("", "ai.onnx")
MAX_FILE_BYTES = 2**31 - 1
"""What one protobuf message may hold, and so one ONNX file without a sidecar."""
MAX_NUMBERS_PER_BYTE = 2
"""The densest type of ONNX has 4 bits."""
MAX_DEPTH = 32
"""Of graphs inside graphs, in messages."""

REQUIRED_METADATA: Mapping[str, type | tuple[type, ...]] = {
    "tasks": list,
    "classes": list,
    "multiple_px": int,
    "depth_kind": (str, NoneType),
    "trained_px": list,
}

# The numbers are the field numbers of onnx.proto. Only messages that lead to a tensor, a domain or
# the graph's inputs are entered.
CHILDREN: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 8: "opset", 14: "metadata", 25: "function"},
    "graph": {1: "node", 5: "tensor", 11: "input", 12: "output", 15: "sparse"},
    "subgraph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 6: "subgraph", 10: "tensor", 11: "subgraph"},
        **{22: "sparse", 23: "sparse"},
    },
    "opset": {},
}
OPSET_DOMAIN, NODE_DOMAIN = 1, 7
TENSOR_DIMS, TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION, LOCATION_EXTERNAL = 1, 13, 14, 1
UINT8 = 2
"""TensorProto.DataType"""


def read_model(path: Path) -> bytes:
    """The bytes of an ONNX file. Raises FileNotFoundError, or ValueError when it is too large."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such ONNX file; write one with `potstill export`")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{path}: {size} bytes, an ONNX file holds at most {MAX_FILE_BYTES}")
    return path.read_bytes()


def inspect_model(model: bytes, name: str) -> dict[str, Any]:
    """Check the bytes of an ONNX file without running it, and return its metadata.

    Raises ValueError when the bytes are not ONNX, keep weights in another file, claim tensors that
    the file cannot hold, use operators that are not standard, take other inputs than one
    photograph, or carry no metadata of this schema. `name` is what messages call it.
    """
    properties: dict[str, str] = {}
    inputs: list[tuple[str, int, int]] = []
    outputs: list[str] = []
    try:
        for kind, message in _walk("model", memoryview(model)):
            if kind == "tensor":
                _check_tensor(name, message, len(model))
            elif kind == "sparse":
                raise ValueError(f"{name}: has sparse tensors, an exported student has none")
            elif kind in ("opset", "node"):
                _check_domain(name, kind, message)
            elif kind == "metadata":
                entry = dict(read_fields(message))
                properties[as_text(entry.get(1, EMPTY))] = as_text(entry.get(2, EMPTY))
            elif kind == "input":
                inputs.append(_read_input(message))
            elif kind == "output":
                outputs.append(as_text(dict(read_fields(message)).get(1, EMPTY)))
    except MalformedError as error:
        raise ValueError(f"{name}: not an ONNX file, or cut short ({error})") from None
    metadata = _check_metadata(name, properties)
    _check_signature(name, inputs, outputs)
    return metadata


EMPTY = memoryview(b"")
"""Protobuf leaves out what is empty."""


def _walk(kind: str, message: memoryview, depth: int = 0) -> Iterator[tuple[str, memoryview]]:
    """Every message that CHILDREN leads to, as (kind, its bytes), outer ones first."""
    if depth > MAX_DEPTH:
        raise MalformedError(f"messages nested deeper than {MAX_DEPTH}")
    yield kind, message
    children = CHILDREN.get(kind, {})
    if children:
        for number, value in read_fields(message):
            if number in children:
                yield from _walk(children[number], as_message(value), depth + 1)


def _check_tensor(name: str, message: memoryview, file_bytes: int) -> None:
    """Refuse weights of another file, and shapes that these bytes cannot fill."""
    dims: list[int] = []
    for number, value in read_fields(message):
        if number == TENSOR_DIMS:
            dims += read_varints(value)
        elif number == TENSOR_EXTERNAL_DATA or (
            number == TENSOR_DATA_LOCATION and value == LOCATION_EXTERNAL
        ):
            raise ValueError(
                f"{name}: keeps weights in another file (external data); expected one file with "
                "everything inside"
            )
    if math.prod(dims) > MAX_NUMBERS_PER_BYTE * file_bytes:
        shape = " x ".join(map(str, dims))
        raise ValueError(f"{name}: claims a tensor of {shape} in a file of {file_bytes} bytes")


def _check_domain(name: str, kind: str, message: memoryview) -> None:
    wanted = OPSET_DOMAIN if kind == "opset" else NODE_DOMAIN
    for number, value in read_fields(message):
        if number == wanted and as_text(value) not in STANDARD_DOMAINS:
            raise ValueError(
                f"{name}: uses operators of the domain {as_text(value)!r}; only standard ONNX is "
                "accepted"
            )


def _read_input(message: memoryview) -> tuple[str, int, int]:
    """Name, element type and number of dimensions of a ValueInfoProto."""
    fields = dict(read_fields(message))
    kind = dict(read_fields(as_message(fields.get(2, EMPTY))))
    tensor = dict(read_fields(as_message(kind.get(1, EMPTY))))
    shape = list(read_fields(as_message(tensor.get(2, EMPTY))))
    element = tensor.get(1, 0)
    return as_text(fields.get(1, EMPTY)), element if isinstance(element, int) else 0, len(shape)


def _check_metadata(name: str, properties: Mapping[str, str]) -> dict[str, Any]:
    if METADATA_KEY not in properties:
        raise ValueError(
            f"{name}: has no {METADATA_KEY!r} metadata; expected a file of `potstill export`"
        )
    try:
        metadata = json.loads(properties[METADATA_KEY])
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}: metadata {METADATA_KEY!r} is not JSON ({error})") from None
    schema = metadata.get("schema") if isinstance(metadata, dict) else None
    if schema != SCHEMA_VERSION:
        raise ValueError(
            f"{name}: metadata has schema {schema!r}, this predictor reads {SCHEMA_VERSION}; "
            "export the student again, or use the predictor that came with the file"
        )
    wrong = [key for key, kind in REQUIRED_METADATA.items() if key not in metadata]
    if wrong:
        raise ValueError(f"{name}: metadata lacks {', '.join(wrong)}; export the student again")
    wrong = [key for key, kind in REQUIRED_METADATA.items() if not isinstance(metadata[key], kind)]
    if wrong:
        raise ValueError(f"{name}: metadata has another type of {', '.join(wrong)} than expected")
    return metadata


def _check_signature(name: str, inputs: list[tuple[str, int, int]], outputs: list[str]) -> None:
    if inputs != [(INPUT_NAME, UINT8, 4)]:
        found = ", ".join(f"{input_name!r} of {rank} dimensions" for input_name, _, rank in inputs)
        raise ValueError(
            f"{name}: expected one input {INPUT_NAME!r}, uint8 (N, H, W, 3), found "
            f"{found or 'none'}" + (", not uint8" if inputs and inputs[0][1] != UINT8 else "")
        )
    unknown = sorted(set(outputs) - set(OUTPUTS))
    if unknown:
        raise ValueError(f"{name}: unknown outputs {unknown}; expected some of {list(OUTPUTS)}")

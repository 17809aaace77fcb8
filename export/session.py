"""The predictor for devices: one ONNX file, numpy and onnxruntime, nothing else.

    from export.session import Predictor

    predict = Predictor("student_fp32.onnx")
    prediction = predict(photograph)            # (H, W, 3) uint8 RGB
    prediction.depth_m, prediction.normal, prediction.segment, prediction.confidence

The file is inspected before onnxruntime opens it: weights that lie outside the file, operators of
unknown domains and metadata of another schema are refused. This module may be copied alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import (
    NotImplemented as NotSupported,
)

SCHEMA_VERSION = 1
METADATA_KEY = "potstill"
INPUT_NAME = "image"
STANDARD_DOMAINS = ("", "ai.onnx")
REQUIRED_METADATA = ("tasks", "classes", "multiple_px", "depth_kind", "trained_px")
SESSION_ERRORS = (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotSupported,
    RuntimeException,
    RuntimeError,
)
OUTPUTS = ("depth_m", "normal", "segment", "confidence")


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a student says of one photograph, or of N with a leading axis N on every array.

    A task that the student was not trained on is None.
    """

    depth_m: np.ndarray | None
    """(H, W) float32 > 0: metres along the optical axis, or 0..1 where depth_kind is "affine"."""
    normal: np.ndarray | None
    """(H, W, 3) float32 unit vectors, camera axes: +x right, +y up, +z towards the camera."""
    segment: np.ndarray | None
    """(H, W) uint8 class ids; the id is the index into `classes`."""
    confidence: np.ndarray | None
    """(H, W) float32 0..1: the softmax probability of the chosen class."""
    classes: tuple[str, ...]

    def __getitem__(self, index: int) -> "Prediction":
        """One photograph's prediction out of a batch."""
        arrays = {name: getattr(self, name) for name in OUTPUTS}
        chosen = {name: None if a is None else a[index] for name, a in arrays.items()}
        return Prediction(**chosen, classes=self.classes)


class Predictor:
    """Run an exported student on uint8 photographs of any height and width."""

    def __init__(
        self,
        model: str | Path | bytes,
        *,
        threads: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ):
        """Check the model, then open it.

        model: the ONNX file, or its bytes.
        threads: CPU threads inside an operator; None lets onnxruntime take every core.
        providers: execution providers in order of preference, as onnxruntime spells them.
        Raises FileNotFoundError or ValueError in one line when the model will not do.
        """
        self.name = "ONNX model" if isinstance(model, bytes) else str(model)
        data = model if isinstance(model, bytes) else _read_bytes(Path(model))
        self.metadata = inspect_model(data, self.name)
        self.tasks: tuple[str, ...] = tuple(self.metadata["tasks"])
        self.classes: tuple[str, ...] = tuple(self.metadata["classes"])
        self.multiple_px: int = self.metadata["multiple_px"]
        self.session = _open_session(data, self.name, threads, providers)
        self.outputs = [output.name for output in self.session.get_outputs()]
        _check_signature(self.name, self.session)

    def __call__(self, image: np.ndarray) -> Prediction:
        """Predict for (H, W, 3) or (N, H, W, 3) uint8 sRGB; the arrays have the input's size.

        Raises ValueError naming the shape and dtype when the image is something else.
        """
        self._check_image(image)
        batch = np.ascontiguousarray(image if image.ndim == 4 else image[None])
        values = self.session.run(self.outputs, {INPUT_NAME: batch})
        found = {name: np.asarray(value) for name, value in zip(self.outputs, values)}
        prediction = Prediction(**{name: found.get(name) for name in OUTPUTS}, classes=self.classes)
        return prediction if image.ndim == 4 else prediction[0]

    def _check_image(self, image: np.ndarray) -> None:
        shape, dtype = getattr(image, "shape", ""), getattr(image, "dtype", "")
        if not isinstance(image, np.ndarray) or dtype != np.uint8 or image.ndim not in (3, 4):
            raise ValueError(
                "image: expected a numpy array, uint8 RGB, (H, W, 3) or (N, H, W, 3), found "
                f"{type(image).__name__} {dtype} {shape}".rstrip()
            )
        height, width, channels = image.shape[-3:]
        if channels != 3 or image.size == 0 or min(height, width) < self.multiple_px:
            raise ValueError(
                f"image: shape {image.shape}; {self.name} needs 3 channels and at least "
                f"{self.multiple_px} x {self.multiple_px} px"
            )


def inspect_model(model: bytes, name: str) -> dict[str, Any]:
    """Check the bytes of an ONNX file without running it, and return its metadata.

    Raises ValueError when the bytes are not ONNX, keep weights in another file, use operators that
    are not standard, or carry no metadata of this schema. `name` is what messages call it.
    """
    properties: dict[str, str] = {}
    try:
        for kind, number, value in _walk("model", memoryview(model)):
            _refuse_foreign(name, kind, number, value)
            if (kind, number) == ("model", MODEL_METADATA):
                entry = dict(_fields(_view(value)))
                properties[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
    except _MalformedError as error:
        raise ValueError(f"{name}: not an ONNX file, or cut short ({error})") from None
    return _check_metadata(name, properties)


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such ONNX file; write one with `potstill export`")
    return path.read_bytes()


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
    missing = [key for key in REQUIRED_METADATA if key not in metadata]
    if missing:
        raise ValueError(f"{name}: metadata lacks {', '.join(missing)}; export the student again")
    return metadata


def _open_session(
    model: bytes, name: str, threads: int | None, providers: Sequence[str]
) -> onnxruntime.InferenceSession:
    """Open the bytes that were inspected, not the file again: it may have changed since."""
    available = onnxruntime.get_available_providers()
    unknown = sorted(set(providers) - set(available))
    if unknown:
        raise ValueError(
            f"providers: this onnxruntime offers {', '.join(available)}, not {', '.join(unknown)}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        return onnxruntime.InferenceSession(model, options, providers=list(providers))
    except SESSION_ERRORS as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: onnxruntime cannot open it: {reason}") from error


def _check_signature(name: str, session: onnxruntime.InferenceSession) -> None:
    inputs = [(i.name, i.type, len(i.shape)) for i in session.get_inputs()]
    if inputs != [(INPUT_NAME, "tensor(uint8)", 4)]:
        raise ValueError(
            f"{name}: expected one input {INPUT_NAME!r}, uint8 (N, H, W, 3), found {inputs}"
        )
    unknown = sorted({output.name for output in session.get_outputs()} - set(OUTPUTS))
    if unknown:
        raise ValueError(f"{name}: unknown outputs {unknown}; expected some of {list(OUTPUTS)}")


# The ONNX file format, as far as it must be read to trust a file. ONNX is protobuf; the numbers
# are the field numbers of onnx.proto. Only messages that lead to a tensor or a domain are entered.

MODEL_METADATA = 14
OPSET_DOMAIN, NODE_DOMAIN = 1, 7
TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION, LOCATION_EXTERNAL = 13, 14, 1
MAX_DEPTH = 32

CHILDREN: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 8: "opset", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "opset": {},
}


class _MalformedError(Exception):
    """The bytes are no protobuf message."""


def _refuse_foreign(name: str, kind: str, number: int, value: int | memoryview) -> None:
    external = kind == "tensor" and (
        number == TENSOR_EXTERNAL_DATA
        or (number == TENSOR_DATA_LOCATION and value == LOCATION_EXTERNAL)
    )
    if external:
        raise ValueError(
            f"{name}: keeps weights in another file (external data); expected one file with "
            "everything inside"
        )
    if (kind, number) in (("opset", OPSET_DOMAIN), ("node", NODE_DOMAIN)):
        domain = _text(value)
        if domain not in STANDARD_DOMAINS:
            raise ValueError(
                f"{name}: uses operators of the domain {domain!r}; only standard ONNX is accepted"
            )


def _walk(
    kind: str, message: memoryview, depth: int = 0
) -> Iterator[tuple[str, int, int | memoryview]]:
    """Every field of the messages that CHILDREN leads to, as (message kind, number, value)."""
    if depth > MAX_DEPTH:
        raise _MalformedError(f"messages nested deeper than {MAX_DEPTH}")
    for number, value in _fields(message):
        yield kind, number, value
        child = CHILDREN[kind].get(number)
        if child is not None:
            yield from _walk(child, _view(value), depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one protobuf message: an int for a varint, otherwise a view of the bytes."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire = tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, position = _varint(message, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise _MalformedError(f"wire type {wire}")
        if position + size > len(message):
            raise _MalformedError("a field ends beyond the file")
        yield tag >> 3, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _MalformedError("a number without an end")


def _view(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _MalformedError("a number where a message was expected")
    return value


def _text(value: int | memoryview | bytes) -> str:
    if isinstance(value, int):
        raise _MalformedError("a number where text was expected")
    return bytes(value).decode("utf-8", errors="replace")

"""How large the values inside a graph become, seen on photographs: what INT8 has 256 steps for."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto

from export.session import INPUT_NAME

SHARES = (1.0, 0.9999)
"""Of the values of one photograph that a range holds: all of them, or all but the outliers."""

SAMPLED = 2**16
"""Values of one photograph, evenly spread, in which outliers are looked for: sorting takes time."""

Ranges = dict[str, tuple[np.float32, np.float32]]
"""Name of a value in the graph -> its smallest and its largest"""


def observe_ranges(
    model: ModelProto, names: Sequence[str], photographs: Sequence[np.ndarray]
) -> dict[float, Ranges]:
    """Share -> the ranges that hold so much of each photograph's values.

    names: of the values, each an output of some node or the graph's input. photographs: (H, W, 3)
    uint8. Raises ValueError without photographs, and naming a value that is not finite.
    """
    if not len(photographs):
        raise ValueError(
            "calibration: expected photographs, found none; give some with --images, such as "
            "those that the student learned from"
        )
    session = _open(model, names)
    found: dict[float, Ranges] = {share: {} for share in SHARES}
    for photograph in photographs:
        values = session.run(list(names), {INPUT_NAME: photograph[None]})
        for name, value in zip(names, values):
            _widen(found, name, np.asarray(value).ravel())
    return found


def _open(model: ModelProto, names: Sequence[str]) -> onnxruntime.InferenceSession:
    """A session that also gives out the named values."""
    watched = ModelProto()
    watched.CopyFrom(model)
    given = {output.name for output in watched.graph.output}
    extra = [onnx.helper.make_empty_tensor_value_info(n) for n in names if n not in given]
    watched.graph.output.extend(extra)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _widen(found: dict[float, Ranges], name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            f"calibration: {name} is not finite on a photograph, so it has no INT8 range"
        )
    sampled = values[:: -(-values.size // SAMPLED)]
    for share, ranges in found.items():
        low, high = _ends(values) if share == 1 else np.quantile(sampled, [1 - share, share])
        before = ranges.get(name, (low, high))
        ranges[name] = (np.float32(min(before[0], low)), np.float32(max(before[1], high)))


def _ends(values: np.ndarray) -> tuple[np.float32, np.float32]:
    return values.min(), values.max()

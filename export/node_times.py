"""Where the time of an ONNX file goes: onnxruntime's own profile, added up by operator."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime

from export.session import INPUT_NAME

RUNS = 20
INTERNAL_NAMES = {"FusedMatMul": "MatMul", "FusedConv": "Conv", "FusedGemm": "Gemm"}
"""What onnxruntime makes of an operator when it opens a file -> the operator."""


def operator_shares(model: bytes, photographs: np.ndarray, threads: int) -> dict[str, float]:
    """Operator -> its share of the time of all operators, the largest first.

    photographs: (N, H, W, 3) uint8, one batch.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(RUNS):
            session.run(None, {INPUT_NAME: photographs})
        events = json.loads(Path(session.end_profiling()).read_text())
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            kind = str(event["args"]["op_name"])
            spent[INTERNAL_NAMES.get(kind, kind)] += event["dur"]
    total = spent.total()
    return {kind: duration / total for kind, duration in spent.most_common()}

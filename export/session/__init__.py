"""The predictor for devices: one ONNX file, numpy and onnxruntime, nothing else.

    from export.session import Predictor

    predict = Predictor("student_fp32.onnx")
    prediction = predict(photograph)            # (H, W, 3) uint8 RGB
    prediction.depth_m, prediction.normal, prediction.segment, prediction.confidence

On the device that a file was made for, `python -m export.session verify student.onnx golden/`
replays photographs whose outputs are known, and says how near it comes and how long it takes.

This folder imports nothing of Potstill: it may be copied alone, then it is called `session`
(`from session import Predictor`, `python -m session verify student.onnx golden/`).
"""

from .model_file import (
    INPUT_NAME,
    METADATA_KEY,
    OUTPUTS,
    SCHEMA_VERSION,
    inspect_model,
)
from .predictor import MAX_PIXELS, Prediction, Predictor
from .providers import CPU_ONLY

__all__ = [
    "CPU_ONLY",
    "INPUT_NAME",
    "MAX_PIXELS",
    "METADATA_KEY",
    "OUTPUTS",
    "SCHEMA_VERSION",
    "Prediction",
    "Predictor",
    "inspect_model",
]

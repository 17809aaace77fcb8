"""An onnxruntime session with a clock on it, which excludes what is no matter of the network.

On a GPU that is the way of the pixels there and of the outputs back: both are bound to its memory
before the clock starts. A file of one size also runs as a CUDA graph there.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

CUDA = "CUDAExecutionProvider"
GPU_PROVIDERS = (CUDA, "TensorrtExecutionProvider")


class TimedSession:
    """Takes the place of an InferenceSession, and adds up how long it ran.

    A file of one size is called for each photograph of a batch.
    """

    def __init__(self, session: onnxruntime.InferenceSession, size_px: tuple[int, int]) -> None:
        """size_px: height and width of what it is run on."""
        self.session, self.size_px = session, size_px
        self.provider: str = session.get_providers()[0]
        self.core_ms = 0.0

    def run(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[Any]:
        """As InferenceSession.run."""
        start = time.perf_counter()
        values = self.session.run(outputs, inputs)
        self.core_ms += (time.perf_counter() - start) * 1000
        return list(values)


class BoundSession(TimedSession):
    """The same with inputs and outputs in the memory of a device, at addresses that stay.

    Every call must have the shape of the first one: a CUDA graph replays what was recorded.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, size_px: tuple[int, int], device: str = "cuda"
    ) -> None:
        super().__init__(session, size_px)
        self.device = device
        self.binding = session.io_binding()
        self.given: dict[str, onnxruntime.OrtValue] = {}

    def run(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[Any]:
        """As InferenceSession.run, less the copies on the clock."""
        if not self.given:
            self._bind(outputs, inputs)
        for name, array in inputs.items():
            self.given[name].update_inplace(array)
        self.binding.synchronize_inputs()
        start = time.perf_counter()
        self.session.run_with_iobinding(self.binding)
        self.binding.synchronize_outputs()
        self.core_ms += (time.perf_counter() - start) * 1000
        return self.binding.copy_outputs_to_cpu()

    def _bind(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> None:
        """Give every value a place; how large the outputs are is seen from a first call."""
        place = onnxruntime.OrtValue.ortvalue_from_numpy
        self.given = {name: place(array, self.device, 0) for name, array in inputs.items()}
        for name, value in self.given.items():
            self.binding.bind_ortvalue_input(name, value)
        sizes = self.session.run(outputs, inputs)
        for name, array in zip(outputs, sizes):
            self.binding.bind_ortvalue_output(name, place(np.asarray(array), self.device, 0))


def put_clock_on(
    session: onnxruntime.InferenceSession, model: bytes, size_px: tuple[int, int], *, fixed: bool
) -> TimedSession:
    """A timed session for the processor that a session runs on.

    model: the file's bytes. fixed: whether it takes one size alone, so that CUDA may record it.
    """
    provider = session.get_providers()[0]
    if provider not in GPU_PROVIDERS:
        return TimedSession(session, size_px)
    if provider == CUDA and fixed:
        options = {"enable_cuda_graph": "1"}
        session = onnxruntime.InferenceSession(model, providers=[(CUDA, options)])
    return BoundSession(session, size_px)

"""Photographs in; metres, unit normals, class ids and confidence out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .model_file import INPUT_NAME, OUTPUTS, inspect_model, read_model
from .providers import CPU_ONLY, Providers, open_session

MAX_PIXELS = 2**24
"""Of all photographs of a call together: 16.8 million, such as 4096 x 4096."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a student says of one photograph, or of N with a leading axis N on every array.

    A task that the student was not trained on is None.
    """

    depth_m: np.ndarray | None
    """(H, W) float32 > 0: metres along the optical axis, inf = sky; or 0..1 where depth_kind is
    "affine"."""
    normal: np.ndarray | None
    """(H, W, 3) float32 unit vectors, camera axes: +x right, +y up, +z towards the camera."""
    segment: np.ndarray | None
    """(H, W) uint8 class ids; the id is the index into `classes`."""
    confidence: np.ndarray | None
    """(H, W, T) float32 0..1, 1 = certain; one channel for each of `tasks`."""
    classes: tuple[str, ...]
    tasks: tuple[str, ...]

    def __getitem__(self, index: int) -> "Prediction":
        """One photograph's prediction out of a batch."""
        arrays = {name: getattr(self, name) for name in OUTPUTS}
        chosen = {name: None if a is None else a[index] for name, a in arrays.items()}
        return Prediction(**chosen, classes=self.classes, tasks=self.tasks)


class Predictor:
    """Run an exported student on uint8 photographs of any height and width."""

    def __init__(
        self,
        model: str | Path | bytes,
        *,
        threads: int | None = None,
        providers: Providers = CPU_ONLY,
        engine_cache: Path | None = None,
        max_pixels: int = MAX_PIXELS,
    ):
        """Check the model, then open it.

        model: the ONNX file, or its bytes.
        threads: CPU threads inside an operator; None lets onnxruntime take every core.
        providers: execution providers in order of preference, as onnxruntime spells them; or
            "auto", the first of TensorRT, CUDA, OpenVINO, CoreML and CPU that starts here.
        engine_cache: folder of your own for what TensorRT builds. Never take one from somebody
            else: engines are programs.
        max_pixels: the most that one call takes, its photographs together.
        Raises FileNotFoundError or ValueError in one line when the model will not do.
        """
        self.name = "ONNX model" if isinstance(model, bytes) else str(model)
        data = model if isinstance(model, bytes) else read_model(Path(model))
        self.metadata: dict[str, Any] = inspect_model(data, self.name)
        self.tasks: tuple[str, ...] = tuple(self.metadata["tasks"])
        self.classes: tuple[str, ...] = tuple(self.metadata["classes"])
        self.multiple_px: int = self.metadata["multiple_px"]
        self.max_pixels = max_pixels
        self.session = open_session(
            data, self.name, threads=threads, providers=providers, engine_cache=engine_cache
        )
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.input_shape: list[int | str] = self.session.get_inputs()[0].shape

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Height and width of a file that takes no other size; None for a file that takes any."""
        height, width = self.input_shape[1:3]
        if isinstance(height, int) and isinstance(width, int):
            return height, width
        return None

    def __call__(self, image: np.ndarray) -> Prediction:
        """Predict for (H, W, 3) or (N, H, W, 3) uint8 sRGB; the arrays have the input's size.

        Raises ValueError naming the shape and dtype when the image is something else.
        """
        self._check_type(image)
        batch = np.ascontiguousarray(image if image.ndim == 4 else image[None])
        self._check_shape(batch)
        values = self.session.run(self.outputs, {INPUT_NAME: batch})
        found = {name: np.asarray(value) for name, value in zip(self.outputs, values)}
        prediction = Prediction(
            **{name: found.get(name) for name in OUTPUTS}, classes=self.classes, tasks=self.tasks
        )
        return prediction if image.ndim == 4 else prediction[0]

    def _check_type(self, image: np.ndarray) -> None:
        shape, dtype = getattr(image, "shape", ""), getattr(image, "dtype", "")
        if not isinstance(image, np.ndarray) or dtype != np.uint8 or image.ndim not in (3, 4):
            raise ValueError(
                "image: expected a numpy array, uint8 RGB, (H, W, 3) or (N, H, W, 3), found "
                f"{type(image).__name__} {dtype} {shape}".rstrip()
            )

    def _check_shape(self, batch: np.ndarray) -> None:
        """batch: (N, H, W, C) uint8"""
        count, height, width, channels = batch.shape
        if channels != 3 or batch.size == 0 or min(height, width) < self.multiple_px:
            raise ValueError(
                f"image: shape {batch.shape}; {self.name} needs 3 channels and at least "
                f"{self.multiple_px} x {self.multiple_px} px"
            )
        if count * height * width > self.max_pixels:
            raise ValueError(
                f"image: shape {batch.shape} has {count * height * width} pixels, more than "
                f"max_pixels={self.max_pixels}; make it smaller first"
            )
        fixed = [(at, n) for at, n in enumerate(self.input_shape) if isinstance(n, int)]
        if any(batch.shape[at] != n for at, n in fixed):
            wanted = ", ".join(map(str, self.input_shape))
            raise ValueError(f"image: shape {batch.shape}; {self.name} takes ({wanted}) only")

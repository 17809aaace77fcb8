"""numpy or torch: what the depth codecs need and the two spell differently, so that a codec is
written once.

torch is never imported here: whoever passes a tensor has done so.
"""

import sys
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A numpy array or a torch tensor; results are of the same kind, on the same device."""
Reader: TypeAlias = Callable[[Array], tuple[Array, ...]]

CACHE_NUMBERS = 1 << 19
"""What numpy works on in one pass: 2 MB, which stay in the processor's cache."""
DEVICE_NUMBERS = 1 << 28
"""What torch works on in one pass: 1 GB."""
WIDTH = 32
"""Numbers that most readers keep for one colour."""


class Arrays(Protocol):
    """The operations of one library, on one device."""

    minimum: Callable[..., Array]
    where: Callable[..., Array]
    sqrt: Callable[..., Array]
    rint: Callable[..., Array]

    def cast(self, array: Array, dtype: str) -> Array: ...

    def stack(self, channels: list[Array]) -> Array:
        """Arrays of one shape along a new last axis."""
        ...

    def table(self, make: Callable[..., np.ndarray], *arguments: Any) -> Array:
        """What the cached function `make` returns; on a device it is copied there once."""
        ...

    def in_passes(self, read: Reader, colors: Array, width: int = WIDTH) -> tuple[Array, ...]:
        """Apply a function (N, 3) -> arrays (N,) to colours (..., 3), as many at once as is good.

        width: numbers that it keeps for each colour.
        """
        ...


class NumpyArrays:
    """See Arrays."""

    def __init__(self) -> None:
        self.minimum, self.where, self.sqrt, self.rint = np.minimum, np.where, np.sqrt, np.rint

    def cast(self, array: np.ndarray, dtype: str) -> np.ndarray:
        return array.astype(dtype, copy=False)

    def stack(self, channels: list[np.ndarray]) -> np.ndarray:
        return np.stack(channels, axis=-1)

    def table(self, make: Callable[..., np.ndarray], *arguments: Any) -> np.ndarray:
        return make(*arguments)

    def in_passes(self, read: Reader, colors: Array, width: int = WIDTH) -> tuple[Array, ...]:
        return _in_passes(read, colors, CACHE_NUMBERS // width, np.concatenate)


class TorchArrays:
    """See Arrays. Nothing here waits for the device, save a table's first use."""

    def __init__(self, torch: Any, device: Any) -> None:
        self.torch, self.device = torch, device
        self.minimum, self.where, self.sqrt = torch.minimum, torch.where, torch.sqrt
        self.rint = torch.round  # halves to even, as numpy does

    def cast(self, array: Array, dtype: str) -> Array:
        return array.to(getattr(self.torch, dtype))

    def stack(self, channels: list[Array]) -> Array:
        return self.torch.stack(channels, dim=-1)

    def table(self, make: Callable[..., np.ndarray], *arguments: Any) -> Array:
        key = make, arguments, self.device
        if key not in _TABLES:
            _TABLES[key] = self.torch.tensor(make(*arguments), device=self.device)
        return _TABLES[key]

    def in_passes(self, read: Reader, colors: Array, width: int = WIDTH) -> tuple[Array, ...]:
        return _in_passes(read, colors, DEVICE_NUMBERS // width, self.torch.cat)


def _in_passes(read: Reader, colors: Array, count: int, join: Callable) -> tuple[Array, ...]:
    flat = colors.reshape(-1, 3)
    parts = [read(flat[at : at + count]) for at in range(0, max(len(flat), 1), count)]
    columns = parts[0] if len(parts) == 1 else [join(column) for column in zip(*parts)]
    return tuple(column.reshape(colors.shape[:-1]) for column in columns)


_TABLES: dict[tuple, Array] = {}
"""Function, its arguments, device -> tensor. As few as there are codecs in use."""
_NUMPY = NumpyArrays()


def is_tensor(value: Any) -> bool:
    """Whether a value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def dtype_name(array: Array) -> str:
    """float32, uint8, bfloat16, ..., whatever the library and the order of bytes."""
    return str(getattr(array.dtype, "name", array.dtype)).removeprefix("torch.")


def arrays_of(array: Array) -> Arrays:
    """The library, and the device, that an array belongs to."""
    if is_tensor(array):
        return TorchArrays(sys.modules["torch"], array.device)
    return _NUMPY

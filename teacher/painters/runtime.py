"""How a teacher's networks are run: where, in which arithmetic, how fast, in how much memory."""

import importlib.util
from dataclasses import dataclass

DTYPES = ("float32", "bfloat16", "float16")
QUANTIZED = ("nf4",)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Options of a loaded teacher that are no part of which teacher it is.

    Raises ValueError for values that make no sense and for packages that are not installed.
    """

    device: str = "cpu"
    """cpu, cuda or cuda:N."""
    dtype: str = "float32"
    """Arithmetic, one of DTYPES."""
    compile: bool = False
    """Compile the transformer's repeated blocks with torch.compile, once for all of them."""
    attention: str | None = None
    """An attention backend of diffusers, such as "flash" or "_native_cudnn"; None = PyTorch's own
    scaled_dot_product_attention, which picks the fastest kernel for device, dtype and shape."""
    max_memory_gib: float | None = None
    """Device memory for the weights. A transformer that does not fit is kept in host memory and
    passes through the device block by block; None = no limit."""
    quantize: str | None = None
    """"nf4": hold the transformer's weights in 4 bits (package bitsandbytes)."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, found {self.dtype!r}")
        if self.max_memory_gib is not None and not self.max_memory_gib > 0:
            raise ValueError(f"max_memory_gib must be above 0, found {self.max_memory_gib}")
        if self.quantize not in (None, *QUANTIZED):
            raise ValueError(f"quantize must be one of {QUANTIZED}, found {self.quantize!r}")
        if self.quantize and importlib.util.find_spec("bitsandbytes") is None:
            raise ValueError(
                "quantize nf4 needs the package bitsandbytes, which is not installed: "
                "pip install bitsandbytes"
            )


ON_CPU = Runtime()

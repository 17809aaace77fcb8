"""How fast a device could be: what is published for it, or else one large matrix product."""

import time
from typing import NamedTuple

import torch

PUBLISHED_TFLOPS = {
    "H200": 989,
    "H100 PCIe": 756,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "RTX 4090": 165,
}
"""Part of a device's name -> dense bfloat16 or float16 with float32 sums, of NVIDIA's data sheets.
The first that matches counts."""

SIDE = {"cuda": 8192, "cpu": 1024}
"""Of the matrices that are multiplied where nothing is published."""

TRIALS = 10
"""Short ones: the best of them is one that nothing else on the machine disturbed."""


class Peak(NamedTuple):
    flops: float
    """Floating-point operations a second; a multiplication and an addition are two."""
    source: str


def peak_of(device: torch.device, dtype: torch.dtype) -> Peak:
    """The peak of a device in an arithmetic."""
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        name = torch.cuda.get_device_name(device)
        for part, tflops in PUBLISHED_TFLOPS.items():
            if part in name:
                return Peak(tflops * 1e12, f"data sheet of {part}")
    side = SIDE.get(device.type, SIDE["cpu"])
    return Peak(_measured(device, dtype, side), f"product of two matrices of {side} x {side}")


def _measured(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Of the best trial."""
    one, other = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(2))
    (one @ other).sum().item()  # waits for the device
    seconds = []
    for _ in range(TRIALS):
        started = time.perf_counter()
        (one @ other)[0, 0].item()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)

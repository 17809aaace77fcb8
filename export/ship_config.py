"""What `potstill export` is asked for."""

import re
from dataclasses import dataclass
from pathlib import Path

PRECISIONS = ("fp32", "fp16", "int8", "int8_dynamic")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a trained student as ONNX, and check every file against PyTorch."""

    student: Path
    """Folder of `potstill train` (student.safetensors, student.json)."""
    out: Path
    """Folder for student_fp32.onnx and the others."""
    images: Path | None = None
    """Photographs to check the files with, and to calibrate INT8: image shards or a folder of image
    files. Without it, rendered scenes are taken."""
    labels: Path | None = None
    """Folder of label shards of these photographs: the files are scored against them too."""
    precisions: tuple[str, ...] = ("fp32",)
    """Files to write besides fp32, which is always written: fp16 (for GPUs); int8 and int8_dynamic
    (for CPUs; written only where near enough and faster on this machine)."""
    size: str | None = None
    """HxW: also write files that take one photograph of this height and width in pixels and nothing
    else (for TensorRT, NPUs, CUDA graphs)."""
    licence: str | None = None
    """Licence of the student's weights, such as Apache-2.0, for the file's metadata."""
    bundle: bool = False
    """Also write OUT/bundle: the files, photographs with known outputs, and the predictor, to copy
    to a device."""
    force: bool = False
    """Write files even if they do not agree with PyTorch; their metadata then says so."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.precisions if name not in PRECISIONS]
        if unknown or not self.precisions:
            raise ValueError(
                f"--precisions: expected some of {', '.join(PRECISIONS)}, found "
                f"{unknown[0] if unknown else 'none'!r}"
            )
        if self.size is not None:
            parse_size(self.size)


def parse_size(size: str) -> tuple[int, int]:
    """ "480x640" -> (480, 640). Raises ValueError for anything else."""
    if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", size):
        raise ValueError(f"--size: expected HEIGHTxWIDTH in pixels such as 480x640, found {size!r}")
    height, width = size.split("x")
    return int(height), int(width)

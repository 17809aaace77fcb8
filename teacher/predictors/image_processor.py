"""What preprocessor_config.json says of the pictures that a network of transformers wants.

Its numbers are read, its resizing is not run: a photograph keeps its aspect ratio and meets every
labeller through the one rule of teacher.photograph. Loads no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacher.model_folder import read_json


@dataclass(frozen=True, kw_only=True)
class ImageProcessor:
    """From 8-bit pixels to a network's input: (pixel * scale - mean) / std."""

    scale: float
    mean: tuple[float, ...]
    """One number for each channel; 0 where nothing is normalised."""
    std: tuple[float, ...]
    """One number for each channel; 1 where nothing is normalised."""
    short_px: int | None
    """Short side of the pictures that the network was trained on; None = not stated."""
    multiple_px: int | None
    """Sides must be multiples of this; None = not stated."""
    pads: bool
    """Whether a border is laid around the picture."""


def read_image_processor(folder: Path) -> ImageProcessor:
    """Read preprocessor_config.json, or the part of processor_config.json that replaced it.

    Raises FileNotFoundError when there is neither, ValueError naming file and key otherwise.
    """
    path, fields = _stored_fields(folder)
    normalises = fields.get("do_normalize", "image_mean" in fields)  # GLPN does not
    return ImageProcessor(
        scale=_number(fields, "rescale_factor", path) if fields.get("do_rescale", True) else 1.0,
        mean=_channels(fields, "image_mean", path) if normalises else (0.0,) * 3,
        std=_channels(fields, "image_std", path) if normalises else (1.0,) * 3,
        short_px=_short_side(fields.get("size")),
        multiple_px=_multiple(fields),
        pads=bool(fields.get("do_pad", False)),
    )


def _stored_fields(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    path, nested = folder / "preprocessor_config.json", folder / "processor_config.json"
    if path.is_file():
        return path, read_json(path)
    fields = read_json(nested).get("image_processor") if nested.is_file() else None
    if isinstance(fields, dict):
        return nested, fields
    raise FileNotFoundError(
        f"{path} is missing: it says how the network wants its pictures, and stands in the model's "
        "repository beside config.json"
    )


def _number(fields: Mapping[str, Any], key: str, path: Path) -> float:
    value = fields.get(key, 1 / 255)
    if type(value) not in (int, float):
        raise ValueError(f"{path}: {key} must be a number, found {value!r}")
    return float(value)


def _channels(fields: Mapping[str, Any], key: str, path: Path) -> tuple[float, ...]:
    value = fields.get(key)
    numbers = value if isinstance(value, list) else ()
    if len(numbers) != 3 or not all(type(number) in (int, float) for number in numbers):
        raise ValueError(f"{path}: {key} must be three numbers, found {value!r}")
    return tuple(float(number) for number in numbers)


def _short_side(size: Any) -> int | None:
    """Of a size as transformers has written it over the years: a number, or one of two objects."""
    if isinstance(size, dict):
        sides = [size.get(key) for key in ("height", "width", "shortest_edge")]
        return min((side for side in sides if type(side) is int), default=None)
    return size if type(size) is int else None


def _multiple(fields: Mapping[str, Any]) -> int | None:
    """Some processors name it by what they resize to, others by what they pad to."""
    named = [fields.get(key) for key in ("ensure_multiple_of", "size_divisor")]
    return max((value for value in named if type(value) is int and value > 1), default=None)

"""Where a label came from: the part of label.json that the labeller states, checked both ways."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from teacher.strict_json import check_integer, check_sha256, check_text

RESIZE_RULES = ("stretch",)
PROMPT_KEYS = ("depth", "normal", "segment", "instance")
MAX_LABEL_PIXELS = 64 * 2**20
TEACHER_KEYS = ("path_or_hub_id", "revision", "weights_sha256", "licence", "layout")


@dataclass(frozen=True, kw_only=True)
class Record:
    """Provenance of one label: the photograph, the labeller and its settings.

    Raises ValueError naming the field when a value has the wrong type or lies outside its range.
    """

    photo_sha256: str
    """sha256 (64 hex digits) of the photograph's file: labels never meet another picture."""
    width_px: int
    """Width of the labels."""
    height_px: int
    """Height of the labels."""
    photo_width_px: int
    """Width of the photograph after its EXIF rotation."""
    photo_height_px: int
    """Height of the photograph after its EXIF rotation."""
    resize: str = "stretch"
    """How the photograph meets the labels: "stretch" is `resize_photograph` to width x height."""
    teacher: Mapping[str, str | int | None]
    """path_or_hub_id, revision, weights_sha256, licence, layout (null where unknown), and more."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Task -> the instruction that was given."""
    steps: int = 1
    """Denoising steps for each painting."""
    votes: int = 1
    """Paintings that were merged into each label."""
    dtype: str = "float32"
    """Arithmetic of the labeller."""
    seed: int = 0
    """Seed of the sample, 64 bits without a sign."""
    depth_codec: Mapping[str, Any] | None = None
    """The colours in which depth was painted, as JSON values; None if it was not painted."""
    palette: Mapping[str, Any] | None = None
    """The colours in which classes were painted; None if not painted."""
    intrinsics: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy in pixels of the labels, the centre of the first pixel at (0.5, 0.5)."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package -> version."""

    def __post_init__(self) -> None:
        check_sha256("photo_sha256", self.photo_sha256)
        for name in (
            "width_px",
            "height_px",
            "photo_width_px",
            "photo_height_px",
            "steps",
            "votes",
        ):
            check_integer(name, getattr(self, name), low=1, high=2**31 - 1)
        if self.width_px * self.height_px > MAX_LABEL_PIXELS:
            size = f"{self.width_px} x {self.height_px}"
            raise ValueError(f"width_px, height_px: {size} is more than {MAX_LABEL_PIXELS} pixels")
        check_integer("seed", self.seed, low=0, high=2**64 - 1)
        check_text("dtype", self.dtype)
        if self.resize not in RESIZE_RULES:
            raise ValueError(f"resize: expected one of {RESIZE_RULES}, found {self.resize!r}")
        self._set("teacher", _teacher(self.teacher))
        self._set("prompts", _texts("prompts", self.prompts, PROMPT_KEYS))
        self._set("versions", _texts("versions", self.versions))
        self._set("depth_codec", _plain_mapping("depth_codec", self.depth_codec))
        self._set("palette", _plain_mapping("palette", self.palette))
        self._set("intrinsics", _intrinsics(self.intrinsics))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _teacher(teacher: Any) -> dict[str, str | int | None]:
    """The mapping in canonical order; the keys that every label has are there, null if unknown."""
    if not isinstance(teacher, Mapping):
        raise ValueError(f"teacher: expected a mapping, found {type(teacher).__name__}")
    check_text("teacher.path_or_hub_id", teacher.get("path_or_hub_id"))
    for name, value in teacher.items():
        if not isinstance(name, str) or not isinstance(value, str | int | None):
            raise ValueError(f"teacher.{name}: expected text, integer or null, found {value!r}")
    extra = sorted(set(teacher) - set(TEACHER_KEYS))
    return {name: teacher.get(name) for name in (*TEACHER_KEYS, *extra)}


def _texts(name: str, value: Any, keys: tuple[str, ...] | None = None) -> dict[str, str]:
    """A mapping from text to text, in canonical order."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected a mapping, found {type(value).__name__}")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise ValueError(f"{name}.{key}: expected a text, found {text!r}")
        if keys is not None and key not in keys:
            raise ValueError(f"{name}: expected keys among {keys}, found {key!r}")
    return {key: value[key] for key in sorted(value)}


def _plain_mapping(name: str, value: Any) -> dict[str, Any] | None:
    """What JSON makes of a mapping (tuples become lists), so that a record equals its reading."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected a mapping or null, found {type(value).__name__}")
    try:
        return json.loads(json.dumps(dict(value), sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: does not fit into JSON: {error}") from error


def _intrinsics(value: Any) -> tuple[float, float, float, float] | None:
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, list | tuple) else ()
    if len(numbers) != 4 or not all(type(number) in (int, float) for number in numbers):
        raise ValueError(f"intrinsics: expected fx, fy, cx, cy as four numbers, found {value!r}")
    fx, fy, cx, cy = (float(number) for number in numbers)
    if not (0 < fx < float("inf") and 0 < fy < float("inf") and abs(cx) + abs(cy) < float("inf")):
        raise ValueError(f"intrinsics: expected fx, fy > 0 and finite numbers, found {value!r}")
    return fx, fy, cx, cy

"""What a teacher folder says of itself: teacher.json, and hashes of all that shapes a label."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacher.confidence import Calibration, read_calibration
from teacher.provenance import sha256_file

TEACHER_SCHEMA = 1
"""Version of teacher.json that this code reads."""

INSTRUCTIONS = ("depth", "normal", "segment", "generate")
"""What an instruction may ask for: one painting per task, or a picture of the generator's own."""

LEGEND_MARK = "@"
"""segment@2 asks for the classes in the colours of legend 2; plain segment is legend 0."""

STARTS = ("zeros", "noise")
"""Initial latents: zeros (deterministic, for one step) or gaussian noise from the row's seed."""

_NATIVE_KINDS = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}


@dataclass(frozen=True, kw_only=True)
class TeacherCard:
    """How a teacher wants to be used, and which teacher it is."""

    name: str
    licence: str
    """Licence of the weights, which the labels inherit their conditions from."""
    resolution_px: int
    """Short side of the photographs that the teacher was tuned on."""
    multiple_px: int
    """Height and width of a photograph must be multiples of this."""
    steps: int
    """Denoising steps of one painting."""
    start: str
    """Initial latents, one of STARTS."""
    classes: tuple[str, ...]
    """Names of the segmentation classes; id = index."""
    palette: tuple[tuple[int, int, int], ...]
    """Colour (0 to 255) of each class."""
    legends: tuple[tuple[tuple[int, int, int], ...], ...]
    """The palette, and further ones in which the same colours are dealt to other classes."""
    depth_codec: Mapping[str, Any]
    """Parameters of the depth colours, as teacher.depth.codec_to_json writes them."""
    instructions: Mapping[str, str]
    """Name of an instruction -> its text; the embeddings lie in instructions.safetensors."""
    path_or_hub_id: str
    """Where the teacher was loaded from, as the user wrote it."""
    revision: str | None
    """Commit of a hub repository; None for a folder."""
    layout: str
    """Class of the diffusers pipeline."""
    weights_sha256: str
    """Digest over all safetensors files."""
    config_sha256: str
    """Digest over all JSON files: scheduler, VAE scaling, palette, codec, steps, calibration."""
    calibration: Calibration | None = None
    """From the evidence of a pixel to confidence; None = not calibrated."""

    def identity(self) -> dict[str, str | int | None]:
        """Which teacher this is, as every label records it."""
        names = (
            "path_or_hub_id",
            "revision",
            "weights_sha256",
            "config_sha256",
            "licence",
            "layout",
        )
        return {name: getattr(self, name) for name in names}


def segment_instruction(legend: int) -> str:
    """Name of the instruction that asks for the classes in the colours of a legend."""
    return "segment" if legend == 0 else f"segment{LEGEND_MARK}{legend}"


def task_of(instruction: str) -> str:
    """The task that an instruction asks for: segment for segment@2."""
    return instruction.partition(LEGEND_MARK)[0]


def legend_of(instruction: str) -> int:
    """The legend that an instruction names: 2 for segment@2, 0 without one."""
    return int(instruction.partition(LEGEND_MARK)[2] or 0)


def read_card(folder: Path, *, path_or_hub_id: str, revision: str | None = None) -> TeacherCard:
    """Read and check teacher.json and the pipeline's class, and hash the folder.

    Raises FileNotFoundError when a file of the folder is missing, ValueError for another schema,
    a missing field or a value that makes no sense; both name the file.
    """
    fields, further_palettes = _read_fields(folder / "teacher.json")
    card = TeacherCard(
        **fields,
        legends=(fields["palette"], *further_palettes),
        path_or_hub_id=path_or_hub_id,
        revision=revision,
        layout=_layout(folder / "model_index.json"),
        weights_sha256=_digest(folder, "*.safetensors"),
        config_sha256=_digest(folder, "*.json"),
        calibration=read_calibration(folder),
    )
    _check(card, folder / "teacher.json")
    return card


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a teacher folder; errors name the file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: a teacher folder holds model_index.json, teacher.json, "
            "instructions.safetensors and the folders transformer, vae and scheduler"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, found {type(value).__name__}")
    return value


def _layout(path: Path) -> str:
    """The pipeline's class; a list here would name custom code to import."""
    layout = read_json(path).get("_class_name")
    if not isinstance(layout, str):
        raise ValueError(
            f"{path}: _class_name must be the name of a diffusers pipeline: {layout!r}"
        )
    return layout


def _read_fields(path: Path) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """The fields of TeacherCard that teacher.json must hold, typed; then its further palettes."""
    stored = read_json(path)
    if stored.get("schema") != TEACHER_SCHEMA:
        raise ValueError(
            f"{path} has schema {stored.get('schema')!r}, this version reads {TEACHER_SCHEMA}: "
            "take the teacher that belongs to it, or the potstill version that wrote the folder"
        )
    read: dict[str, tuple[type, Callable[[Any], Any]]] = {
        "name": (str, str),
        "licence": (str, str),
        "resolution_px": (int, int),
        "multiple_px": (int, int),
        "steps": (int, int),
        "start": (str, str),
        "classes": (list, tuple),
        "palette": (list, _colors),
        "depth_codec": (dict, dict),
        "instructions": (dict, dict),
    }
    fields = {key: make(_field(stored, key, kind, path)) for key, (kind, make) in read.items()}
    legends = _field({"legends": [], **stored}, "legends", list, path)
    return fields, tuple(
        _colors(palette) if isinstance(palette, list) else () for palette in legends
    )


def _colors(palette: list[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(color) if isinstance(color, list) else (color,) for color in palette)


def _field(stored: Mapping[str, Any], key: str, kind: type, path: Path) -> Any:
    value = stored.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        found = "nothing" if key not in stored else repr(value)
        raise ValueError(f"{path}: {key!r} must be {_NATIVE_KINDS[kind]}, found {found}")
    return value


def _check(card: TeacherCard, path: Path) -> None:
    """Refuse what would fail, or silently mislabel, hours later."""
    asked = [segment_instruction(legend) for legend in range(len(card.legends))]
    known = (*INSTRUCTIONS, *asked[1:])
    problems = (
        (card.start not in STARTS, f"'start' must be one of {STARTS}, found {card.start!r}"),
        (card.steps < 1, f"'steps' must be at least 1, found {card.steps}"),
        (card.multiple_px < 1, f"'multiple_px' must be at least 1, found {card.multiple_px}"),
        (
            card.multiple_px >= 1
            and (card.resolution_px < 1 or card.resolution_px % card.multiple_px),
            f"'resolution_px' {card.resolution_px} is not a multiple of {card.multiple_px} px",
        ),
        (
            len(card.palette) != len(card.classes) or not card.classes,
            f"{len(card.classes)} classes but {len(card.palette)} colours: give one for each class",
        ),
        (
            not all(_is_color(color) for color in card.palette),
            "'palette' must hold three whole numbers from 0 to 255 for each class",
        ),
        (
            any(sorted(legend) != sorted(card.palette) for legend in card.legends),
            "each of 'legends' must deal the colours of 'palette' to the classes anew",
        ),
        (
            bool(set(card.instructions) - set(known)),
            f"unknown instructions {sorted(set(card.instructions) - set(known))}; "
            f"known: {', '.join(known)}",
        ),
        (
            "segment" in card.instructions and not set(asked) <= set(card.instructions),
            f"'legends' has {len(card.legends) - 1} further palettes, each of which needs an "
            f"instruction; missing: {sorted(set(asked) - set(card.instructions))}",
        ),
    )
    for wrong, message in problems:
        if wrong:
            raise ValueError(f"{path}: {message}")


def _is_color(color: tuple[Any, ...]) -> bool:
    return len(color) == 3 and all(type(part) is int and 0 <= part <= 255 for part in color)


def _digest(folder: Path, pattern: str) -> str:
    """One digest over the names and contents of all files that match, in a fixed order."""
    files = sorted(folder.rglob(pattern), key=lambda file: file.relative_to(folder).as_posix())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()} {sha256_file(file)}\n".encode())
    return digest.hexdigest()


def is_hub_id(text: str) -> bool:
    """Whether a text has the form OWNER/NAME of a repository on the Hugging Face hub."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", text) is not None

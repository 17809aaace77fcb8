"""What a teacher folder says of itself: teacher.json, and hashes of all that shapes a label."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacher.confidence import Calibration, read_calibration
from teacher.members import TASKS
from teacher.model_folder import IDENTITY, digest_files, read_json, read_layout
from teacher.painters.adapter import CARD, Adapter
from teacher.painters.stock import embeds_instructions, stock_fields, text_parts

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
    licence: str | None
    """Licence of the weights, which the labels inherit their conditions from; None = not stated in
    the folder, so unknown."""
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
    """Digest over all safetensors files but those of text encoders that are not needed."""
    config_sha256: str
    """Digest over all JSON files: scheduler, VAE scaling, palette, codec, steps, calibration."""
    adapter_sha256: str | None = None
    """Of a LoRA adapter, with the card and the instructions that lie beside it."""
    calibration: Calibration | None = None
    """From the evidence of a pixel to confidence; None = not calibrated."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it labels, in the order of TASKS."""
        return tuple(task for task in TASKS if task in self.instructions)

    @property
    def legend_count(self) -> int:
        """Ways in which its classes can be asked for."""
        return len(self.legends)

    @property
    def seeded(self) -> bool:
        """Whether another seed gives another painting."""
        return self.start != "zeros"

    def identity(self) -> dict[str, str | int | None]:
        """Which teacher this is, as every label records it."""
        identity = {name: getattr(self, name) for name in IDENTITY}
        if self.adapter_sha256 is None:
            return identity
        return {**identity, "adapter_sha256": self.adapter_sha256}


def segment_instruction(legend: int) -> str:
    """Name of the instruction that asks for the classes in the colours of a legend."""
    return "segment" if legend == 0 else f"segment{LEGEND_MARK}{legend}"


def task_of(instruction: str) -> str:
    """The task that an instruction asks for: segment for segment@2."""
    return instruction.partition(LEGEND_MARK)[0]


def legend_of(instruction: str) -> int:
    """The legend that an instruction names: 2 for segment@2, 0 without one."""
    return int(instruction.partition(LEGEND_MARK)[2] or 0)


def read_card(
    folder: Path,
    *,
    path_or_hub_id: str,
    revision: str | None = None,
    adapter: Adapter | None = None,
) -> TeacherCard:
    """Read and check teacher.json and the pipeline's class, and hash the folder.

    The adapter's teacher.json goes before the folder's; a generator that has neither, but text
    encoders, is asked as teacher.painters.stock says.
    Raises FileNotFoundError when a file of the folder is missing, ValueError for another schema,
    a missing field or a value that makes no sense; both name the file.
    """
    layout = read_layout(folder)
    stated = (adapter and adapter.card_folder) or folder
    if (stated / CARD).is_file() or not text_parts(folder):
        fields = _read_fields(stated / CARD)
    else:
        fields = stock_fields(folder, layout, Path(path_or_hub_id).resolve().name)
    unused = () if embeds_instructions(folder, adapter) else text_parts(folder)
    card = TeacherCard(
        **{**fields, "legends": (fields["palette"], *fields["legends"])},
        path_or_hub_id=path_or_hub_id,
        revision=revision,
        layout=layout,
        weights_sha256=digest_files(folder, "*.safetensors", without=unused),
        config_sha256=digest_files(folder, "*.json", without=unused),
        adapter_sha256=adapter.sha256 if adapter else None,
        calibration=read_calibration(stated),
    )
    _check(card, stated / CARD)
    return card


def _read_fields(path: Path) -> dict[str, Any]:
    """The fields of TeacherCard that teacher.json holds, typed; legends: the further palettes."""
    stored = read_json(path)
    if stored.get("schema") != TEACHER_SCHEMA:
        raise ValueError(
            f"{path} has schema {stored.get('schema')!r}, this version reads {TEACHER_SCHEMA}: "
            "take the teacher that belongs to it, or the potstill version that wrote the folder"
        )
    read: dict[str, tuple[type, Callable[[Any], Any]]] = {
        "name": (str, str),
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
    unknown = "licence" in stored and stored["licence"] is None
    fields["licence"] = None if unknown else _field(stored, "licence", str, path)
    legends = _field({"legends": [], **stored}, "legends", list, path)
    fields["legends"] = tuple(
        _colors(palette) if isinstance(palette, list) else () for palette in legends
    )
    return fields


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
            len(card.palette) != len(card.classes)
            or ("segment" in card.instructions and not card.classes),
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

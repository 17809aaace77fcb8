"""label.json: what the members of a sample mean, and where they came from."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from teacher.members import LABEL, LABEL_SUFFIXES, TASK_SUFFIXES, TASKS, check_tasks
from teacher.planes import DepthStorage
from teacher.record import Record
from teacher.strict_json import check_schema, from_fields, parse_object

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Head:
    """Everything in label.json."""

    tasks: tuple[str, ...]
    """The tasks that are present, in the order of TASKS."""
    members: tuple[str, ...]
    """Suffixes of the other members, so that a lost one is noticed."""
    depth: DepthStorage | None
    """Kind, curve and range of depth.png."""
    classes: tuple[str, ...]
    """Names of the classes: the id is the index."""
    record: Record


def encode_head(head: Head) -> bytes:
    """The bytes of label.json: one line, fields in a fixed order. Inverse: decode_head."""
    fields = {
        "schema": SCHEMA_VERSION,
        "tasks": head.tasks,
        "members": head.members,
        "depth": head.depth.to_json() if head.depth else None,
        "classes": head.classes,
    }
    text = json.dumps(fields | asdict(head.record), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def decode_head(data: bytes) -> Head:
    """Inverse of encode_head.

    Raises ValueError naming the field: another schema version, fields that are missing, unknown,
    of another type or out of range.
    """
    try:
        return _decode_head(parse_object(data))
    except ValueError as error:
        raise ValueError(f"{LABEL}: {error}") from error


def _decode_head(fields: dict[str, Any]) -> Head:
    check_schema(fields.pop("schema", None), SCHEMA_VERSION)
    tasks = _texts(fields, "tasks")
    if check_tasks(tasks) != tasks:
        raise ValueError(f"tasks: expected the order {TASKS}, found {tasks}")
    members = _texts(fields, "members")
    _check_members(members, tasks)
    depth = fields.pop("depth", None)
    if (depth is None) == ("depth" in tasks):
        raise ValueError(
            f"depth: expected kind and curve if among the tasks {tasks}, found {depth}"
        )
    return Head(
        tasks=tasks,
        members=members,
        depth=None if depth is None else DepthStorage.from_json(depth),
        classes=_texts(fields, "classes"),
        record=from_fields(Record, fields),
    )


def _texts(fields: dict[str, Any], name: str) -> tuple[str, ...]:
    """Take a list of texts out of the fields."""
    value = fields.pop(name, None)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name}: expected a list of texts, found {value!r}")
    return tuple(value)


def _check_members(members: tuple[str, ...], tasks: tuple[str, ...]) -> None:
    """Every task has its plane, and there is no plane of another task."""
    required = {TASK_SUFFIXES[task][0] for task in tasks}
    absent = {TASK_SUFFIXES[task][0] for task in TASKS} - required
    allowed = [s for s in LABEL_SUFFIXES if s not in absent and s != LABEL]
    if not required <= set(members) or list(members) != [s for s in allowed if s in members]:
        raise ValueError(f"members: expected {allowed} of tasks {tasks}, found {list(members)}")

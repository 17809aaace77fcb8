"""JSON that becomes a dataclass: a field too many or too few is an error, never a guess."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

Instance = TypeVar("Instance")


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError when it is something else, or holds NaN or infinity."""
    try:
        fields = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, found {type(fields).__name__}")
    return fields


def from_fields(cls: type[Instance], fields: Mapping[str, Any]) -> Instance:
    """An instance of a dataclass whose fields, all but those with defaults, are given by name.

    Raises ValueError naming the fields that are unknown or missing.
    """
    known = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(f"unknown fields {unknown}: written by another version?")
    if missing := [n for n, item in known.items() if n not in fields and _is_required(item)]:
        raise ValueError(f"missing fields {missing}")
    return cls(**fields)


def check_integer(name: str, value: Any, *, low: int, high: int = 2**63 - 1) -> None:
    """Raise ValueError naming the field unless this is an integer from low to high."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name}: expected an integer from {low} to {high}, found {value!r}")


def check_text(name: str, value: Any) -> None:
    """Raise ValueError naming the field unless this is a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: expected a text, found {value!r}")


def check_sha256(name: str, value: Any) -> None:
    """Raise ValueError naming the field unless this is a sha256 in 64 lower-case hex digits."""
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ValueError(f"{name}: expected 64 hex digits, found {value!r}")


def check_schema(found: Any, known: int) -> None:
    """Raise ValueError unless `found` is the one schema version that this code reads and writes."""
    if type(found) is int and found == known:
        return
    newer = type(found) is int and found > known
    hint = "install a newer potstill" if newer else "write it again with this potstill"
    raise ValueError(f"expected schema version {known}, found {found!r}: {hint}")


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")

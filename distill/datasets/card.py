"""dataset.json: what an imported set holds, written last, so that it stands for a whole import."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from teacher.atomic import write_atomically
from teacher.sample import TASKS
from teacher.strict_json import check_integer, check_schema, check_text, from_fields, parse_object

CARD_NAME = "dataset.json"
CARD_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """One split of a data set as it was imported.

    Raises ValueError naming the field when a value has the wrong type or lies outside its range.
    """

    name: str
    split: str
    tasks: tuple[str, ...]
    """Tasks of every label; where a source knows nothing of one, it is unknown everywhere."""
    classes: tuple[str, ...]
    count: int
    """Photographs that were imported."""
    labelled: int
    """Photographs among them that have ground truth."""
    official_count: int | None
    """Photographs that the whole split has; None where nobody says."""
    licence: str
    source: str
    """Where to get it."""
    scenes: Mapping[str, str]
    """Key -> scene."""
    domains: Mapping[str, str]
    """Key -> "indoor", "outdoor" or whatever else the source states."""

    def __post_init__(self) -> None:
        for name in ("name", "split", "licence", "source"):
            check_text(name, getattr(self, name))
        check_integer("count", self.count, low=1)
        check_integer("labelled", self.labelled, low=0, high=self.count)
        if self.official_count is not None:
            check_integer("official_count", self.official_count, low=1)
        if [task for task in TASKS if task in self.tasks] != list(self.tasks):
            raise ValueError(f"tasks: expected some of {TASKS} in this order, found {self.tasks!r}")
        for name in ("scenes", "domains"):
            if len(getattr(self, name)) != self.count:
                raise ValueError(f"{name}: expected {self.count}, found {len(getattr(self, name))}")


def write_dataset(folder: Path, card: DatasetCard) -> Path:
    """Write FOLDER/dataset.json. Inverse: read_dataset."""
    path = folder / CARD_NAME
    fields = {"schema": CARD_SCHEMA, **asdict(card)}
    text = json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")
    return path


def read_dataset(folder: Path) -> DatasetCard:
    """What an imported set holds. Raises FileNotFoundError when the folder is none, ValueError
    naming the file when its card is damaged or of another version."""
    path = folder / CARD_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; expected the folder of an imported data set, written by "
            "`potstill import`"
        )
    try:
        fields = parse_object(path.read_bytes())
        check_schema(fields.pop("schema", None), CARD_SCHEMA)
        lists = {name: tuple(fields[name]) for name in ("tasks", "classes") if name in fields}
        return from_fields(DatasetCard, fields | lists)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error

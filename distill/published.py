"""Published results, digit for digit, and whether the averages printed beside them follow.

published.toml holds the tables and says what its cells and marks mean. Numbers stay decimal until
they are compared: a mean of rounded values is only known to within their rounding.
"""

import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

PUBLISHED = Path(__file__).with_name("published.toml")
NOT_PRINTED = "-"
MARKS = ("second-hand", "contested", "in-domain", "other protocol")
"""Kinds of marks; each makes a value not comparable. What follows a colon is the reason."""
UNSTATED = "unstated"
"""Variant of a metric whose source does not say how it was computed."""

EXACT = "exact"
WITHIN_ROUNDING = "within rounding"
DOES_NOT_FOLLOW = "does not follow"


@dataclass(frozen=True, kw_only=True)
class PublishedValue:
    """One number of a published table."""

    table: str
    """Name of the table in published.toml."""
    source: str
    method: str
    dataset: str
    split: str
    """Of the data set; empty where it has one only."""
    task: str
    metric: str
    variant: str
    """Alignment of depth, averaging of normals, or UNSTATED."""
    printed: Decimal
    """As the source prints it, with all its digits."""
    divide_by: int
    marks: tuple[str, ...] = ()
    """What makes the value not comparable, each starting with one of MARKS."""
    note: str = ""
    """What is not known of the whole table."""

    @property
    def value(self) -> Decimal:
        """In our unit, shares of 1 (not percent) and degrees, with the digits that are printed."""
        return self.printed * (1 / Decimal(self.divide_by))  # a product keeps final zeros

    def objections(self, variants: Collection[str], *, split: str, complete: bool) -> list[str]:
        """Why it does not compare with rows of ours; empty when it does.

        variants, split: those of our rows on this set and task. complete: whether ours are of the
        whole official split.
        """
        found = list(self.marks)
        if self.split and split != self.split:
            found.append(f"other split: {self.split}")
        way = "alignment" if self.task == "depth" else "averaging"
        if self.variant == UNSTATED:
            found.append(f"{UNSTATED} {way}")
        elif self.variant not in variants:
            found.append(f"other {way}: {self.variant}")
        return found if complete else [*found, "ours are of a part of the set"]


@dataclass(frozen=True, kw_only=True)
class MeanCheck:
    """A printed average beside the mean of its rows."""

    table: str
    title: str
    method: str
    metric: str
    printed: Decimal
    rows: tuple[Decimal, ...]

    @property
    def mean(self) -> Decimal:
        """Mean of the printed rows."""
        return sum(self.rows, Decimal()) / len(self.rows)

    @property
    def rounded(self) -> Decimal:
        """The mean with as many digits as the printed average has."""
        return self.mean.quantize(self.printed, ROUND_HALF_UP)

    @property
    def verdict(self) -> str:
        """EXACT: the same digits. WITHIN_ROUNDING: rows and average, before they were rounded, may
        have agreed. DOES_NOT_FOLLOW: they cannot have.
        """
        if self.rounded == self.printed:
            return EXACT
        slack = sum(map(_half_unit, self.rows), Decimal()) / len(self.rows)
        apart = abs(self.mean - self.printed)
        return WITHIN_ROUNDING if apart <= slack + _half_unit(self.printed) else DOES_NOT_FOLLOW


def read_published(path: Path = PUBLISHED) -> list[PublishedValue]:
    """All values of the published tables, in the order of the file.

    Raises ValueError naming file, table and row when a row does not fit its table.
    """
    stored = _read_toml(path)
    splits = stored.get("splits", {})
    return [value for table in stored["table"] for value in _values(table, splits, path)]


def averages(path: Path = PUBLISHED) -> list[MeanCheck]:
    """Every average that the sources print, beside the rows that it is the mean of.

    Raises ValueError as read_published, and naming the average whose rows are not all printed.
    """
    return [check for table in _read_toml(path)["table"] for check in _mean_checks(table, path)]


def _read_toml(path: Path) -> Mapping[str, Any]:
    try:
        stored = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: expected TOML with [[table]] entries: {error}") from error
    if "table" not in stored:
        raise ValueError(f"{path}: expected [[table]] entries, found {sorted(stored)}")
    return stored


def _values(
    table: Mapping[str, Any], splits: Mapping[str, str], path: Path
) -> Iterator[PublishedValue]:
    metrics = table["metrics"]
    divisors = table.get("divide_by", [1] * len(metrics))
    for method, row in table["rows"].items():
        where = f"{path}: table {table['name']}: {method}"
        for dataset, cell in zip(table["sets"], _cells(row, len(table["sets"]), where)):
            numbers = _numbers(cell, metrics, where)
            for metric, divide_by, printed in zip(metrics, divisors, numbers):
                if printed is not None:
                    yield PublishedValue(
                        table=table["name"],
                        source=table["source"],
                        method=method,
                        dataset=dataset,
                        split=splits.get(dataset, ""),
                        task=table["task"],
                        metric=metric,
                        variant=table.get("variants", {}).get(method, table["variant"]),
                        printed=printed,
                        divide_by=divide_by,
                        marks=_marks(table, method, dataset, where),
                        note=table.get("note", ""),
                    )


def _cells(row: str, count: int, where: str) -> list[str]:
    cells = row.split()
    if len(cells) != count:
        raise ValueError(f"{where}: expected {count} cells, one for each set, found {len(cells)}")
    return cells


def _numbers(cell: str, metrics: Sequence[str], where: str) -> list[Decimal | None]:
    """The values of a cell, one for each metric; None where none is printed."""
    if cell == NOT_PRINTED:
        return [None] * len(metrics)
    texts = cell.split("/")
    if len(texts) != len(metrics):
        raise ValueError(f"{where}: expected {'/'.join(metrics)} in each cell, found {cell}")
    try:
        return [None if text == NOT_PRINTED else Decimal(text) for text in texts]
    except InvalidOperation:
        raise ValueError(f"{where}: expected numbers or {NOT_PRINTED}, found {cell}") from None


def _marks(table: Mapping[str, Any], method: str, dataset: str, where: str) -> tuple[str, ...]:
    """Marks of the whole row, then of the column, then of this cell."""
    given = table.get("marks", {})
    keys = (method, f"@ {dataset}", f"{method} @ {dataset}")
    marks = tuple(given[key] for key in keys if key in given)
    for mark in marks:
        if mark.partition(":")[0] not in MARKS:
            raise ValueError(f"{where}: expected a mark that starts with {MARKS}, found {mark!r}")
    return marks


def _mean_checks(table: Mapping[str, Any], path: Path) -> Iterator[MeanCheck]:
    metrics = table["metrics"]
    printed = {(v.method, v.dataset, v.metric): v.printed for v in _values(table, {}, path)}
    for means in table.get("means", ()):
        for method, cell in means["rows"].items():
            where = f"{path}: table {table['name']}: {means['title']}: {method}"
            for metric, average in zip(metrics, _numbers(cell, metrics, where)):
                rows = [printed.get((method, dataset, metric)) for dataset in means["sets"]]
                if average is None:
                    continue
                if None in rows:
                    raise ValueError(f"{where}: expected {metric} of every set, found {rows}")
                yield MeanCheck(
                    table=table["name"],
                    title=means["title"],
                    method=method,
                    metric=metric,
                    printed=average,
                    rows=tuple(row for row in rows if row is not None),
                )


def _half_unit(printed: Decimal) -> Decimal:
    """Half of the last printed digit: how far the value before rounding may lie away."""
    return Decimal((0, (5,), int(printed.as_tuple().exponent) - 1))

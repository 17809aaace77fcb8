"""What a suite found, as results.json keeps it: one run for each labeller on each data set."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from teacher.atomic import write_atomically
from teacher.provenance import as_json, package_versions
from teacher.strict_json import check_schema, from_fields, parse_object

RESULTS_SCHEMA = 1
RESULTS_NAME = "results.json"


@dataclass(frozen=True, kw_only=True)
class SuiteRow:
    """Scores of one labeller on one data set (or one part of it) under one protocol."""

    task: str
    part: str
    """Name of the data set, or of the part of it that these are the scores of."""
    variant: str
    """Alignment of depth, averaging of normals or of segments: the same name as published."""
    protocol: str
    """Range, crop and mask, in words."""
    photographs: int
    """That had something to score."""
    scenes: int
    scores: dict[str, float]
    """Metric -> value; empty when there is nothing to compare: see `missing`."""
    interval_95: dict[str, list[float] | None]
    """Metric -> [low, high], by bootstrap."""
    drawn: Literal["scenes", "photographs"]
    """What the bootstrap draws: scenes, or photographs where all are of one scene."""
    per_scene: dict[str, dict[str, float]]
    """Scene -> metric -> value over its photographs."""
    negative_scale: float | None = None
    """Share of photographs whose fitted scale is negative: depth that is upside down."""
    missing: str = ""
    """Why there are no scores."""

    def scene_mean(self, metric: str) -> float:
        """Mean over scenes, each counting once however many photographs it has."""
        values = [scores[metric] for scores in self.per_scene.values()]
        return sum(values) / len(values)


@dataclass(frozen=True, kw_only=True)
class SuiteSettings:
    """What decides scores and times, beside the labeller and the set."""

    tasks: tuple[str, ...]
    alignments: tuple[str, ...] = ()
    """Of depth, beside none and that of the set's protocol."""
    limit: int | None = None
    """Run the first so many photographs only."""
    device: str = "cpu"
    threads: int
    """CPU threads of an operator."""
    resamples: int = 1000
    """Of the bootstrap."""
    seed: int = 0
    """Of the bootstrap."""


@dataclass(frozen=True, kw_only=True)
class SuiteRun:
    """One labeller on one data set: what was run, how long it took, what it scored."""

    labeller: str
    labeller_sha256: str
    dataset: str
    split: str
    dataset_sha256: str
    photographs: int
    """Run, which is fewer than `official_count` for a partial set."""
    official_count: int | None
    settings: SuiteSettings
    machine: dict[str, Any]
    """That the times were taken on: see teacher.provenance.describe_machine."""
    time_ms: float
    """Median time of a photograph, batch 1, from pixels in memory to labels."""
    timed_calls: int
    rows: tuple[SuiteRow, ...]

    @property
    def timed_on(self) -> str:
        """Device, threads and processor, in words."""
        threads = self.settings.threads
        host = f"{threads} thread{'' if threads == 1 else 's'} of {self.machine['cpu']}"
        return host if self.settings.device == "cpu" else f"{self.settings.device}, {host}"

    @property
    def complete(self) -> bool:
        """Whether every photograph of the official set was run."""
        return self.official_count is not None and self.photographs >= self.official_count

    def is_of(self, labeller_sha256: str, dataset_sha256: str, settings: SuiteSettings) -> bool:
        """Whether running these again would give the same scores."""
        return (self.labeller_sha256, self.dataset_sha256, self.settings) == (
            labeller_sha256,
            dataset_sha256,
            settings,
        )


def write_results(folder: Path, runs: Sequence[SuiteRun]) -> Path:
    """Write results.json; a reader sees the old file or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {"schema": RESULTS_SCHEMA, "versions": package_versions(), "runs": as_json(runs)}
    text = json.dumps(stored, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / RESULTS_NAME, (text + "\n").encode())
    return folder / RESULTS_NAME


def read_results(folder: Path) -> list[SuiteRun]:
    """The runs of results.json; none when there is no such file.

    Raises ValueError naming the file when it is damaged or of another schema.
    """
    path = folder / RESULTS_NAME
    if not path.is_file():
        return []
    try:
        stored = parse_object(path.read_bytes())
        check_schema(stored.get("schema"), RESULTS_SCHEMA)
        return [_read_run(fields) for fields in stored["runs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: not the results of a suite ({error}); give another --out, or move it away"
        ) from error


def _read_run(fields: dict[str, Any]) -> SuiteRun:
    given = fields["settings"]
    lists = {name: tuple(given[name]) for name in ("tasks", "alignments")}
    settings = from_fields(SuiteSettings, given | lists)
    rows = tuple(from_fields(SuiteRow, row) for row in fields["rows"])
    return from_fields(SuiteRun, fields | {"settings": settings, "rows": rows})

"""`potstill codecs`: the noise table of the depth codecs, measured and printed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from teacher.depth import CUBE_WALK
from teacher.noise import RANGES, SIGMAS, CodecErrors, Noise, gaussian, jpeg, measure, unchanged
from teacher.provenance import as_json, package_versions
from teacher.rgb import as_levels

BATCH = 16
"""Paintings that pass the autoencoder at once."""


@dataclass(frozen=True, kw_only=True)
class CodecsConfig:
    """Measure how much noise every depth codec bears: Gaussian, JPEG, a teacher's autoencoder."""

    teacher: str = "embedded"
    """Folder of the teacher whose autoencoder is measured, or "embedded"."""
    scenes: int = 64
    """Held-out procedural scenes whose exact depth is painted."""
    size_px: int = 128
    """Height and width of the paintings."""
    samples: int = 60_000
    """Places on the path, evenly at random, for the percentiles under Gaussian noise."""
    seed: int = 0
    """Seed of the places and of the Gaussian noise."""
    device: str = "cpu"
    """Where the autoencoder runs: cpu or cuda."""
    out: Path | None = None
    """Also write the table to this file: .md as text, .json with every number."""


@dataclass(frozen=True, kw_only=True)
class NoiseTable:
    """What was measured, in three tables of the same codecs and noises."""

    config: CodecsConfig
    places: tuple[CodecErrors, ...]
    """Gaussian noise on places even on the path"""
    paths: tuple[CodecErrors, ...]
    """every noise on scenes; all paths with the cube walk's scale of depth"""
    ranges: tuple[CodecErrors, ...]
    """every noise on scenes; each codec with its own range"""


def measure_codecs(config: CodecsConfig) -> NoiseTable:
    """Measure all three tables; the same configuration gives the same numbers.

    Raises ValueError for numbers out of range, a size that does not fit the teacher or another
    ending of `out` than .md and .json; FileNotFoundError for a teacher that is not there.
    """
    if min(config.scenes, config.samples) < 1:
        raise ValueError("codecs: scenes and samples must be at least 1")
    if config.out is not None and config.out.suffix not in (".md", ".json"):
        raise ValueError(f"codecs: --out must end in .md or .json, found {config.out}")
    vae = autoencoder_noise(config)
    blurred: dict[str, Noise] = {f"sigma {s}": gaussian(s, config.seed) for s in SIGMAS}
    noises = {"none": unchanged, **blurred, "JPEG 90": jpeg, "autoencoder": vae}
    depth_m = scene_depths(config.scenes, config.size_px)
    places = np.random.default_rng(config.seed).uniform(0, 1, (1, 1, config.samples))
    return NoiseTable(
        config=config,
        places=tuple(measure(CUBE_WALK.metres(places), blurred)),
        paths=tuple(measure(depth_m, noises)),
        ranges=tuple(measure(depth_m, noises, RANGES, scale=None)),
    )


def autoencoder_noise(config: CodecsConfig) -> Noise:
    """The round trip through a teacher's autoencoder, as noise on paintings."""
    from teacher.painters import load_painter
    from teacher.painters.flow import FlowPainter

    painter = cast(FlowPainter, load_painter(config.teacher, device=config.device))
    if config.size_px % painter.card.multiple_px:
        raise ValueError(
            f"codecs: --size_px must be a multiple of {painter.card.multiple_px} px for the teacher"
            f" {painter.card.name}, found {config.size_px}"
        )

    def round_trip(paintings: np.ndarray) -> np.ndarray:
        starts = range(0, len(paintings), BATCH)
        redrawn = [painter.round_trip(paintings[start : start + BATCH]) for start in starts]
        return as_levels(np.concatenate(redrawn))

    return round_trip


def scene_depths(count: int, size_px: int) -> np.ndarray:
    """Exact depth of the first held-out scenes: (count, size_px, size_px) float32; inf = sky."""
    from teacher.scenes.render import render_scenes
    from teacher.scenes.shards import scene_seed

    seeds = [scene_seed("held-out", index) for index in range(count)]
    return render_scenes(seeds, size_px).depth_m


def format_table(table: NoiseTable) -> str:
    """The three tables as Markdown, each with what was measured on how many pixels."""
    config, on_scenes = table.config, f"{table.paths[0].pixels:,} pixels"
    scenes = f"{config.scenes} held-out scenes of {config.size_px} px ({on_scenes}, without sky)"
    disturbed = [row for row in table.paths if row.noise in ("JPEG 90", "autoencoder")]
    return "\n\n".join(
        (
            "Error of the place on the path in percent of its length, median / p95 / p99. Gaussian"
            f" noise on {config.samples:,} places even on the path; JPEG (4:2:0) and the"
            f" autoencoder of the teacher {config.teacher!r} on {scenes}, all with the cube walk's"
            " scale of depth.",
            _markdown((*table.places, *disturbed), _percentiles),
            f"AbsRel / delta1 in metres on the same {scenes}, all with the cube walk's scale.",
            _markdown(table.paths, _metric),
            "AbsRel / delta1 in metres, each codec with its own range (0.1 to 100 m, the cube walk"
            " without end).",
            _markdown(table.ranges, _metric),
        )
    )


def _percentiles(row: CodecErrors) -> str:
    return " / ".join(f"{value:.2g}" for value in (row.median, row.p95, row.p99))


def _metric(row: CodecErrors) -> str:
    return f"{row.absrel:.3f} / {row.delta1:.3f}"


def _markdown(rows: Sequence[CodecErrors], cell) -> str:
    """One line for each codec, one column for each noise."""
    noises = list(dict.fromkeys(row.noise for row in rows))
    cells: Mapping[tuple[str, str], str] = {(row.codec, row.noise): cell(row) for row in rows}
    codecs = dict.fromkeys(row.codec for row in rows)
    return "\n".join(_lines(noises, list(codecs), cells))


def _lines(
    noises: Sequence[str], codecs: Sequence[str], cells: Mapping[tuple[str, str], str]
) -> Iterator[str]:
    yield f"| codec | {' | '.join(noises)} |"
    yield "|---" * (len(noises) + 1) + "|"
    for codec in codecs:
        yield f"| {codec} | {' | '.join(cells[codec, noise] for noise in noises)} |"


def run_codecs(config: CodecsConfig) -> str:
    """What `potstill codecs` does: measure, write the file that was asked for, return the text."""
    table = measure_codecs(config)
    text = format_table(table)
    if config.out is not None:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        record = {**as_json(table), "versions": package_versions()}
        as_file = text if config.out.suffix == ".md" else json.dumps(record, indent=2)
        config.out.write_text(as_file + "\n", encoding="utf-8")
    return text

"""The pages of a gallery: HTML from templates, with the style and the keys beside them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from teacher import pictures
from teacher.jobs.label_set import LabelSet
from teacher.viewer.draw import Card, confidence_colors
from teacher.viewer.scan import HISTOGRAM_BINS, ShardScan
from teacher.viewer.shard_page import Rejected, ShardPage

FOLDER = Path(__file__).parent
ASSETS = ("view.css", "view.js")
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the mean confidence: how many labels lie below each is what --only_below_confidence asks."""
RAMP_STEPS = 9


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What the first page shows."""

    labels: LabelSet
    scans: Sequence[ShardScan]
    least_sure: Sequence[Card]
    random: Sequence[Card]
    rejected: Sequence[Rejected]


def picture_folder(number: int) -> str:
    """The folder of a shard's pictures: its number, as its name may hold what a link must not."""
    return f"pictures/{number:06d}"


def page_name(number: int) -> str:
    """The file of a shard's page."""
    return f"shard-{number:06d}.html"


def write_assets(out: Path) -> None:
    """Put the style and the keys into the gallery's folder."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ASSETS:
        shutil.copyfile(FOLDER / name, out / name)


def write_page(out: Path, page: ShardPage, scans: Sequence[ShardScan]) -> None:
    """Write the page of a shard, with links to the shards before and after it."""
    numbers = [scan.number for scan in scans]
    at = numbers.index(page.scan.number)
    values = {
        "page": page,
        "before": page_name(numbers[at - 1]) if at else None,
        "after": page_name(numbers[at + 1]) if at + 1 < len(numbers) else None,
        "legend": legend(),
    }
    _render(out / page_name(page.scan.number), "shard.html", values)


def write_index(out: Path, overview: Overview) -> Path:
    """Write the first page; returns its path."""
    scans = overview.scans
    values = {
        "overview": overview,
        "labelled": sum(scan.labelled for scan in scans),
        "quarantined": sum(len(scan.quarantined) for scan in scans),
        "about": _about(overview.labels),
        "histogram": _histogram(scans),
        "below": _below(scans),
        "page_name": page_name,
        "legend": legend(),
    }
    path = out / "index.html"
    _render(path, "index.html", values)
    return path


def _render(path: Path, template: str, values: dict[str, Any]) -> None:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    path.write_text(environment.get_template(template).render(values), encoding="utf-8")


def legend() -> dict[str, str]:
    """Colours of the legends, as CSS."""
    steps = np.linspace(0, 1, RAMP_STEPS)
    return {
        "depth": pictures.css_gradient(pictures.depth_colors(steps)),
        "confidence": pictures.css_gradient(confidence_colors(steps)),
        "sky": pictures.css_color(pictures.SKY_COLOR),
        "unknown": pictures.css_color(pictures.UNKNOWN_COLOR),
        "ball": pictures.data_uri(pictures.normal_sphere(80)),
    }


def _about(labels: LabelSet) -> list[tuple[str, str]]:
    """The job in words; nothing for labels that no job made."""
    if labels.manifest is None:
        return []
    config = labels.manifest.config
    teacher = config.get("teacher") or {}
    return [
        ("Teacher", str(teacher.get("name"))),
        ("Licence of the teacher", str(teacher.get("licence") or "not stated")),
        ("Tasks", ", ".join(config.get("tasks", ()))),
        ("Steps, votes", f"{config.get('steps')}, {config.get('votes')}"),
        ("Job", labels.manifest.job_id),
    ]


def _histogram(scans: Sequence[ShardScan]) -> list[dict[str, Any]]:
    """A bar for each bin of the mean confidence, its height in percent of the highest one."""
    counts = np.sum([scan.histogram for scan in scans], axis=0)
    if not counts.any():
        return []
    return [
        {
            "low": f"{index / HISTOGRAM_BINS:.2f}",
            "high": f"{(index + 1) / HISTOGRAM_BINS:.2f}",
            "count": int(count),
            "percent": round(100 * count / counts.max(), 1),
        }
        for index, count in enumerate(counts)
    ]


def _below(scans: Sequence[ShardScan]) -> list[dict[str, Any]]:
    """Labels below each threshold, those that no label is below and all are left out."""
    counts = np.sum([scan.histogram for scan in scans], axis=0)
    total = int(counts.sum())
    found = [(q, int(counts[: round(q * HISTOGRAM_BINS)].sum())) for q in THRESHOLDS]
    return [
        {"threshold": f"{q:g}", "count": count, "share": f"{count / total:.1%}"}
        for q, count in found
        if 0 < count < total
    ]

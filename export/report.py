"""The report: one HTML file that holds its pictures, reads well on a phone, and fetches nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from export.charts import agreement_words, class_bars, latency_bars, retention_meters
from export.figures import (
    COSTS,
    LABELLER_TITLES,
    METRICS,
    TASK_TITLES,
    Metric,
    fixed,
    megabytes,
    percent,
    significant,
)
from export.gallery import Specimen, Strip, legends, make_strips

TEMPLATE = Path(__file__).with_name("report.html")
STYLE = Path(__file__).with_name("report.css")
SCORE_NOTES = {
    "depth": "δ1 below each picture: the share of pixels within 25 % of the truth",
    "normal": "mean angle to the truth below each picture",
    "segment": "share of pixels of the right class below each picture",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Galleries:
    """The photographs that a report shows."""

    held_out: Sequence[Specimen]
    worst: Mapping[str, Sequence[Specimen]] = field(default_factory=dict)
    """Task -> photographs on which the student lost most to the teacher."""
    real: Sequence[Specimen] = ()


def write_report(folder: Path, comparison: Mapping[str, Any], galleries: Galleries) -> Path:
    """Write folder/index.html from a comparison (as comparison.json holds it); return its path."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["fixed"] = fixed
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    path.write_text(template.render(page(comparison, galleries)), encoding="utf-8")
    return path


def page(comparison: Mapping[str, Any], galleries: Galleries) -> dict[str, Any]:
    """Everything that the template prints."""
    classes = comparison["classes"]
    rows = comparison["labellers"]
    height, width = comparison["resolution"]
    real = _real(comparison, galleries.real, classes)
    worst = _tasks(galleries.worst, classes)
    return {
        "css": Markup(STYLE.read_text(encoding="utf-8")),
        "headline": _headline(comparison),
        "lead": _lead(comparison),
        "tiles": _tiles(comparison),
        "sections": _sections(bool(worst), real is not None),
        "legends": legends(classes),
        "tasks": _tasks(dict.fromkeys(TASK_TITLES, galleries.held_out), classes),
        "images": comparison["images"],
        "resolution": f"{width} × {height} px",
        "labellers": [LABELLER_TITLES.get(name, name) for name in rows],
        "accuracy": _accuracy(rows),
        "per_class": class_bars(rows, classes),
        "retention": retention_meters(comparison),
        "timing": _timing(rows),
        "latency": latency_bars(rows),
        "costs": [
            {"label": label, "cells": [text(row) for row in rows.values()]}
            for label, text in COSTS.items()
        ],
        "worst": worst,
        "real": real,
        "provenance": _provenance(comparison),
    }


def _headline(comparison: Mapping[str, Any]) -> str:
    shares = [share for share in comparison["retention"].values() if share is not None]
    kept = f", with {percent(min(shares))} or more of the quality kept" if shares else ""
    return f"{significant(comparison['speedup'])} times as fast{kept}"


def _lead(comparison: Mapping[str, Any]) -> str:
    height, width = comparison["resolution"]
    return (
        "A generator that paints labels taught a small network to predict them. Both looked at "
        f"the same {comparison['images']} photographs of {width} × {height} px; this page shows "
        "what was kept and what was gained."
    )


def _tiles(comparison: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = comparison["labellers"]
    teacher, onnx = rows["teacher"], rows["onnx_fp32"]
    tiles = [
        {
            "name": "faster",
            "value": f"{significant(comparison['speedup'])}×",
            "note": f"{significant(teacher['latency_ms']['p50'])} ms → "
            f"{significant(onnx['latency_ms']['p50'])} ms a photograph",
        }
    ]
    for task, share in comparison["retention"].items():
        low, high = comparison["retention_interval_95"][task] or (None, None)
        note = f"of the teacher’s quality ({percent(low)} to {percent(high)})"
        name = f"{TASK_TITLES[task].lower()} kept"
        tiles.append({"name": name, "value": percent(share), "note": note})
    times = significant(teacher["size_bytes"] / onnx["size_bytes"])
    sizes = f"{megabytes(teacher['size_bytes'])} → {megabytes(onnx['size_bytes'])}"
    return [*tiles, {"name": "smaller", "value": f"{times}×", "note": sizes}]


def _sections(worst: bool, real: bool) -> list[tuple[str, str]]:
    return [
        ("pictures", "Pictures"),
        ("accuracy", "Accuracy"),
        ("kept", "Kept"),
        ("gained", "Gained"),
        *([("worst", "Worst cases")] if worst else []),
        *([("real", "Real photographs")] if real else []),
        ("provenance", "Provenance"),
    ]


def _tasks(
    specimens: Mapping[str, Sequence[Specimen]], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """A gallery for each task that has pictures."""
    strips = {task: make_strips(chosen, task, classes) for task, chosen in specimens.items()}
    return [
        {"name": task, "title": TASK_TITLES[task], "score_note": SCORE_NOTES[task], "rows": rows}
        for task, rows in strips.items()
        if rows
    ]


def _accuracy(rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The accuracy table, task by task; a task that some labeller does not do is left out."""
    tasks = [task for task in TASK_TITLES if all(task in row for row in rows.values())]
    return [
        {
            "title": TASK_TITLES[task],
            "rows": [_accuracy_row(metric, rows) for metric in METRICS if metric.task == task],
        }
        for task in tasks
    ]


def _accuracy_row(metric: Metric, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    cells = [
        {
            "value": row[metric.task][metric.key],
            "interval": row.get("interval_95", {}).get(metric.task, {}).get(metric.key),
        }
        for row in rows.values()
    ]
    return {
        "label": metric.label,
        "better": metric.better,
        "digits": metric.digits,
        "cells": cells,
    }


def _timing(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    measured = [row["latency"] for row in rows.values()]
    loads = ", ".join(f"{entry['load_average']:.1f}" for entry in measured)
    return {
        "batch": measured[0]["batch"],
        "threads": measured[0]["threads"],
        "note": f"Load average of the machine before each measurement: {loads}. With fewer than a "
        "thousand runs the 99th percentile says little more than the slowest run.",
    }


def _real(
    comparison: Mapping[str, Any], specimens: Sequence[Specimen], classes: Sequence[str]
) -> dict[str, Any] | None:
    """The section on real photographs, or None without them."""
    real = comparison.get("real")
    if not real:
        return None
    return {
        "lead": real["protocol"],
        "agreement": "; ".join(agreement_words(real["agreement"]).values()),
        "labellers": [LABELLER_TITLES.get(name, name) for name in real["labellers"]],
        "table": _real_table(real),
        "specimens": [
            {"title": s.key, "note": s.note, "rows": _real_strips(s, classes)} for s in specimens
        ],
    }


def _real_strips(specimen: Specimen, classes: Sequence[str]) -> list[Strip]:
    """All tasks of one photograph, each strip under the name of its task."""
    titled = {task: replace(specimen, key=title) for task, title in TASK_TITLES.items()}
    return [strip for task, one in titled.items() for strip in make_strips([one], task, classes)]


def _real_table(real: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups = (
        ("depth", "Depth as it is, in metres", "depth"),
        ("depth_aligned", "Depth after scaling each picture by the median ratio", "depth"),
        ("normal", "Surface normals", "normal"),
    )
    table = []
    for key, title, task in groups:
        rows = {n: {task: row[key]} for n, row in real["labellers"].items() if key in row}
        if rows and len(rows) == len(real["labellers"]):
            count = real["counts"][task]
            table.append({"title": f"{title} ({count} photographs)", "rows": _rows(task, rows)})
    return table


def _rows(task: str, rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_accuracy_row(metric, rows) for metric in METRICS if metric.task == task]


def _provenance(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    machine, rows = comparison["machine"], comparison["labellers"]
    files = [
        (f"{LABELLER_TITLES.get(name, name)}", f"{row['path']} · sha256 {row['sha256']}")
        for name, row in rows.items()
    ]
    versions = ", ".join(f"{name} {number}" for name, number in comparison["versions"].items())
    return [
        *files,
        ("Photographs", comparison["data"]["images"]),
        ("Ground truth", comparison["data"]["labels"]),
        ("Protocol", comparison["protocol"]),
        ("Machine", f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"),
        ("Versions", versions),
    ]

"""The report: one HTML file that holds its pictures, reads well on a phone, and fetches nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from export.charts import agreement_words, class_bars, latency_bars, retention_meters
from export.figures import TASK_TITLES, fixed, megabytes, percent, significant
from export.gallery import Specimen, legends, make_strips
from export.lineup import TEACHER
from export.pareto import chart_box, draw_charts
from export.shipped import describe_files
from export.tables import accuracy_tables, cost_tables, kept_tables, real_table, slice_tables

TEMPLATE = Path(__file__).with_name("report.html")
STYLE = Path(__file__).with_name("report.css")
SCRIPT = Path(__file__).with_name("report.js")
SCORE_NOTES = {
    "depth": "δ1 below each picture: the share of pixels within 25 % of the truth",
    "normal": "mean angle to the truth below each picture",
    "segment": "share of pixels of the right class below each picture",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Galleries:
    """The photographs that a report shows."""

    held_out: Sequence[Specimen]
    behind: Mapping[str, Sequence[Specimen]] = field(default_factory=dict)
    """Task -> photographs on which the student lost most to the teacher."""
    ahead: Mapping[str, Sequence[Specimen]] = field(default_factory=dict)
    """Task -> photographs on which the teacher lost most to the student."""
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
    worst = _worst(galleries, classes)
    return {
        "css": Markup(STYLE.read_text(encoding="utf-8")),
        "script": Markup(SCRIPT.read_text(encoding="utf-8")),
        "headline": _headline(comparison),
        "lead": _lead(comparison),
        "student": _learned(comparison)["title"],
        "tiles": _tiles(comparison),
        "sections": _sections(bool(worst), real is not None),
        "legends": legends(classes),
        "tasks": _tasks(dict.fromkeys(TASK_TITLES, galleries.held_out), classes),
        "images": comparison["images"],
        "resolution": f"{width} × {height} px",
        "accuracy": accuracy_tables(rows),
        "aligned": _aligned(rows),
        "per_class": class_bars(comparison),
        "slices": slice_tables(comparison),
        "retention": retention_meters(comparison),
        "kept": kept_tables(rows),
        "charts": draw_charts(rows),
        "box": chart_box(),
        "timing": _timing(comparison),
        "latency": latency_bars(rows),
        "costs": cost_tables(comparison),
        "files": describe_files(comparison),
        "refused": comparison["refused"],
        "worst": worst,
        "real": real,
        "provenance": _provenance(comparison),
    }


def _learned(comparison: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labeller that the page calls the student: the file that the headline is of."""
    return comparison["labellers"][comparison["headline"]]


def _headline(comparison: Mapping[str, Any]) -> str:
    learned = _learned(comparison)
    shares = [share for share in learned["retention"].values() if share is not None]
    kept = f", with {percent(min(shares))} or more of the quality kept" if shares else ""
    return f"{significant(learned['speedup'][TEACHER])} times as fast{kept}"


def _lead(comparison: Mapping[str, Any]) -> str:
    height, width = comparison["resolution"]
    return (
        "A generator that paints labels taught a small network to predict them. Both looked at "
        f"the same {comparison['images']} photographs of {width} × {height} px; this page shows "
        "what was kept and what was gained."
    )


def _tiles(comparison: Mapping[str, Any]) -> list[dict[str, str]]:
    teacher, learned = comparison["labellers"][TEACHER], _learned(comparison)
    tiles = [
        {
            "name": "faster",
            "value": f"{significant(learned['speedup'][TEACHER])}×",
            "note": f"{significant(teacher['latency_ms']['p50'])} ms → "
            f"{significant(learned['latency_ms']['p50'])} ms a photograph",
        }
    ]
    for task, share in learned["retention"].items():
        low, high = learned["retention_interval_95"][task] or (None, None)
        note = f"of the teacher’s quality ({percent(low)} to {percent(high)})"
        name = f"{TASK_TITLES[task].lower()} kept"
        tiles.append({"name": name, "value": percent(share), "note": note})
    times = significant(teacher["size_bytes"] / learned["size_bytes"])
    sizes = f"{megabytes(teacher['size_bytes'])} → {megabytes(learned['size_bytes'])}"
    return [*tiles, {"name": "smaller", "value": f"{times}×", "note": sizes}]


def _sections(worst: bool, real: bool) -> list[tuple[str, str]]:
    return [
        ("pictures", "Pictures"),
        ("accuracy", "Accuracy"),
        ("kept", "Kept"),
        ("gained", "Time and cost"),
        ("where", "Where"),
        *([("worst", "Worst cases")] if worst else []),
        *([("real", "Real photographs")] if real else []),
        ("files", "Files"),
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


def _worst(galleries: Galleries, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The two galleries of worst cases, those without pictures left out."""
    both = (
        ("behind", "Where the teacher was nearer to the truth", galleries.behind),
        ("ahead", "Where the student was nearer to the truth", galleries.ahead),
    )
    found = [
        {"name": name, "title": title, "tasks": _tasks(chosen, classes)}
        for name, title, chosen in both
    ]
    return [gallery for gallery in found if gallery["tasks"]]


def _aligned(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The labellers whose depth was fitted to the truth, as words; nothing without any."""
    return ", ".join(row["title"] for row in rows.values() if row["alignment"])


def _timing(comparison: Mapping[str, Any]) -> dict[str, Any]:
    rows = comparison["labellers"].values()
    measured = [row["latency"] for row in rows]
    loads = ", ".join(f"{entry['load_average']:.1f}" for entry in measured)
    sizes = {tuple(row["size_px"]) for row in rows}
    words = "; ".join(f"{row['title']} {row['size_px'][1]} × {row['size_px'][0]}" for row in rows)
    note = f"Load average of the machine before each measurement: {loads}."
    if len(sizes) > 1:
        note = f"Mind that they work in several sizes, in px: {words}. {note}"
    return {
        "threads": measured[0]["threads"],
        "note": note,
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
        "table": real_table(real, comparison["labellers"]),
        "tasks": _tasks(dict.fromkeys(TASK_TITLES, specimens), classes),
    }


def _provenance(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    machine, rows = comparison["machine"], comparison["labellers"]
    files = [(row["title"], f"{row['path']} · sha256 {row['sha256']}") for row in rows.values()]
    versions = ", ".join(f"{name} {number}" for name, number in comparison["versions"].items())
    return [
        *files,
        ("Photographs", comparison["data"]["images"]),
        ("Ground truth", comparison["data"]["labels"]),
        ("Protocol", comparison["protocol"]),
        ("Machine", f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"),
        ("Versions", versions),
    ]

"""The bars of the report: lengths in percent, so that the page decides how wide they are."""

from collections.abc import Callable, Mapping
from typing import Any

from export.figures import TASK_TITLES, Row, fixed, percent, significant
from export.lineup import ONNX, TEACHER
from teacher.pictures import css_color, segment_colors

METER_SPAN = 1.1
"""Retention at the right end of a meter; a student can be better than its teacher."""
AGREEMENT: Mapping[str, Callable[[float], str]] = {
    "depth": lambda delta1: (
        f"within {percent(0.25)} of the teacher’s depth on {percent(delta1)} of pixels"
    ),
    "normal": lambda mean_deg: f"{mean_deg:.1f}° from the teacher’s normals on average",
    "segment": lambda miou: f"mean IoU of {miou:.2f} with the teacher’s segments",
}
"""Task -> its agreement in words."""


def class_bars(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Intersection over union of every class that both have, teacher above student."""
    rows, classes = comparison["labellers"], comparison["classes"]
    pair = (rows[TEACHER], rows[comparison["headline"]])
    if not all("segment" in row for row in pair):
        return []
    taught, learned = (row["segment"]["per_class"] for row in pair)
    colors = segment_colors(len(classes))
    return [
        {
            "name": name,
            "color": css_color(color),
            "teacher": {"percent": 100 * taught[name], "text": fixed(taught[name], 2)},
            "student": {"percent": 100 * learned[name], "text": fixed(learned[name], 2)},
        }
        for name, color in zip(classes, colors)
        if taught.get(name) is not None and learned.get(name) is not None
    ]


def retention_meters(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The student's share of the teacher's quality in each task, with its interval."""
    learned: Row = comparison["labellers"][comparison["headline"]]
    agreement = agreement_words(learned["agreement"])
    meters = []
    for task, share in learned["retention"].items():
        bounds = learned["retention_interval_95"][task]
        meters.append(
            {
                "title": TASK_TITLES[task],
                "agreement": agreement.get(task, ""),
                "text": fixed(share, 3),
                "percent": _place(share),
                "interval": bounds,
                "low": _place(bounds[0] if bounds else share),
                "high": _place(bounds[1] if bounds else share),
                "whole": _place(1.0),
            }
        )
    return meters


def agreement_words(agreement: Mapping[str, float]) -> dict[str, str]:
    """Task -> how far the student agrees with its teacher."""
    return {task: AGREEMENT[task](value) for task, value in agreement.items()}


def _place(share: float | None) -> float:
    """Percent of a meter's length; a meter is full at METER_SPAN, and empty without a value."""
    return round(100 * min(max((share or 0.0) / METER_SPAN, 0.0), 1.0), 2)


def latency_bars(rows: Mapping[str, Row]) -> list[dict[str, Any]]:
    """Bars of the median, with the 90th percentile, on one linear scale."""
    longest = max(row["latency_ms"]["p90"] for row in rows.values())
    bars = []
    for row in rows.values():
        times = row["latency_ms"]
        bars.append(
            {
                "name": row["title"],
                "kind": "student" if row["kind"] == ONNX else row["kind"],
                "note": f"{significant(1000 / times['p50'])} photographs per second",
                "p50": significant(times["p50"]),
                "percent": round(100 * times["p50"] / longest, 2),
                "tail": round(100 * times["p90"] / longest, 2),
            }
        )
    return bars

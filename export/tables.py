"""The tables of the report: rows of labellers, so that a page of any width holds any number."""

from collections.abc import Mapping, Sequence
from typing import Any

from export.figures import (
    HEADLINE_METRICS,
    METRICS,
    RESOURCES,
    SLICE_METRICS,
    SLICE_TITLES,
    TASK_TITLES,
    TIMES,
    Metric,
    Row,
    bounds_text,
    fixed,
    per_million,
    percent,
    significant,
)
from export.lineup import TEACHER

Cell = dict[str, str]
"""A figure and, below it, its interval: "text", "small"."""
Table = dict[str, Any]
"""A table of the page: "title", "columns", "rows" of a "label" and "cells"."""


def cell(text: str, small: str = "") -> Cell:
    """A figure with what stands below it."""
    return {"text": text, "small": small}


def accuracy_tables(rows: Mapping[str, Row]) -> list[Table]:
    """Accuracy of every labeller against ground truth, task by task."""
    tables = []
    for task, title in TASK_TITLES.items():
        metrics = [metric for metric in METRICS if metric.task == task]
        body = [
            {"label": row["title"], "cells": _scores(row, metrics)}
            for row in rows.values()
            if task in row
        ]
        if body:
            columns = [metric.heading for metric in metrics]
            tables.append({"title": title, "columns": columns, "rows": body})
    return tables


def _scores(row: Row, metrics: Sequence[Metric]) -> list[Cell]:
    bounds = row.get("interval_95", {})
    return [
        cell(
            fixed(row[metric.task][metric.key], metric.digits),
            bounds_text(bounds.get(metric.task, {}).get(metric.key), metric.digits),
        )
        for metric in metrics
    ]


def kept_tables(rows: Mapping[str, Row]) -> list[Table]:
    """Of all but the plain teacher: the share of its quality, and the agreement with it."""
    learned = [row for row in rows.values() if "retention" in row]
    tasks = [task for task in TASK_TITLES if any(task in row["agreement"] for row in learned)]
    metrics = [HEADLINE_METRICS[task] for task in tasks]
    kept = [TASK_TITLES[task] for task in tasks]
    agreement = [f"{title}, {metric.heading}" for title, metric in zip(kept, metrics)]
    return [
        {
            "title": title,
            "columns": columns,
            "rows": [
                {"label": row["title"], "cells": [text(row, m) for m in metrics]} for row in learned
            ],
        }
        for title, columns, text in (
            ("Share of the teacher’s quality", kept, _kept),
            ("Agreement with the teacher", agreement, _agreement),
        )
    ]


def _kept(row: Row, metric: Metric) -> Cell:
    bounds = row["retention_interval_95"].get(metric.task)
    small = f"{percent(bounds[0])}–{percent(bounds[1])}" if bounds else ""
    return cell(percent(row["retention"].get(metric.task)), small)


def _agreement(row: Row, metric: Metric) -> Cell:
    bounds = row["agreement_interval_95"].get(metric.task)
    text = fixed(row["agreement"].get(metric.task), metric.digits)
    return cell(text, bounds_text(bounds, metric.digits))


def slice_tables(comparison: Mapping[str, Any]) -> list[Table]:
    """Teacher and student in each slice, task by task."""
    rows, shares = comparison["labellers"], comparison["slices"]
    teacher, learned = rows[TEACHER], rows[comparison["headline"]]
    tables = []
    for task, title in TASK_TITLES.items():
        key = SLICE_METRICS[task]
        metric = next(m for m in METRICS if (m.task, m.key) == (task, key))
        body = [
            {
                "label": SLICE_TITLES[name],
                "cells": [
                    cell(percent(shares[name])),
                    _slice(teacher["slices"][name].get(task), metric),
                    _slice(learned["slices"].get(name, {}).get(task), metric),
                ],
            }
            for name in teacher["slices"]
            if task in teacher["slices"][name]
        ]
        if body:
            columns = ["of all pixels", "teacher", "student"]
            label = f"{title}: {metric.heading}"
            tables.append({"title": label, "columns": columns, "rows": body})
    return tables


def _slice(found: Mapping[str, Any] | None, metric: Metric) -> Cell:
    if found is None:
        return cell("–")
    digits = min(metric.digits, 2)
    small = bounds_text(found["interval_95"], digits)
    return cell(fixed(found["value"], digits), small)


def cost_tables(comparison: Mapping[str, Any]) -> list[Table]:
    """Time at batch 1 with the speed-up over each teacher, then what a million photographs take."""
    rows: Mapping[str, Row] = comparison["labellers"]
    currency = comparison["currency"]
    columns = {
        **TIMES,
        **{f"vs {rows[name]['title']}": _speedup(name) for name in rows if _is_teacher(rows[name])},
    }
    resources = {**RESOURCES, "a million take": lambda row: per_million(row, currency)}
    return [
        {"title": title, "columns": list(texts), "rows": _text_rows(rows, texts)}
        for title, texts in (("One photograph at a time", columns), ("Resources", resources))
    ]


def _is_teacher(row: Row) -> bool:
    return row["kind"] == TEACHER


def _speedup(teacher: str) -> Any:
    """The column of the speed-up over one teacher."""
    return lambda row: f"{significant(row['speedup'][teacher])}×" if "speedup" in row else ""


def _text_rows(rows: Mapping[str, Row], texts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "label": row["title"],
            "cells": [cell(text(row)) for text in texts.values()],
        }
        for row in rows.values()
    ]


def real_table(real: Mapping[str, Any], rows: Mapping[str, Row]) -> list[Table]:
    """Scores on real photographs, where there is ground truth; then the agreement in words."""
    groups = (
        ("depth", "Depth as it is, in metres", "depth"),
        ("depth_aligned", "Depth after scaling each picture by the median ratio", "depth"),
        ("normal", "Surface normals", "normal"),
    )
    tables = []
    for key, title, task in groups:
        metrics = [metric for metric in METRICS if metric.task == task]
        body = [
            {
                "label": rows[name]["title"],
                "cells": _scores({task: row[key]}, metrics),
            }
            for name, row in real["labellers"].items()
            if key in row
        ]
        if body:
            count = real["counts"][task]
            columns = [metric.heading for metric in metrics]
            full = f"{title} ({count} photographs)"
            tables.append({"title": full, "columns": columns, "rows": body})
    return tables

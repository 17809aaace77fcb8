"""How good each labeller is, as comparison.json states it: values with bootstrap intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from distill.bootstrap import Resampled, interval, intervals
from distill.tally import HEADLINES, Tally, headlines, retention
from export.figures import SLICE_METRICS
from export.findings import ALIGNMENT, Finding, Findings
from export.lineup import TEACHER


def compare_quality(findings: Findings, weights: np.ndarray) -> dict[str, dict[str, Any]]:
    """Labeller -> accuracy, slices, agreement and retention, with bootstrap intervals.

    weights: (B, n), how often each photograph was drawn; see distill.bootstrap.draw_weights.
    """
    taught = findings.found[TEACHER].truth
    taught_drawn = taught.resample(weights)
    rows = {}
    for name, finding in findings.found.items():
        drawn, scores = finding.truth.resample(weights), finding.truth.result()
        rows[name] = {
            **scores,
            "interval_95": intervals(drawn),
            "slices": slice_scores(finding, weights),
            "size_px": list(finding.size_px),
            "alignment": ALIGNMENT if finding.aligned else None,
        }
        if name != TEACHER:
            rows[name] |= agreement_scores(finding.agreement, weights)
            rows[name] |= retention_scores(taught.result(), scores, taught_drawn, drawn)
    return rows


def slice_scores(finding: Finding, weights: np.ndarray) -> dict[str, dict[str, Any]]:
    """Slice -> task -> "value" and "interval_95" of its SLICE_METRICS; empty slices left out."""
    rows: dict[str, dict[str, Any]] = {}
    for name, tally in finding.slices.items():
        scores = tally.result()
        if scores:
            bounds = intervals(tally.resample(weights))
            rows[name] = {
                task: {"value": scores[task][metric], "interval_95": bounds[task][metric]}
                for task, metric in SLICE_METRICS.items()
                if task in scores
            }
    return rows


def agreement_scores(agreement: Tally, weights: np.ndarray) -> dict[str, Any]:
    """How far a labeller agrees with the teacher: the metric of HEADLINES for each task."""
    drawn = intervals(agreement.resample(weights))
    return {
        "agreement": headlines(agreement.result()),
        "agreement_interval_95": {task: drawn[task][HEADLINES[task]] for task in drawn},
    }


def retention_scores(
    taught: Mapping[str, Any], learned: Mapping[str, Any], taught_drawn: Resampled, drawn: Resampled
) -> dict[str, Any]:
    """A labeller's share of the teacher's quality; see distill.tally.retention."""
    shares = retention(taught_drawn, drawn)
    return {
        "retention": {task: finite(share) for task, share in retention(taught, learned).items()},
        "retention_interval_95": {task: interval(share) for task, share in shares.items()},
    }


def finite(value: Any) -> float | None:
    """A number for JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None

"""Teacher, student and shipped files side by side: the same photographs, one JSON, one report."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from distill.bootstrap import draw_weights
from distill.labellers import Labeller
from export.compare_config import CompareConfig
from export.costs import choose_headline, measure_costs, shown_path, speedups
from export.findings import Findings, examine, show
from export.held_out import read_held_out, take
from export.lineup import ONNX, TEACHER, Entry, line_up
from export.model_card import write_card
from export.quality import compare_quality
from export.real import read_manifest, read_real
from export.real_scores import RealFindings, examine_real
from export.report import Galleries, write_report
from export.shipped import read_metadata, read_refused
from teacher.progress import track
from teacher.provenance import describe_machine, package_versions, write_run

COMPARISON_SCHEMA = 2
HELD_OUT_PROTOCOL = (
    "Without test-time augmentation, every labeller on the same pixels; metric depth as it is, "
    "affine depth after a least-squares fit to the truth of each photograph. Depth: mean over "
    "photographs of each one's score, sky and unknown left out; normals: pooled over pixels; "
    "segments: one confusion matrix, mean over the classes that occur. Intervals: percentile "
    "bootstrap over photographs, the same draws for every labeller."
)


def compare(config: CompareConfig) -> dict[str, Any]:
    """Run the whole comparison, write it, and return what comparison.json holds.

    Raises FileNotFoundError or ValueError when a labeller or the data cannot be read, when the
    labels are of several sizes, and when labellers and labels name different classes.
    """
    entries = line_up(
        config.teacher,
        config.student,
        votes=config.votes,
        steps=config.steps,
        onnx=config.onnx,
        reference=config.reference,
    )
    real_entries = read_manifest(config.real, config.real_limit) if config.real else []
    labellers = {entry.name: entry.open() for entry in entries}
    held_out = take(read_held_out(config.images, config.labels), config.limit)
    findings = examine(labellers, held_out, batch=config.batch, where=str(config.labels))
    comparison = describe(entries, findings, config)
    headline = comparison["headline"]
    real = None
    if config.real:
        photographs = read_real(config.real, real_entries, findings.sample.shape[1])
        bar = track(photographs, "real photographs", total=len(real_entries))
        real = examine_real(labellers, bar, findings.classes, headline)
        comparison["real"] = real.summary
    shown = {name: labellers[name] for name in (TEACHER, headline)}
    write_comparison(config, comparison, choose_pictures(shown, findings, real, config))
    return comparison


def describe(entries: Sequence[Entry], findings: Findings, config: CompareConfig) -> dict[str, Any]:
    """What comparison.json holds, but for real photographs: accuracy, then costs."""
    rows: dict[str, dict[str, Any]] = {
        entry.name: {"title": entry.title, "kind": entry.kind} for entry in entries
    }
    weights = draw_weights(len(findings.keys), config.resamples, config.seed)
    quality = compare_quality(findings, weights)
    costs = measure_costs(
        entries,
        findings.sample,
        threads=config.threads,
        runs=config.runs,
        seconds=config.seconds,
        batch=config.batch,
        price_per_hour=config.price_per_hour,
    )
    for entry in entries:
        rows[entry.name] |= quality[entry.name] | costs[entry.name]
        if entry.kind == ONNX:
            rows[entry.name]["metadata"] = read_metadata(entry.path)
    for name, times in speedups(rows).items():
        rows[name]["speedup"] = times
    return {
        "schema": COMPARISON_SCHEMA,
        "headline": choose_headline(rows),
        "labellers": rows,
        "refused": read_refused(config.onnx),
        "images": len(findings.keys),
        "resolution": list(findings.sample.shape[1:3]),
        "classes": list(findings.classes),
        "slices": dict(findings.slice_shares),
        "price_per_hour": config.price_per_hour,
        "currency": config.currency,
        "machine": describe_machine(),
        "versions": package_versions(),
        "data": {"images": shown_path(config.images), "labels": shown_path(config.labels)},
        "protocol": HELD_OUT_PROTOCOL,
        "real": None,
    }


def write_comparison(
    config: CompareConfig, comparison: Mapping[str, Any], galleries: Galleries
) -> None:
    """Write comparison.json, the model card, and the report with the run.json of all this."""
    text = json.dumps(comparison, indent=2, ensure_ascii=False, allow_nan=False)
    config.out.mkdir(parents=True, exist_ok=True)
    (config.out / "comparison.json").write_text(text + "\n", encoding="utf-8")
    report = write_report(config.out / "report", comparison, galleries)
    write_card(config.out / "card", comparison)
    write_run(report.parent, config)


def choose_pictures(
    labellers: Mapping[str, Labeller],
    findings: Findings,
    real: RealFindings | None,
    config: CompareConfig,
) -> Galleries:
    """Photographs evenly spread, and those on which one lost most to the other, both ways.

    labellers: the teacher, and the one that learned from it.
    """
    teacher, learned = labellers
    tasks = findings.found[learned].agreement.result()
    count = config.worst_pictures

    def lost(worse: str, better: str) -> dict[str, list[str]]:
        return {t: findings.worst_keys(t, count, worse=worse, better=better) for t in tasks}

    spread = findings.spread_keys(config.pictures)
    behind, ahead = lost(learned, teacher), lost(teacher, learned)
    chosen = [*behind.values(), *ahead.values()]
    keys = {*spread, *(key for some in chosen for key in some)}
    held_out = take(read_held_out(config.images, config.labels), config.limit)
    shown = show(labellers, held_out, findings, keys)
    return Galleries(
        held_out=[shown[key] for key in spread],
        behind={task: [shown[key] for key in some] for task, some in behind.items()},
        ahead={task: [shown[key] for key in some] for task, some in ahead.items()},
        real=real.specimens[: config.real_pictures] if real else (),
    )

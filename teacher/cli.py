"""The verbs of the teacher; what is slow to import is imported when its verb is called."""

from dataclasses import dataclass
from pathlib import Path

from teacher.arguments import parse_arguments

INTERRUPTED = 75
"""Exit code EX_TEMPFAIL: stopped by SIGTERM, run it again to go on."""


def scenes(argv: list[str]) -> int:
    """Render procedural photographs, with exact ground truth if asked for."""
    from teacher.scenes.shards import ScenesConfig, write_scene_shards

    examples = """\
  potstill scenes --count 1000 --out runs/scenes
  potstill scenes --count 200 --out runs/heldout --labels"""
    config = parse_arguments(ScenesConfig, argv, prog="potstill scenes", examples=examples)
    write_scene_shards(config)
    return 0


def tune(argv: list[str]) -> int:
    """Train a generator, and tune it to paint labels."""
    from teacher.tuning import TuneConfig
    from teacher.tuning import tune as run_tuning

    examples = "  potstill tune --recipe embedded --out runs/teacher"
    config = parse_arguments(TuneConfig, argv, prog="potstill tune", examples=examples)
    run_tuning(config)
    return 0


def adapt(argv: list[str]) -> int:
    """Tune a teacher further on labelled photographs."""
    from teacher.tuning.adapt import AdaptConfig
    from teacher.tuning.adapt import adapt as run_adaptation

    examples = """\
  potstill import camvid data/camvid --split train --out sets/camvid
  potstill adapt --sets sets/camvid --out runs/adapted
  potstill label --teacher runs/adapted/teacher --images photographs/ --out labels/"""
    config = parse_arguments(AdaptConfig, argv, prog="potstill adapt", examples=examples)
    run_adaptation(config)
    return 0


def codecs(argv: list[str]) -> int:
    """Measure how much noise every depth codec bears."""
    from teacher.noise_table import CodecsConfig, run_codecs

    examples = """\
  potstill codecs
  potstill codecs --teacher embedded --out runs/codecs.md
  potstill codecs --teacher runs/teacher --scenes 16 --out runs/codecs.json"""
    config = parse_arguments(CodecsConfig, argv, prog="potstill codecs", examples=examples)
    print(run_codecs(config))
    return 0


def label(argv: list[str]) -> int:
    """Label photographs with a teacher; resumes where it stopped."""
    from teacher.job import LabelConfig, run_label_job

    examples = """\
  potstill label --images photographs/ --out labels/
  potstill label --images photographs/ --out labels/ --tasks depth,normal --shards 0-99
  potstill label --images photographs/ --out labels/ --votes 2
  potstill label --images shards/ --out labels/ --teacher runs/teacher --dtype bfloat16"""
    config = parse_arguments(LabelConfig, argv, prog="potstill label", examples=examples)
    report = run_label_job(config)
    rate = f", {report.labelled_now / report.seconds:.1f}/s" if report.labelled_now else ""
    print(
        f"{config.out}: {report.shards_done} of {report.shards} shards done, "
        f"{report.labelled} photographs labelled ({report.labelled_now} now{rate}), "
        f"{report.quarantined} quarantined"
    )
    if report.interrupted:
        print("stopped by SIGTERM; the same command goes on from here")
    return INTERRUPTED if report.interrupted else 0


def calibrate(argv: list[str]) -> int:
    """Fit how sure a teacher's labels are, on photographs whose true labels are known."""
    from teacher.calibrate import CalibrateConfig, format_report
    from teacher.calibrate import calibrate as run_calibration

    examples = """\
  potstill scenes --count 512 --split held-out --out held-out --labels
  potstill calibrate --teacher runs/teacher --images held-out --labels held-out/labels --out runs/c
  cp runs/c/confidence.json runs/teacher/"""
    config = parse_arguments(CalibrateConfig, argv, prog="potstill calibrate", examples=examples)
    print(format_report(run_calibration(config)))
    print(f"{config.out}: confidence.json (put it into the teacher's folder), calibration.png")
    return 0


@dataclass(frozen=True, kw_only=True)
class StatusConfig:
    """How far a labelling job is, from its markers alone."""

    labels: Path
    """Folder of the label shards."""


def status(argv: list[str]) -> int:
    """Print how far a labelling job is, and what it could not label."""
    from teacher.status import job_status

    examples = "  potstill status --labels labels/"
    config = parse_arguments(StatusConfig, argv, prog="potstill status", examples=examples)
    state = job_status(config.labels)
    print(f"job          {state.job_id}, teacher {state.teacher}")
    print(f"shards       {len(state.markers)} of {state.shards} done")
    print(
        f"photographs  {state.labelled} labelled, {len(state.quarantined)} quarantined, "
        f"{state.remaining} to go"
    )
    for name, error in state.quarantined:
        print(f"quarantined  {name}/{error.key} ({error.stage}): {error.reason}")
    return 0

"""The verbs of the teacher; what is slow to import is imported once a verb's options were read."""

from dataclasses import dataclass

from teacher.arguments import given_options, parse_arguments

INTERRUPTED = 75
"""Exit code EX_TEMPFAIL: stopped by SIGTERM or Ctrl-C, run it again to go on."""
BROKEN = 1
"""Exit code of `verify` when something is broken, repaired or not."""


def scenes(argv: list[str]) -> int:
    """Render procedural photographs, with exact ground truth if asked for."""
    from teacher.scenes.config import ScenesConfig

    examples = """\
  potstill scenes --count 1000 --out runs/scenes
  potstill scenes --count 200 --out runs/heldout --labels"""
    config = parse_arguments(ScenesConfig, argv, prog="potstill scenes", examples=examples)
    from teacher.scenes.shards import write_scene_shards

    write_scene_shards(config)
    return 0


def tune(argv: list[str]) -> int:
    """Train a generator to paint labels (--recipe), or tune an existing one (--base)."""
    examples = """\
  potstill tune --recipe embedded --out runs/teacher
  potstill tune --base FLUX.2-klein --images scenes/images --labels scenes/labels --out runs/tuned
  potstill tune --base FLUX.1-Kontext --full true --objective flow --devices 8 --config tune.yaml
  potstill tune --base FOLDER --help   tells the options of tuning an existing generator"""
    chosen = given_options(argv) & {"recipe", "base"}
    if chosen == {"base"}:
        return _tune_editor(argv, examples)
    if len(chosen) != 1 and not {"-h", "--help"} & set(argv):
        raise ValueError(
            "give either --recipe, to train a generator from scratch, or --base, to tune an "
            f"existing one; found {'both' if chosen else 'neither'}"
        )
    from teacher.tuning.config import TuneConfig

    config = parse_arguments(TuneConfig, argv, prog="potstill tune", examples=examples)
    from teacher.tuning.tune import tune as run_tuning

    run_tuning(config)
    return 0


def _tune_editor(argv: list[str], examples: str) -> int:
    from teacher.tuning.editors.config import EditorTuneConfig

    config = parse_arguments(EditorTuneConfig, argv, prog="potstill tune", examples=examples)
    from teacher.tuning.editors.tune import tune_editor

    tune_editor(config)
    return 0


def adapt(argv: list[str]) -> int:
    """Tune a teacher further on labelled photographs."""
    from teacher.tuning.config import AdaptConfig

    examples = """\
  potstill import camvid data/camvid --split train --out sets/camvid
  potstill adapt --sets sets/camvid --out runs/adapted
  potstill label --teacher runs/adapted/teacher --images photographs/ --out labels/"""
    config = parse_arguments(AdaptConfig, argv, prog="potstill adapt", examples=examples)
    from teacher.tuning.adapt import adapt as run_adaptation

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
    from teacher.jobs.job import LabelConfig, run_label_job
    from teacher.jobs.label_shard import Interrupted

    examples = """\
  potstill label --images photographs/ --out labels/
  potstill label --images photographs/ --out labels/ --plan
  potstill label --images "s3://bucket/shards/{000000..000123}.tar" --out s3://bucket/labels
  potstill label --images photographs/ --out labels/ --tasks depth,normal --shards 0-99
  potstill label --images photographs/ --out labels/ --votes 2
  potstill label --images photographs/ --out better/ --votes 8 --parent labels/ \\
    --only_below_confidence 0.6
  potstill label --images shards/ --out labels/ --teacher runs/teacher --dtype bfloat16
  potstill label --images shards/ --out labels/ --teacher FOLDER --lora runs/tuned/teacher --steps 1
  potstill label --images shards/ --out labels/ --engine ray --address head:6379
  potstill label --benchmark --images photographs/"""
    if "--benchmark" in argv:
        return benchmark([argument for argument in argv if argument != "--benchmark"])
    config = parse_arguments(LabelConfig, argv, prog="potstill label", examples=examples)
    if config.plan:
        from teacher.jobs.label_plan import plan_label_job, plan_lines

        print("\n".join(plan_lines(plan_label_job(config))))
        return 0
    try:
        report = run_label_job(config)
    except Interrupted:
        print(f"{config.out}: stopped while another process was planning the job")
        return INTERRUPTED
    speed = f"{report.labelled_now / max(report.seconds, 1e-3):.1f}/s"
    rate = f", {speed}, device {report.device_busy:.0%} busy" if report.labelled_now else ""
    print(
        f"{config.out}: {report.shards_done} of {report.shards} shards done, "
        f"{report.labelled} photographs labelled ({report.labelled_now} now{rate}), "
        f"{report.quarantined} quarantined"
    )
    if report.shards_elsewhere:
        print(f"{report.shards_elsewhere} more shards are being labelled by other processes")
    if report.interrupted:
        print("stopped when asked to; the same command goes on from here")
    return INTERRUPTED if report.interrupted else 0


def benchmark(argv: list[str]) -> int:
    """Measure how fast this machine labels, and where the time goes."""
    from teacher.benchmark.config import BenchmarkConfig

    examples = """\
  potstill label --benchmark --images photographs/
  potstill label --benchmark --images photographs/ --teacher runs/teacher --steps 1,4 --out bench/
  potstill label --benchmark --images photographs/ --random klein-4b,kontext-12b --device cuda"""
    prog = "potstill label --benchmark"
    config = parse_arguments(BenchmarkConfig, argv, prog=prog, examples=examples)
    from teacher.benchmark.run import as_table
    from teacher.benchmark.run import benchmark as run_benchmark

    print(as_table(run_benchmark(config)))
    return 0


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
    owner = "adapter" if config.lora else "teacher"
    print(f"{config.out}: confidence.json (put it into the {owner}'s folder), calibration.png")
    return 0


@dataclass(frozen=True, kw_only=True)
class StatusConfig:
    """How far a labelling job is, from its markers alone: from any machine, also while it runs."""

    labels: str
    """Folder of the label shards, or its URL."""


def status(argv: list[str]) -> int:
    """Print how far a labelling job is, how fast it was of late, and what it could not label."""
    from teacher.jobs.status import job_status
    from teacher.jobs.status_text import status_lines

    examples = """\
  potstill status --labels labels/
  potstill status --labels s3://bucket/labels"""
    config = parse_arguments(StatusConfig, argv, prog="potstill status", examples=examples)
    print("\n".join(status_lines(job_status(config.labels))))
    return 0


def verify(argv: list[str]) -> int:
    """Read a label set again, and name everything that is broken."""
    from teacher.jobs.verify import VerifyConfig
    from teacher.jobs.verify import verify as run_verification

    examples = """\
  potstill verify --labels labels/
  potstill verify --labels labels/ --images images/ --threads 8
  potstill verify --labels labels/ --repair && potstill label --images photographs/ --out labels/"""
    config = parse_arguments(VerifyConfig, argv, prog="potstill verify", examples=examples)
    report = run_verification(config, found=print)
    print(
        f"{config.labels}: {report.shards} shards, {report.samples} labels, "
        f"{report.size_bytes / 1e6:.1f} MB read; {report.missing} shards not labelled yet; "
        + (f"{report.defects} defects in {report.broken} shards" if report.defects else "sound")
    )
    if report.deleted:
        print(f"deleted {report.deleted} shards; `potstill label` writes them again")
    return BROKEN if report.defects else 0


def view(argv: list[str]) -> int:
    """Make pages of pictures of a label set."""
    from teacher.viewer import ViewConfig, write_view

    examples = """\
  potstill view --labels labels/ --images images/ --out view/
  potstill view --labels labels/ --images images/ --out view/ --shards 0-9 --per_page 100"""
    config = parse_arguments(ViewConfig, argv, prog="potstill view", examples=examples)
    print(f"open {write_view(config)}")
    return 0

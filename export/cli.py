"""The verbs of this package: export, compare, quickstart."""

from teacher.arguments import parse_arguments

EXPORT_EXAMPLES = """\
  potstill export --student runs/student --out runs/export
  potstill export --student runs/student --out runs/export --images photographs/"""
COMPARE_EXAMPLES = """\
  potstill compare --teacher teacher/embedded --student runs/student \\
      --onnx runs/export/student_fp32.onnx --images held_out/images --labels held_out/labels \\
      --out runs/comparison"""
QUICKSTART_EXAMPLES = """\
  potstill quickstart
  potstill quickstart --quick
  potstill quickstart --real data/ --out runs/real"""


def export(argv: list[str]) -> int:
    """Write a student as ONNX and check it against PyTorch."""
    from export.graph import ExportConfig, export_student

    config = parse_arguments(ExportConfig, argv, prog="potstill export", examples=EXPORT_EXAMPLES)
    path, report = export_student(config)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    print(report.describe())
    return 0


def compare(argv: list[str]) -> int:
    """Teacher, student and ONNX side by side, as a table, a JSON file and a report."""
    from rich.console import Console

    from export.compare import CompareConfig
    from export.compare import compare as run_comparison
    from export.figures import comparison_table

    config = parse_arguments(
        CompareConfig, argv, prog="potstill compare", examples=COMPARE_EXAMPLES
    )
    comparison = run_comparison(config)
    Console().print(comparison_table(comparison))
    print(f"{config.out / 'comparison.json'}\n{config.out / 'report' / 'index.html'}")
    return 0


def quickstart(argv: list[str]) -> int:
    """The whole pipeline, small, on this machine."""
    from export.quickstart import QuickstartConfig, run_quickstart, run_real_quickstart

    config = parse_arguments(
        QuickstartConfig, argv, prog="potstill quickstart", examples=QUICKSTART_EXAMPLES
    )
    if config.real is None:
        run_quickstart(config)
    else:
        run_real_quickstart(config, config.real)
    return 0

"""The console command: a table of verbs, each imported only when it is called."""

import importlib
import sys
import traceback
from typing import NamedTuple


class Verb(NamedTuple):
    module: str
    function: str
    help: str


VERBS = {
    "scenes": Verb(
        "teacher.cli", "scenes", "render procedural photographs, with exact ground truth"
    ),
    "tune": Verb("teacher.cli", "tune", "train a generator, and tune it to paint labels"),
    "adapt": Verb("teacher.cli", "adapt", "tune a teacher further on labelled photographs"),
    "label": Verb(
        "teacher.cli", "label", "label photographs with a teacher; resumes where it stopped"
    ),
    "calibrate": Verb("teacher.cli", "calibrate", "fit how sure a teacher's labels are"),
    "codecs": Verb("teacher.cli", "codecs", "how much noise every depth codec bears, measured"),
    "status": Verb("teacher.cli", "status", "how far a labelling job is, from its markers alone"),
    "verify": Verb("teacher.cli", "verify", "read a label set again, and name what is broken"),
    "view": Verb("teacher.cli", "view", "a label set as pages of pictures, for any browser"),
    "import": Verb(
        "distill.cli", "import_", "turn a data set in its official layout into labelled shards"
    ),
    "train": Verb("distill.cli", "train", "train a student on labelled shards"),
    "ablate": Verb("distill.cli", "ablate", "students that differ in one thing each, compared"),
    "evaluate": Verb("export.cli", "evaluate", "score any labeller against labels, by slices"),
    "export": Verb("export.cli", "export", "write a student as ONNX and check it against PyTorch"),
    "compare": Verb("export.cli", "compare", "teacher, student and ONNX side by side, as a report"),
    "latency": Verb("export.cli", "latency", "how long files take here, and what limits them"),
    "web": Verb("export.cli", "web", "try an exported student in a browser, with the camera"),
    "quickstart": Verb("export.cli", "quickstart", "all of it, small, on this machine"),
}

EPILOG = """\
potstill VERB --help tells what a verb takes; --debug after a verb shows the traceback of an error.

examples:
  potstill quickstart
  potstill label --images photographs/ --out labels/
  potstill train --images photographs/ --labels labels/ --out runs/student
  potstill export --student runs/student --out runs/export"""


def usage() -> str:
    """The overview that `potstill --help` prints."""
    rows = "\n".join(f"  {name:<11} {verb.help}" for name, verb in VERBS.items())
    return (
        "usage: potstill VERB [options]\n\n"
        "Distil an image generator that paints depth, normals and segmentation\n"
        f"into a fast vision transformer.\n\nverbs:\n{rows}\n\n{EPILOG}"
    )


def one_line(error: BaseException) -> str:
    """An error's message on a single line, its type named when it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


def run_verb(name: str, argv: list[str]) -> int:
    """Call one verb; errors of the user's making become one line and exit code 2."""
    debug = "--debug" in argv
    argv = [argument for argument in argv if argument != "--debug"]
    verb = VERBS[name]
    try:
        return getattr(importlib.import_module(verb.module), verb.function)(argv)
    except (ValueError, OSError) as error:
        if debug:
            traceback.print_exc()
        print(f"potstill {name}: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"potstill {name}: interrupted", file=sys.stderr)
        return 130


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console script `potstill`; returns the process's exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"potstill {version('potstill')}")
        return 0
    if argv[0] not in VERBS:
        known = ", ".join(VERBS)
        print(f"potstill: error: unknown verb {argv[0]!r}; known: {known}", file=sys.stderr)
        return 2
    return run_verb(argv[0], argv[1:])


if __name__ == "__main__":
    sys.exit(main())

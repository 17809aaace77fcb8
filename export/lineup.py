"""Who is compared: the teacher in each of its settings, the student, shipped files, references."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from export.labellers import load_labeller
from teacher.model_folder import is_model_folder
from teacher.painters import EMBEDDED

if TYPE_CHECKING:
    from distill.labellers import Labeller

TEACHER, STUDENT, ONNX, REFERENCE = "teacher", "student", "onnx", "reference"
"""What a labeller may be in a comparison. The plain teacher and the student are also named so."""
FILE_PREFIX = "student_"
"""Of the files of `potstill export`; what follows names the precision and the size."""
PRECISIONS = ("fp32", "fp16", "int8")
"""In the order in which their files are listed."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One labeller of a comparison, not opened yet."""

    name: str
    """Its key in comparison.json."""
    title: str
    """Its name for people."""
    kind: str
    """TEACHER, STUDENT, ONNX or REFERENCE."""
    path: Path
    votes: int = 1
    """Paintings of each photograph that a teacher merges."""
    steps: int | None = None
    """Denoising steps of a teacher, in place of its own."""

    def open(self) -> "Labeller":
        """The labeller, ready to predict. Raises what export.labellers.load_labeller raises."""
        return load_labeller(self.path, votes=self.votes, steps=self.steps)


def line_up(
    teacher: Path,
    student: Path,
    *,
    votes: Sequence[int] = (),
    steps: Sequence[int] = (),
    onnx: Sequence[Path] = (),
    reference: Sequence[Path] = (),
) -> list[Entry]:
    """Everyone who is compared: teachers first, then the student, its files, and references.

    votes, steps: settings of the teacher besides the plain one. onnx: files, and folders of
    `potstill export`, which stand for all files in them.
    Raises FileNotFoundError or ValueError in one line for a path that holds no labeller of its
    kind, and for two labellers of one name.
    """
    teacher = EMBEDDED if str(teacher) == "embedded" else teacher
    if not is_model_folder(teacher):
        raise ValueError(
            f"{teacher}: expected the folder of a teacher, with model_index.json or config.json; "
            'give another --teacher, or "embedded"'
        )
    if not (student / "student.json").is_file():
        raise FileNotFoundError(
            f"{student / 'student.json'}: no such file; --student takes a folder of `potstill "
            "train`"
        )
    entries = [
        *_teachers(teacher, votes, steps),
        Entry(name=STUDENT, title="Student", kind=STUDENT, path=student),
        *(_shipped(file) for path in onnx for file in _onnx_files(path)),
        *(_reference(path) for path in reference),
    ]
    for name, count in Counter(entry.name for entry in entries).items():
        if count > 1:
            twice = ", ".join(str(entry.path) for entry in entries if entry.name == name)
            raise ValueError(f"two labellers are both named {name}: {twice}; give only one of them")
    return entries


def _teachers(path: Path, votes: Sequence[int], steps: Sequence[int]) -> Iterator[Entry]:
    """The plain teacher, then each other number of votes, then of steps."""
    yield Entry(name=TEACHER, title="Teacher", kind=TEACHER, path=path)
    for count in sorted(set(votes) - {1}):
        name, title = f"teacher_votes_{count}", f"Teacher, {count} votes"
        yield Entry(name=name, title=title, kind=TEACHER, path=path, votes=count)
    for count in sorted(set(steps)):
        name = f"teacher_steps_{count}"
        title = f"Teacher, {count} step{'s' * (count > 1)}"
        yield Entry(name=name, title=title, kind=TEACHER, path=path, steps=count)


def _onnx_files(path: Path) -> list[Path]:
    """The file itself, or the files of a folder: FP32 first, INT8 last."""
    if path.suffix == ".onnx" and not path.is_dir():
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such ONNX file; write one with `potstill export`, or give its folder"
            )
        return [path]
    files = sorted(path.glob("*.onnx"), key=lambda file: (_precision_rank(file), file.name))
    if not files:
        raise FileNotFoundError(
            f"{path}: holds no ONNX file; --onnx takes files, or the folder of `potstill export`"
        )
    return files


def _precision_rank(file: Path) -> int:
    ranks = [rank for rank, precision in enumerate(PRECISIONS) if precision in file.stem]
    return ranks[0] if ranks else len(PRECISIONS)


def _shipped(file: Path) -> Entry:
    variant = file.stem.removeprefix(FILE_PREFIX)
    words = [word.upper() if word in PRECISIONS else word for word in variant.split("_")]
    return Entry(name=f"onnx_{variant}", title=" ".join(["ONNX", *words]), kind=ONNX, path=file)


def _reference(path: Path) -> Entry:
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such folder or file; --reference takes a teacher, a student or an ONNX "
            "file"
        )
    name = path.resolve().stem if path.suffix == ".onnx" else path.resolve().name
    return Entry(name=f"reference_{name}", title=name, kind=REFERENCE, path=path)

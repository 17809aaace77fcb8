"""Who is compared: names, order, and what is said of paths that hold no labeller."""

import json
import re
from pathlib import Path

import pytest

from export.lineup import line_up
from export.shipped import read_metadata, read_refused
from teacher.painters import EMBEDDED


@pytest.fixture
def student(tmp_path: Path) -> Path:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "student.json").write_text("{}")
    return folder


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A folder with the files of an export, of which nothing but the names is looked at."""
    folder = tmp_path / "export"
    folder.mkdir()
    for name in ("int8_dynamic", "fp16", "fp32_480x640", "fp32"):
        (folder / f"student_{name}.onnx").touch()
    return folder


def test_names_and_order(student: Path, export: Path) -> None:
    entries = line_up(
        EMBEDDED, student, votes=(4, 1), steps=(2,), onnx=(export,), reference=(student,)
    )
    assert [(entry.name, entry.title) for entry in entries] == [
        ("teacher", "Teacher"),
        ("teacher_votes_4", "Teacher, 4 votes"),
        ("teacher_steps_2", "Teacher, 2 steps"),
        ("student", "Student"),
        ("onnx_fp32", "ONNX FP32"),
        ("onnx_fp32_480x640", "ONNX FP32 480x640"),
        ("onnx_fp16", "ONNX FP16"),
        ("onnx_int8_dynamic", "ONNX INT8 dynamic"),
        ("reference_student", "student"),
    ]
    assert [(entry.votes, entry.steps) for entry in entries[:4]] == [
        (1, None),
        (4, None),
        (1, 2),
        (1, None),
    ]


def test_the_embedded_teacher_by_its_word(student: Path) -> None:
    assert line_up(Path("embedded"), student)[0].path == EMBEDDED


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"teacher": Path("nowhere")}, "nowhere: expected the folder of a teacher"),
        ({"student": Path("nowhere")}, "nowhere/student.json: no such file; --student takes"),
        ({"onnx": (Path("nowhere.onnx"),)}, "nowhere.onnx: no such ONNX file"),
        ({"onnx": (Path("nowhere"),)}, "nowhere: holds no ONNX file; --onnx takes files, or"),
        ({"reference": (Path("nowhere"),)}, "nowhere: no such folder or file; --reference"),
    ],
)
def test_paths_that_hold_nothing(fields: dict, message: str, student: Path) -> None:
    given = {"teacher": EMBEDDED, "student": student, **fields}
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)) as caught:
        line_up(**given)
    assert "\n" not in str(caught.value)


def test_two_of_one_name(student: Path, export: Path) -> None:
    file = export / "student_fp32.onnx"
    with pytest.raises(ValueError, match=r"two labellers are both named onnx_fp32: .*, .*; give"):
        line_up(EMBEDDED, student, onnx=(export, file))


def test_what_did_not_ship_is_read_beside_the_files(export: Path) -> None:
    assert read_refused([export]) == []
    refused = [{"name": "onnx_int8", "reason": "slower"}]
    (export / "run.json").write_text(json.dumps({"refused": refused}))
    assert read_refused([export, export / "student_fp32.onnx"]) == refused
    (export / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json: not the run\.json of an export"):
        read_refused([export])


def test_a_file_that_is_not_ours(export: Path) -> None:
    with pytest.raises(ValueError, match=r"student_fp32\.onnx: "):
        read_metadata(export / "student_fp32.onnx")

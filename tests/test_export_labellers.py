"""An exported student as a labeller among others."""

import json
from pathlib import Path

import pytest
from exported import onnx_file, student_folder
from labelled import write_set

from distill.main import main
from teacher.scenes.config import ScenesConfig
from teacher.scenes.shards import write_scene_shards


def test_the_command_scores_an_onnx_file_as_its_student(tmp_path: Path) -> None:
    config = ScenesConfig(out=tmp_path / "scenes", count=2, size_px=32, labels=True)
    write_scene_shards(config)
    given = ["--on", str(tmp_path / "scenes/labels"), "--out"]
    for name, path in (("student", student_folder()), ("onnx", onnx_file())):
        assert main(["evaluate", str(path), *given, str(tmp_path / name)]) == 0
    student, onnx = (json.loads((tmp_path / n).read_text()) for n in ("student", "onnx"))
    assert onnx["depth"]["delta1"] == pytest.approx(student["depth"]["delta1"], abs=0.01)
    assert onnx["segment"]["accuracy"] == pytest.approx(student["segment"]["accuracy"], abs=0.01)
    assert onnx["slices"]["edges"]["share"] == student["slices"]["edges"]["share"]
    assert set(onnx["coverage"]) == set(student["coverage"]) == {"0.9", "0.8"}


def test_an_onnx_file_takes_neither_steps_nor_adapters(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_set(tmp_path, 1, shards=1)
    file = tmp_path / "student.onnx"
    given = ["--on", str(tmp_path / "labels"), "--steps", "2"]
    assert main(["evaluate", str(file), *given]) == 2
    assert f"{file} is an ONNX file, which takes neither" in capsys.readouterr().err

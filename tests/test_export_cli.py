"""The verbs export and compare, as a user types them."""

from pathlib import Path

import pytest
from exported import make_student, photographs

from distill.main import main
from export.session import Predictor
from student.model import save_student


def test_export_of_a_student_of_one_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = save_student(make_student(tasks=("depth",), classes=()), tmp_path / "student")
    assert main(["export", "--student", str(student), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "student_fp32.onnx" in printed
    assert (
        "onnx_fp32         agrees with pytorch; of the range, worst of 30 comparisons at 5 sizes"
        in printed
    )
    assert "for any device" in printed
    prediction = Predictor(tmp_path / "out" / "student_fp32.onnx")(photographs()[0])
    assert prediction.depth_m is not None
    assert prediction.normal is prediction.segment is None
    assert prediction.confidence is not None
    assert prediction.confidence.shape == (48, 48, 1)


@pytest.mark.parametrize("verb", ["export", "compare", "quickstart"])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert f"potstill {verb}" in printed
    assert "examples:" in printed


@pytest.mark.parametrize(
    "argv",
    [
        ["export", "--student", "nowhere", "--out", "out"],
        [
            *["compare", "--teacher", "nowhere", "--student", "nowhere", "--onnx", "nowhere.onnx"],
            *["--images", "nowhere", "--labels", "nowhere", "--out", "out"],
        ],
    ],
    ids=lambda argv: argv[0],
)
def test_what_is_missing_is_one_line_and_exit_code_2(
    argv: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"potstill {argv[0]}: error: nowhere")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

"""Any labeller against any label set."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE, write_set
from tiny import build_teacher
from tiny_unets import build_predictor

from distill.evaluate import (
    PainterLabeller,
    Prediction,
    StudentLabeller,
    evaluate,
    load_labeller,
    resize_prediction,
)
from distill.main import main
from student import Student, StudentConfig, build_student, save_student
from teacher.sample import resize_photograph


class Ruler:
    """Reads depth off the red channel of the photographs of `labelled`, and knows the classes."""

    name = "ruler"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        self.batches.append(len(photographs))
        height, width = photographs.shape[1:3]
        stripes = np.tile(np.arange(width) * 3 // width, (height, 1))
        ramps = 1 + 3 * photographs[..., 0].astype(np.float32) / 255
        return [Prediction(depth_m=ramp, segment=stripes, classes=CLASSES) for ramp in ramps]


def tiny_student(**fields) -> Student:
    torch.manual_seed(0)
    given = {"backbone": TINY_BACKBONE, "backbone_arguments": TINY_ARGUMENTS, "decoder_dim": 8}
    config = {**given, "classes": CLASSES, "image_size": (32, 32), **fields}
    return build_student(StudentConfig(**config)).eval()


def test_a_perfect_labeller_scores_perfectly(tmp_path: Path) -> None:
    write_set(tmp_path, 1, shards=1)
    scores = evaluate(Ruler(), tmp_path, tmp_path / "labels")
    assert scores["images"] == 1
    assert scores["depth"]["delta1"] == 1.0
    assert scores["depth"]["absrel"] < 0.02
    assert scores["segment"]["miou"] == 1.0
    assert "normal" not in scores


def test_batches_are_full_and_the_limit_is_kept(tmp_path: Path) -> None:
    write_set(tmp_path, 7)
    ruler = Ruler()
    assert evaluate(ruler, tmp_path, tmp_path / "labels", batch_size=3)["images"] == 7
    assert ruler.batches == [3, 3, 1]
    assert evaluate(Ruler(), tmp_path, tmp_path / "labels", limit=2)["images"] == 2


def test_a_batch_holds_photographs_of_one_size(tmp_path: Path) -> None:
    write_set(tmp_path / "a", 2, shards=1)
    write_set(tmp_path / "b", 2, shards=1, size=(64, 32))
    for kind in ("images", "labels"):
        source = tmp_path / "b" / kind / "000000.tar"
        source.rename(tmp_path / "a" / kind / "000001.tar")
    ruler = Ruler()
    assert evaluate(ruler, tmp_path / "a", tmp_path / "a" / "labels")["images"] == 4
    assert ruler.batches == [2, 2]


def test_only_the_tasks_that_are_asked_for_are_scored(tmp_path: Path) -> None:
    write_set(tmp_path, 2)
    scores = evaluate(Ruler(), tmp_path, tmp_path / "labels", tasks=("depth",))
    assert set(scores) == {"images", "depth"}


def test_labels_of_one_task_are_scored_by_that(tmp_path: Path) -> None:
    write_set(tmp_path, 2, depth_m=None, depth_kind=None, normal=None)
    scores = evaluate(Ruler(), tmp_path, tmp_path / "labels")
    assert scores["segment"]["miou"] == 1.0
    assert "depth" not in scores


def test_nothing_to_score_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2)
    with pytest.raises(ValueError, match="nothing to score"):
        evaluate(Ruler(), tmp_path, tmp_path / "labels", tasks=("normal",))


def test_other_class_names_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2, classes=("road", "car", "sky"))
    with pytest.raises(ValueError, match="class names differ"):
        evaluate(Ruler(), tmp_path, tmp_path / "labels")


def test_a_student_is_scored_at_its_own_size(tmp_path: Path) -> None:
    """Photographs of 64 x 96 px are resized to the student's, as the contract's rule says."""
    student = tiny_student()
    photographs = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    predictions = StudentLabeller(student).predict(photographs)
    fitted = np.stack([resize_photograph(p, 32, 32) for p in photographs])
    with torch.no_grad():
        outputs = student(torch.from_numpy(fitted).permute(0, 3, 1, 2).float() / 255)
    assert predictions[1].depth_m is not None
    assert predictions[1].normal is not None
    assert predictions[1].classes == CLASSES
    np.testing.assert_array_equal(predictions[1].depth_m, outputs["depth"][1])
    np.testing.assert_array_equal(predictions[1].normal, outputs["normal"][1].permute(1, 2, 0))
    np.testing.assert_array_equal(predictions[0].segment, outputs["segment"][0].argmax(0))


def test_affine_depth_is_not_passed_off_as_metres() -> None:
    labeller = StudentLabeller(tiny_student(depth_kind="affine"))
    prediction = labeller.predict(np.zeros((1, 32, 32, 3), np.uint8))[0]
    assert prediction.depth_m is None
    assert prediction.normal is not None


def test_a_resized_prediction_takes_the_nearest_pixels() -> None:
    depth = np.array([[1.0, 2.0], [3.0, np.inf]], np.float32)
    prediction = Prediction(depth_m=depth, segment=depth.copy(), classes=("a",))
    larger = resize_prediction(prediction, (4, 6))
    assert larger.depth_m is not None
    np.testing.assert_array_equal(larger.depth_m[0], [1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(larger.depth_m[3], [3, 3, 3, np.inf, np.inf, np.inf])
    back = resize_prediction(larger, (2, 2))
    np.testing.assert_array_equal(back.depth_m, depth)  # type: ignore[arg-type]
    assert back.classes == ("a",)
    assert back.normal is None


def test_students_and_teachers_are_told_apart_by_their_files(tmp_path: Path) -> None:
    save_student(tiny_student(), tmp_path / "student")
    build_teacher(tmp_path / "teacher")
    assert isinstance(load_labeller(tmp_path / "student"), StudentLabeller)
    teacher = load_labeller(tmp_path / "teacher", tasks=("depth", "segment"))
    assert isinstance(teacher, PainterLabeller)
    assert teacher.name == "teacher"
    with pytest.raises(ValueError, match="expected the folder of a student"):
        load_labeller(tmp_path)
    assert load_labeller(Path("embedded")).name == "embedded"


def test_steps_and_adapters_are_for_teachers_alone(tmp_path: Path) -> None:
    build_teacher(tmp_path / "teacher")
    (tmp_path / "adapter").mkdir()
    card = json.loads((tmp_path / "teacher/teacher.json").read_text()) | {"steps": 3}
    (tmp_path / "adapter/teacher.json").write_text(json.dumps(card))
    shutil.copy(tmp_path / "teacher/instructions.safetensors", tmp_path / "adapter")

    def steps(**options: Any) -> int:
        labeller = load_labeller(tmp_path / "teacher", **options)
        assert isinstance(labeller, PainterLabeller)
        return labeller.teacher.provenance()["steps"]

    assert steps(lora=tmp_path / "adapter") == 3
    assert steps(lora=tmp_path / "adapter", steps=2) == 2
    save_student(tiny_student(), tmp_path / "student")
    with pytest.raises(ValueError, match="takes neither --steps nor --lora"):
        load_labeller(tmp_path / "student", steps=2)


def test_a_teacher_is_scored_and_repeats_itself(tmp_path: Path) -> None:
    write_set(tmp_path, 2)
    build_teacher(tmp_path / "teacher")
    teacher = load_labeller(tmp_path / "teacher")
    one = evaluate(teacher, tmp_path, tmp_path / "labels", batch_size=1)
    assert set(one) == {"images", "depth", "normal", "segment"}
    assert one == evaluate(teacher, tmp_path, tmp_path / "labels", batch_size=1)
    voting = load_labeller(tmp_path / "teacher", votes=2)
    assert one != evaluate(voting, tmp_path, tmp_path / "labels", batch_size=1)


def test_the_command_prints_and_writes_the_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_set(tmp_path, 2)
    student = save_student(tiny_student(), tmp_path / "student")
    paths = ["--images", tmp_path, "--labels", tmp_path / "labels", "--out", tmp_path / "s.json"]
    assert main(["evaluate", "--labeller", str(student), *map(str, paths)]) == 0
    written = json.loads((tmp_path / "s.json").read_text())
    assert written["labeller"] == str(student)
    assert set(written["segment"]["per_class"]) == set(CLASSES)
    printed = capsys.readouterr().out
    assert "2 photographs" in printed
    assert f"miou {written['segment']['miou']:.3f}" in printed


def test_the_command_explains_a_folder_of_neither_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    paths = ["--images", str(tmp_path), "--labels", str(tmp_path)]
    assert main(["evaluate", "--labeller", str(tmp_path), *paths]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "found neither" in error


class Affine(Ruler):
    """The ruler's depth with another scale and shift, or turned around."""

    name = "affine"

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        ruled = [prediction.depth_m for prediction in super().predict(photographs)]
        return [
            Prediction(affine_depth=0.2 + self.scale * depth)
            for depth in ruled
            if depth is not None
        ]


def test_affine_depth_is_scored_once_it_is_aligned(tmp_path: Path) -> None:
    write_set(tmp_path, 2)
    with pytest.raises(
        ValueError, match="with --alignment none: give one of least_squares, ransac"
    ):
        evaluate(Affine(0.1), tmp_path, tmp_path / "labels")
    with pytest.raises(ValueError, match="with --alignment median: give one of"):
        evaluate(Affine(0.1), tmp_path, tmp_path / "labels", alignment="median")
    for scale in (0.1, -0.1):
        scores = evaluate(Affine(scale), tmp_path, tmp_path / "labels", alignment="least_squares")
        assert scores["depth"]["delta1"] == 1.0
        assert scores["depth"]["absrel"] < 0.02
        assert scores["depth"]["inverted"] == (scale < 0)


def test_metric_depth_can_be_aligned_too(tmp_path: Path) -> None:
    write_set(tmp_path, 2)
    scores = evaluate(Ruler(), tmp_path, tmp_path / "labels", alignment="median")
    assert scores["depth"]["inverted"] == 0
    assert scores["segment"]["miou"] == 1.0


def test_the_command_scores_a_predictor_of_affine_depth(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_set(tmp_path, 2)
    folder = build_predictor(tmp_path / "marigold", "marigold-depth")
    given = ["--images", str(tmp_path), "--labels", str(tmp_path / "labels")]
    assert main(["evaluate", "--labeller", str(folder), *given]) == 2
    assert "give one of least_squares" in capsys.readouterr().err
    aligned = [*given, "--alignment", "least_squares"]
    assert main(["evaluate", "--labeller", str(folder), *aligned]) == 0
    assert "depth fitted by least_squares" in capsys.readouterr().out
    assert main(["evaluate", "--labeller", str(folder), *given, "--alignment", "luck"]) == 2
    assert "--alignment: expected one of none, median" in capsys.readouterr().err

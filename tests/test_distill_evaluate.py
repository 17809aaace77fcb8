"""Any labeller against any label set."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE, write_set
from tiny import build_teacher
from tiny_unets import build_predictor

from distill.evaluate import evaluate
from distill.evaluate_config import find_photographs
from distill.labellers import (
    PainterLabeller,
    StudentLabeller,
    load_labeller,
    read_outputs,
    resize_prediction,
)
from distill.main import main
from distill.metrics import Prediction
from distill.stored_labels import StoredLabels
from student.model import Student, StudentConfig, build_student, save_student
from teacher.sample import resize_photograph
from teacher.shards import InputShard, Manifest, write_manifest


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
    assert set(scores) == {"images", "depth", "interval_95", "slices"}
    assert set(scores["interval_95"]) == {"depth"}


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
    far = outputs["depth"][1] >= 100
    sky = (outputs["segment"][1].argmax(0) == CLASSES.index("sky")) & far
    assert np.isinf(predictions[1].depth_m[sky]).all()
    np.testing.assert_array_equal(predictions[1].depth_m[~sky], outputs["depth"][1][~sky])
    np.testing.assert_array_equal(predictions[1].normal, outputs["normal"][1].permute(1, 2, 0))
    np.testing.assert_array_equal(predictions[0].segment, outputs["segment"][0].argmax(0))


def test_far_sky_of_a_student_is_infinitely_far_and_its_confidence_is_by_task() -> None:
    student = tiny_student(tasks=("depth", "segment"))
    logits = torch.zeros(1, 3, 4, 4)
    logits[0, CLASSES.index("sky"), 0] = 1.0
    logits[0, CLASSES.index("box"), 1:] = 1.0
    sure = torch.tensor([0.25, 0.75]).view(1, 2, 1, 1)
    depth = torch.full((1, 4, 4), 7.0)
    depth[:, :2, 1:] = 100.0
    outputs = {"depth": depth, "segment": logits, "confidence": sure}
    found = read_outputs(outputs, student)[0]
    assert found.depth_m is not None
    assert found.depth_m.tolist() == [
        [7.0] + [np.inf] * 3,
        [7.0] + [100.0] * 3,
        [7.0] * 4,
        [7.0] * 4,
    ]
    assert found.confidence is not None
    assert found.confidence.tolist() == [[[0.25, 0.0, 0.75]]]
    affine = read_outputs(outputs, tiny_student(tasks=("depth", "segment"), depth_kind="affine"))
    assert affine[0].affine_depth is not None
    assert affine[0].affine_depth.max() == 100.0
    roads = read_outputs(
        outputs, tiny_student(tasks=("depth", "segment"), classes=("road", "ground", "box"))
    )[0]
    assert roads.depth_m is not None
    assert roads.depth_m.max() == 100.0


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
    assert {"images", "depth", "normal", "segment", "coverage"} <= set(one)
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
    assert "class right" in printed
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


def test_slices_and_intervals_stand_beside_the_scores(tmp_path: Path) -> None:
    write_set(tmp_path, 4)
    scores = evaluate(Ruler(), tmp_path, tmp_path / "labels", resamples=50)
    low, high = scores["interval_95"]["depth"]["absrel"]
    assert low <= scores["depth"]["absrel"] <= high
    near, mid = (scores["slices"][name]["depth"]["absrel"] for name in ("near", "mid"))
    assert near < scores["depth"]["absrel"] < mid  # the ruler is right at 1 m, and ends at 4 m
    assert scores["slices"]["sky"]["segment"]["accuracy"] == 1.0
    assert scores["slices"]["sky"]["share"] == pytest.approx(1 / 3, abs=0.02)
    assert "low_confidence" not in scores["slices"]  # these labels are sure
    assert "coverage" not in scores
    assert "missing" not in scores


class Unsure(Ruler):
    """The ruler, but wrong by half in the upper fifth, where it is less and less sure."""

    name = "unsure"

    def predict(self, photographs: np.ndarray) -> list[Prediction]:
        said = []
        for prediction in super().predict(photographs):
            depth_m = prediction.depth_m
            assert depth_m is not None
            confidence = np.ones((*depth_m.shape, 3), np.float32)
            upper = depth_m.shape[0] // 5
            depth_m[:upper] *= 1.5
            ramp = np.linspace(0, 0.5, upper * 32, dtype=np.float32)
            confidence[:upper] = ramp.reshape(upper, 32, 1)
            said.append(Prediction(depth_m=depth_m, confidence=confidence))
        return said


def test_errors_fall_where_a_labeller_is_sure(tmp_path: Path) -> None:
    write_set(tmp_path, 2)
    scores = evaluate(Unsure(), tmp_path, tmp_path / "labels")
    every = [scores, scores["coverage"]["0.9"], scores["coverage"]["0.8"]]
    shares = [one["depth"]["delta1"] for one in every]
    assert shares[0] < shares[1] < shares[2]
    assert scores["coverage"]["0.8"]["interval_95"]["depth"]["delta1"][1] >= shares[2]


def test_stored_labels_are_looked_up_by_key(tmp_path: Path) -> None:
    write_set(tmp_path / "true", 5)
    write_set(tmp_path / "said", 5)
    (tmp_path / "said/labels/000001.tar").unlink()
    images, labels = tmp_path / "true/images", tmp_path / "true/labels"
    scores = evaluate(StoredLabels(tmp_path / "said/labels"), images, labels)
    assert (scores["images"], scores["missing"]) == (3, 2)
    assert scores["depth"]["absrel"] == scores["normal"]["mean_deg"] == 0
    assert scores["segment"]["miou"] == 1.0
    assert set(scores["coverage"]) == {"0.9", "0.8"}


def test_stored_labels_of_other_photographs_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "true", 2, shards=1)
    write_set(tmp_path / "said", 2, shards=1, size=(64, 32))
    stored = StoredLabels(tmp_path / "said/labels")
    with pytest.raises(ValueError, match="labels of another photograph"):
        evaluate(stored, tmp_path / "true", tmp_path / "true/labels")
    (tmp_path / "said/labels/000000.tar").rename(tmp_path / "said/labels/000009.tar")
    with pytest.raises(ValueError, match=r"nothing to score.*2 of its photographs have no label"):
        evaluate(stored.__class__(stored.folder), tmp_path / "true", tmp_path / "true/labels")


def test_affine_labels_are_no_measure_of_metres(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    write_set(tmp_path, 2, depth_m=ramp, depth_kind="affine")
    with pytest.raises(ValueError, match="depth is scored in metres, but these labels are affine"):
        evaluate(Ruler(), tmp_path, tmp_path / "labels")
    scores = evaluate(Ruler(), tmp_path, tmp_path / "labels", tasks=("segment",))
    assert not {"near", "mid", "far"} & set(scores["slices"])


def test_photographs_are_found_beside_the_labels_or_by_their_manifest(tmp_path: Path) -> None:
    write_set(tmp_path / "set", 1, shards=1)
    assert find_photographs(tmp_path / "set/labels") == tmp_path / "set/images"
    moved = tmp_path / "elsewhere" / "labels"
    moved.parent.mkdir()
    (tmp_path / "set/labels").rename(moved)
    with pytest.raises(FileNotFoundError, match="no such folder; --on takes a folder of label"):
        find_photographs(tmp_path / "set/labels")
    with pytest.raises(FileNotFoundError, match=r"its photographs are neither in .*give --images"):
        find_photographs(moved)
    shard = tmp_path / "set/images/000000.tar"
    plan = InputShard(path=str(shard), size_bytes=1, sha256="ab" * 32, count=1)
    write_manifest(moved, Manifest(job_id="job", inputs=(plan,), config={}))
    assert find_photographs(moved) == shard.parent


def test_the_command_takes_any_labeller(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A teacher, a student and a label set, on the labels' own photographs."""
    write_set(tmp_path, 2)
    student = save_student(tiny_student(), tmp_path / "student")
    for labeller in (student, tmp_path / "labels", build_teacher(tmp_path / "teacher")):
        assert main(["evaluate", str(labeller), "--on", str(tmp_path / "labels")]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"{labeller} on 2 photographs of {tmp_path / 'labels'}")
        assert "near" in printed
    assert main(["evaluate", str(student), "--labels", str(tmp_path / "labels")]) == 0


def test_help_loads_no_torch() -> None:
    code = """
import sys
from distill.main import main
try:
    main(["evaluate", "--help"])
except SystemExit:
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "potstill evaluate runs/student --on held_out/labels" in done.stdout
    assert done.stdout.strip().endswith("False")

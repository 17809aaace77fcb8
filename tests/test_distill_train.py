"""Training on tiny sets: it learns, repeats itself, and explains errors."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE, write_set
from trained import config, same, weights_of

from distill.curves import read_curves
from distill.data import LabelSet
from distill.evaluate import evaluate
from distill.labellers import StudentLabeller
from distill.main import main
from distill.settings import Augmentation, Optimisation
from distill.train import train
from student.model import load_student


def test_a_run_leaves_a_student_its_scores_and_its_history(tmp_path: Path) -> None:
    out = train(config(write_set(tmp_path, 12)))
    student = load_student(out)
    assert student.config.classes == CLASSES
    assert student.config.image_size == (32, 32)
    run = json.loads((out / "run.json").read_text())
    assert run["steps"] == 4
    assert set(run["validation"]) == {"depth", "normal", "segment"}
    assert set(run["label_shards"]) == {"000000.tar", "000001.tar"}
    with (out / "metrics" / "from_step_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["val/segment/miou"]] == ["2", "4"]


def test_a_student_learns_its_labels(tmp_path: Path) -> None:
    """AdamW, which is ahead of AdaMuon in the first hundred steps; no class is the sky, whose depth
    is infinite."""
    write_set(tmp_path, 8, classes=("wall", "ground", "box"))
    quick = Optimisation(algorithm="adamw", learning_rate=1e-2)
    plain = Augmentation(jitter=0.0)
    out = train(
        config(
            tmp_path,
            steps=80,
            batch_size=8,
            optimisation=quick,
            augmentation=plain,
            averaging=0.9,
            validation_fraction=0.0,
            validate_every=200,
        )
    )
    scores = evaluate(StudentLabeller(load_student(out)), tmp_path, tmp_path / "labels")
    assert scores["images"] == 8
    assert scores["depth"]["delta1"] > 0.6
    assert scores["segment"]["accuracy"] > 0.9


def test_the_same_seed_gives_the_same_curves_and_weights(
    tmp_path: Path,
) -> None:
    write_set(tmp_path, 8)
    one, two = (train(config(tmp_path, out)) for out in ("one", "two"))
    other = train(config(tmp_path, "other", seed=1))
    assert same(weights_of(one), weights_of(two))
    assert not same(weights_of(one), weights_of(other))
    assert read_curves(one / "metrics") == read_curves(two / "metrics")
    assert len(read_curves(one / "metrics")["loss/total"]) == 4


def test_a_streamed_set_trains_as_well(tmp_path: Path) -> None:
    write_set(tmp_path, 12)
    out = train(config(tmp_path, memory_gb=1e-6, workers=0))
    assert json.loads((out / "run.json").read_text())["steps"] == 4


def test_one_task_without_validation_in_bfloat16(tmp_path: Path) -> None:
    write_set(tmp_path, 4)
    out = train(
        config(tmp_path, tasks=("depth",), validation_fraction=0.0, precision="bf16-mixed", steps=2)
    )
    student = load_student(out)
    assert student.config.tasks == ("depth",)
    assert student.config.classes == ()
    assert all(parameter.dtype == torch.float32 for parameter in student.parameters())


def test_affine_labels_train_an_affine_student(tmp_path: Path) -> None:
    depth = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    write_set(tmp_path, 6, depth_m=depth, depth_kind="affine")
    out = train(config(tmp_path, depth_kind="affine", tasks=("depth",), validation_fraction=0.0))
    assert load_student(out).config.depth_kind == "affine"


def test_affine_labels_for_a_metric_head_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2, depth_m=np.full((32, 32), 0.5, np.float32), depth_kind="affine")
    with pytest.raises(ValueError, match=r"affine.*metric: give --depth_kind affine"):
        train(config(tmp_path))


def test_metric_labels_for_an_affine_head_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"metric.*affine: give --depth_kind metric"):
        train(config(write_set(tmp_path, 2), depth_kind="affine"))


def test_a_finished_student_is_not_overwritten(tmp_path: Path) -> None:
    write_set(tmp_path, 6)
    out = train(config(tmp_path))
    before = (out / "student.safetensors").read_bytes()
    with pytest.raises(ValueError, match="holds a student already"):
        train(config(tmp_path))
    assert (out / "student.safetensors").read_bytes() == before


@pytest.mark.parametrize(("steps", "minutes"), [(None, None), (0, None), (None, -1.0)])
def test_a_budget_is_needed(tmp_path: Path, steps: int | None, minutes: float | None) -> None:
    with pytest.raises(ValueError, match=r"--steps or --minutes above 0"):
        train(config(tmp_path, steps=steps, minutes=minutes))


def test_a_size_that_the_backbone_cannot_divide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        train(config(write_set(tmp_path, 2), size_px=40))


def test_a_loss_that_is_not_finite_names_the_photographs(tmp_path: Path) -> None:
    write_set(tmp_path, 2, shards=1)
    wild = Optimisation(learning_rate=float("inf"), warmup_fraction=0.0)
    with pytest.raises(ValueError, match=r"not finite \(.*\) at step 1, photographs photo-00"):
        train(config(tmp_path, optimisation=wild, validation_fraction=0.0))


def test_a_label_set_of_another_schema_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 4)
    shard = tmp_path / "labels" / "000000.tar"
    shard.write_bytes(shard.read_bytes().replace(b'"schema": ', b'"schema":9'))
    with pytest.raises(ValueError, match=r"000000\.tar.*schema.*9"):
        train(config(tmp_path))


def test_label_sets_of_different_classes_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "one", 2)
    other = write_set(tmp_path / "two", 2, classes=("sky", "ground", "tree"))
    mixed = (LabelSet(images=other, labels=other / "labels"),)
    with pytest.raises(ValueError, match="class 2 is 'tree' here, 'box' there"):
        train(config(tmp_path / "one", also=mixed))


def test_labels_without_a_valid_pixel_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2, depth_m=np.full((32, 32), np.nan, np.float32))
    with pytest.raises(ValueError, match="no valid pixel of depth in 2 labels"):
        train(config(tmp_path))


def test_a_missing_file_of_backbone_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors: no such file"):
        train(config(write_set(tmp_path, 2), weights="nowhere.safetensors"))


def test_more_photographs_than_there_are_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--photographs 99, but it has \d to train on"):
        train(config(write_set(tmp_path, 4), photographs=99))


def test_two_label_sets_are_learned_together(tmp_path: Path) -> None:
    write_set(tmp_path / "one", 4)
    other = write_set(tmp_path / "two", 6)
    mixed = (LabelSet(images=other, labels=other / "labels", weight=2),)
    out = train(config(tmp_path / "one", also=mixed, validation_fraction=0.0))
    assert json.loads((out / "run.json").read_text())["photographs"] == 10


def test_the_command_trains_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_set(tmp_path, 4)
    arguments = ["train", "--images", tmp_path, "--labels", tmp_path / "labels", "--out"]
    rest = ["--steps", "1", "--backbone", TINY_BACKBONE, "--device", "cpu"]
    more = [
        "--backbone_arguments",
        json.dumps(TINY_ARGUMENTS),
        "--optimisation.learning_rate",
        "1e-3",
    ]
    assert main([*map(str, arguments), str(tmp_path / "run"), *rest, *more]) == 0
    assert str(tmp_path / "run") in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["optimisation"][
        "learning_rate"
    ] == pytest.approx(1e-3)


def test_the_command_explains_a_missing_folder_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["--images", "nowhere", "--labels", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(["train", *arguments, "--steps", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no label shards" in error

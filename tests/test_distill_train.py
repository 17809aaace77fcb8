"""Training on tiny sets: it learns, repeats itself, resumes, stops on time, and explains errors."""

import csv
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE, write_set

import distill.schedule
from distill.callbacks import AveragedWeights
from distill.evaluate import StudentLabeller, evaluate
from distill.loader import Augmentation
from distill.main import main
from distill.module import DistillModule
from distill.objective import Objective
from distill.optimisation import Optimisation
from distill.schedule import Budget, cosine
from distill.train import TrainConfig, train
from student import Student, StudentConfig, build_student, load_student


def config(root: Path, out: str = "run", **fields: Any) -> TrainConfig:
    given: dict[str, Any] = {
        "images": root,
        "labels": root / "labels",
        "out": root / out,
        "steps": 4,
        "backbone": TINY_BACKBONE,
        "backbone_arguments": TINY_ARGUMENTS,
        "decoder_dim": 16,
        "batch_size": 4,
        "precision": "32-true",
        "device": "cpu",
        "validation_fraction": 0.3,
        "validate_every": 2,
    }
    return TrainConfig(**{**given, **fields})


def tiny_student(**fields: Any) -> Student:
    given = {"backbone": TINY_BACKBONE, "backbone_arguments": TINY_ARGUMENTS, "decoder_dim": 16}
    torch.manual_seed(0)
    return build_student(
        StudentConfig(**{**given, "classes": CLASSES, "image_size": (32, 32), **fields})
    )


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_student(folder).state_dict()


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
    assert [row["step"] for row in rows if row["val/segment/miou"]] == ["1", "3"]


def test_a_student_learns_its_labels(tmp_path: Path) -> None:
    """AdamW, which is ahead of AdaMuon in the first hundred steps."""
    write_set(tmp_path, 8)
    quick = Optimisation(algorithm="adamw")
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


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    write_set(tmp_path, 8)
    one = weights_of(train(config(tmp_path, "one")))
    two = weights_of(train(config(tmp_path, "two")))
    other = weights_of(train(config(tmp_path, "other", seed=1)))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_died_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, 8)
    whole = weights_of(train(config(tmp_path, "whole", steps=6, validate_every=2)))
    step = DistillModule.training_step

    def die_at_five(self: DistillModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 5:
            raise KeyError("power cut")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(DistillModule, "training_step", die_at_five)
    with pytest.raises(KeyError, match="power cut"):
        train(config(tmp_path, "cut", steps=6, validate_every=2))
    assert not (tmp_path / "cut" / "student.json").exists()
    monkeypatch.undo()
    resumed = train(config(tmp_path, "cut", steps=6, validate_every=2, resume=True))
    assert json.loads((resumed / "run.json").read_text())["steps"] == 6
    assert (resumed / "metrics" / "from_step_4" / "metrics.csv").exists()
    assert (resumed / "metrics" / "from_step_0" / "metrics.csv").exists()
    found = weights_of(resumed)
    assert all(torch.equal(whole[name], found[name]) for name in whole)


def test_minutes_end_training_and_are_kept_by_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that jumps six seconds at each look, one minute is soon over."""
    write_set(tmp_path, 8)
    ticks = iter(range(0, 10**6, 6))
    monkeypatch.setattr(distill.schedule, "monotonic", lambda: float(next(ticks)))
    out = train(config(tmp_path, steps=None, minutes=1.0))
    run = json.loads((out / "run.json").read_text())
    assert 1 <= run["steps"] < 10
    assert run["training_s"] >= 60
    saved = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0 < saved["spent_s"] < run["training_s"]


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


def test_resuming_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume from"):
        train(config(write_set(tmp_path, 2), resume=True))


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
    with pytest.raises(ValueError, match=r"not finite at step 1, photographs photo-00"):
        train(config(tmp_path, optimisation=wild, validation_fraction=0.0))


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


def test_cosine_rises_then_falls_to_zero() -> None:
    factors = [cosine(x, 0.1) for x in np.linspace(0, 1, 101)]
    assert factors[0] < 0.05
    assert np.argmax(factors) == pytest.approx(10, abs=1)
    assert factors[-1] == pytest.approx(0, abs=1e-9)
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors[11:]))
    assert cosine(0.0, 0.0) == 1.0


def test_a_budget_of_steps_and_minutes_ends_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(distill.schedule, "monotonic", lambda: now[0])
    budget = Budget(steps=10, minutes=1.0)
    assert budget.elapsed_s == 0
    budget.start()
    now[0] += 15
    assert budget.fraction(1) == pytest.approx(0.25)
    assert budget.fraction(5) == pytest.approx(0.5)
    assert budget.fraction(99) == 1.0
    budget.spent_s = 30
    assert budget.fraction(0) == pytest.approx(0.75)


def test_the_average_forgets_its_start_and_then_moves_slowly() -> None:
    average = AveragedWeights(0.9)._kwargs["multi_avg_fn"]
    for count, kept in ((0, 0.1), (8, 0.5), (10_000, 0.9)):
        mean = [torch.zeros(2)]
        average(mean, [torch.ones(2)], torch.tensor(count))
        assert mean[0].tolist() == pytest.approx([1 - kept] * 2)


@pytest.mark.parametrize("algorithm", ["adamuon", "adamw"])
def test_the_backbone_may_learn_slower_and_vectors_do_not_decay(algorithm: str) -> None:
    student = tiny_student()
    settings = Optimisation(
        algorithm=algorithm, learning_rate=1e-2, encoder_factor=0.1, weight_decay=0.3
    )
    optimiser = settings.build(student)
    seen = {id(p): g for g in optimiser.param_groups for p in g["params"]}
    assert len(seen) == len(list(student.parameters()))
    for name, parameter in student.named_parameters():
        group = seen[id(parameter)]
        assert group["peak"] == pytest.approx(1e-3 if name.startswith("backbone") else 1e-2), name
        assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0), name


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ValueError, match="adamuon or adamw, found 'sgd'"):
        Optimisation(algorithm="sgd")


def test_pixels_weigh_by_their_confidence_and_sky_has_no_depth() -> None:
    batch = make_batch()
    weight = Objective().pixel_weights(batch, "depth")
    assert weight[0, 0].tolist() == [0.0, 0.25, 0.25, 0.25, 1.0, 1.0, 1.0, 0.0]
    flat = Objective(use_confidence=False).pixel_weights(batch, "depth")
    assert flat[0, 0].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert Objective().pixel_weights(batch, "normal").sum() == 0
    assert Objective().pixel_weights(batch, "segment")[0, 0].tolist() == [1.0] * 7 + [0.0]


def test_a_batch_without_a_valid_pixel_is_refused_by_name() -> None:
    batch = make_batch()
    outputs = {"normal": torch.ones(1, 3, 4, 8)}
    with pytest.raises(ValueError, match="no valid label in the photographs a"):
        Objective().losses(outputs, batch, affine=False)


def make_batch() -> Any:
    """One image of 4 x 8 pixels: sky on the left, unknown on the right, no normals."""
    from distill.samples import Batch

    depth = torch.full((1, 4, 8), 2.0)
    depth[..., 0], depth[..., 7] = math.inf, math.nan
    confidence = torch.ones(1, 3, 1, 2)
    confidence[0, 0, 0, 0] = 0.25
    segment = torch.zeros(1, 4, 8, dtype=torch.long)
    segment[..., 7] = -1
    return Batch(
        keys=("a",),
        images=torch.zeros(1, 3, 4, 8),
        labels={"depth": depth, "normal": torch.zeros(1, 3, 4, 8), "segment": segment},
        confidence=confidence,
        intrinsics=torch.full((1, 4), math.nan),
    )

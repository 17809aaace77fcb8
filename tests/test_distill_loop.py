"""What a run leaves behind, when it ends early, what stops it, and what it says."""

import io
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from labelled import CLASSES, write_set
from PIL import Image
from rich.console import Console
from trained import config, same, weights_of

import distill.run_end
from distill.config import TrainConfig
from distill.curves import draw_curves, read_curves
from distill.metrics import Prediction
from distill.module import validation_score
from distill.previews import Sample, preview_sheet
from distill.settings import Objective, Optimisation
from distill.targets import Target
from distill.train import train
from student.model import load_student


def test_the_best_students_are_kept_with_averaged_weights(tmp_path: Path) -> None:
    """The last validation is that of the student that is stored, so their scores are the same."""
    write_set(tmp_path, 12)
    out = train(config(tmp_path, steps=6, keep_best=2))
    scores = read_curves(out / "metrics")["val/score"]
    best = sorted(scores, key=lambda step: (scores[step], step), reverse=True)[:2]
    kept = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert kept == [*sorted(f"best-step_{step:06d}" for step in best), "last.ckpt"]
    last = out / "checkpoints" / "best-step_000006"
    if last.exists():
        assert same(weights_of(last), weights_of(out))
    assert load_student(out / "checkpoints" / kept[0]).config == load_student(out).config


def test_a_run_ends_at_the_first_validation_that_is_no_better(tmp_path: Path) -> None:
    """With a learning rate of zero only batch norm moves, which soon helps no more."""
    write_set(tmp_path, 12)
    still = Optimisation(learning_rate=0.0)
    out = train(config(tmp_path, steps=60, patience=1, optimisation=still))
    scores = list(read_curves(out / "metrics")["val/score"].values())
    assert json.loads((out / "run.json").read_text())["steps"] == 2 * len(scores) < 60
    assert scores[-1] <= scores[-2]
    assert scores[:-1] == sorted(set(scores[:-1]))


def test_a_run_leaves_previews_curves_and_a_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=io.StringIO(), record=True, width=200)
    monkeypatch.setattr(distill.run_end, "console", console)
    write_set(tmp_path, 40)
    out = train(config(tmp_path, logger=("tensorboard",)))
    assert sorted(path.name for path in (out / "previews").iterdir()) == [
        "step_000002.png",
        "step_000004.png",
    ]
    with Image.open(out / "curves.png") as picture:
        assert picture.size[0] > 1000
    assert list((out / "tensorboard").glob("events.*"))
    said = console.export_text()
    assert "4 steps in" in said
    assert "of the time in steps, the rest waiting for data" in said
    assert "its backbone from scratch" in said
    run = json.loads((out / "run.json").read_text())
    assert 0 < run["busy"] <= 1
    assert run["backbone_weights"] == "from scratch"
    assert run["score"] == pytest.approx(validation_score(run["validation"]))


def test_a_preview_shows_photograph_labels_and_predictions() -> None:
    """White where the student is right, and as large as the samples need."""
    shape = (32, 48)
    depth = np.full(shape, 3.0, np.float32)
    normal = np.zeros((*shape, 3), np.float32)
    normal[..., 2] = 1
    target = Target(
        depth_m=depth, depth_kind="metric", normal=normal, segment=None, classes=CLASSES
    )
    photograph = np.zeros((*shape, 3), np.uint8)
    sheet = preview_sheet([Sample(photograph, target, Prediction(depth_m=depth, normal=normal))])
    height, width = 4 * shape[0], 4 * shape[1]
    assert sheet.shape == (height, 5 * width + 4 * 4, 3)
    tiles = [sheet[:, start : start + width] for start in range(0, sheet.shape[1], width + 4)]
    assert np.array_equal(tiles[1], tiles[2])
    assert np.array_equal(tiles[3], tiles[4])
    assert not tiles[0].any()


def write_csv(folder: Path, start: int, rows: list[str]) -> None:
    path = folder / f"from_step_{start}" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["step,loss/total,val/score", *rows]))


def test_curves_of_a_resumed_run_are_joined_where_it_went_on(tmp_path: Path) -> None:
    """What was done after the checkpoint was done again; a row cut by a crash does not count."""
    write_csv(tmp_path / "metrics", 0, ["1,9.0,", "2,8.0,0.5", "3,7.0,", "4,6.0,", "5"])
    write_csv(tmp_path / "metrics", 3, ["4,6.5,0.75", "5,5.5,"])
    curves = read_curves(tmp_path / "metrics")
    assert curves["loss/total"] == {1: 9.0, 2: 8.0, 3: 7.0, 4: 6.5, 5: 5.5}
    assert curves["val/score"] == {2: 0.5, 4: 0.75}
    assert draw_curves(tmp_path) == tmp_path / "curves.png"


def test_a_run_without_logs_has_no_curves(tmp_path: Path) -> None:
    assert draw_curves(tmp_path) is None


def test_a_score_is_the_mean_over_tasks() -> None:
    scores = {"depth": {"delta1": 0.9}, "segment": {"miou": 0.5}}
    assert validation_score(scores) == pytest.approx(0.7)
    assert validation_score({}) is None


def test_a_loss_that_is_not_finite_names_its_part_and_the_photographs(tmp_path: Path) -> None:
    write_set(tmp_path, 2, shards=1)
    wild = Objective(normal=float("nan"))
    with pytest.raises(
        ValueError, match=r"not finite \(normal\) at step 0, photographs photo-00\d, photo-00\d: "
    ):
        train(config(tmp_path, objective=wild, validation_fraction=0.0, batch_size=2))


def test_learned_weights_learn_beside_the_student(tmp_path: Path) -> None:
    write_set(tmp_path, 8)
    out = train(config(tmp_path, objective=Objective(learn_weights=True)))
    curves = read_curves(out / "metrics")
    assert curves["loss/balance"][4] != curves["loss/balance"][1]
    assert not [name for name in weights_of(out) if "balance" in name]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"preset": "huge"}, "--preset: expected one of edge, .*, found 'huge'"),
        ({"logger": ("mlflow",)}, "--logger: expected one of tensorboard, wandb"),
        ({"accumulate": 0}, "--accumulate must be at least 1, got 0"),
        ({"patience": 0}, "--patience must be at least 1"),
        ({"photographs": 0}, "--photographs must be at least 1"),
    ],
)
def test_settings_without_a_meaning_are_refused(tmp_path: Path, fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(tmp_path, **fields)


def test_a_preset_gives_way_to_what_is_given() -> None:
    places = {"images": Path(), "labels": Path(), "out": Path()}
    small = TrainConfig(**places, preset="small").student_fields
    assert small["backbone"] == "vit_small_patch16_dinov3"
    other = TrainConfig(**places, preset="small", backbone="resnet18", decoder_dim=32)
    assert other.student_fields | {"decoder": None} == {
        "backbone": "resnet18",
        "backbone_arguments": {},
        "decoder_dim": 32,
        "decoder": None,
    }


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_wandb_needs_its_package(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"install potstill\[wandb\]"):
        train(config(write_set(tmp_path, 2), logger=("wandb",)))

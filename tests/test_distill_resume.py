"""A run that is stopped, killed or out of time goes on as if nothing had happened."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from labelled import TINY_ARGUMENTS, TINY_BACKBONE, write_set
from processes import start_potstill
from trained import config, same, weights_of

import distill.checkpoints
import distill.schedule
from distill.curves import read_curves
from distill.module import DistillModule
from distill.train import train


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training fail at the beginning of a step, as a power cut would."""
    original = DistillModule.training_step

    def dying(self: DistillModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == step:
            raise KeyError("power cut")
        return original(self, batch, batch_idx)

    monkeypatch.setattr(DistillModule, "training_step", dying)


def train_with_cuts(
    root: Path, out: str, cuts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, **fields: Any
) -> Path:
    """Train, die at each of these steps, and go on each time."""
    for cut in cuts:
        with monkeypatch.context() as patch:
            die_at(cut, patch)
            with pytest.raises(KeyError, match="power cut"):
                train(config(root, out, resume=True, **fields))
        assert not (root / out / "student.json").exists()
    return train(config(root, out, resume=True, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            {"backbone_arguments": TINY_ARGUMENTS | {"drop_path_rate": 0.5}}, id="dropping"
        ),
        pytest.param(
            {"accumulate": 2, "batch_size": 2, "patience": 9, "keep_best": 2},
            id="accumulated",
            marks=pytest.mark.slow,
        ),
        pytest.param({"validation_fraction": 0.0}, id="unvalidated", marks=pytest.mark.slow),
        pytest.param({"memory_gb": 1e-6, "workers": 0}, id="streamed", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_died_twice_ends_with_the_weights_and_curves_of_one_that_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    write_set(tmp_path, 10)
    whole = train(config(tmp_path, "whole", steps=7, **fields))
    cut = train_with_cuts(tmp_path, "cut", (3, 5), monkeypatch, steps=7, **fields)
    assert same(weights_of(whole), weights_of(cut))
    assert {path.name for path in (cut / "metrics").iterdir()} == {
        "from_step_0",
        "from_step_2",
        "from_step_4",
    }
    curves = read_curves(cut / "metrics")
    assert curves == read_curves(whole / "metrics")
    assert list(curves["loss/total"]) == [1, 2, 3, 4, 5, 6, 7]
    runs = [json.loads((out / "run.json").read_text()) for out in (whole, cut)]
    assert runs[0]["steps"] == runs[1]["steps"] == 7
    assert runs[0]["validation"] == runs[1]["validation"]
    students = [sorted(p.name for p in (o / "checkpoints").iterdir()) for o in (whole, cut)]
    assert students[0] == students[1]


@pytest.mark.slow
def test_a_checkpoint_between_validations_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a checkpoint after each step, as a slow run writes one every five minutes."""
    write_set(tmp_path, 10)
    whole = train(config(tmp_path, "whole", steps=7, validate_every=4))
    monkeypatch.setattr(distill.checkpoints, "LAST_EVERY_S", 0.0)
    cut = train_with_cuts(tmp_path, "cut", (3, 6), monkeypatch, steps=7, validate_every=4)
    assert (cut / "metrics" / "from_step_3").is_dir()
    assert (cut / "metrics" / "from_step_6").is_dir()
    assert same(weights_of(whole), weights_of(cut))
    assert read_curves(cut / "metrics") == read_curves(whole / "metrics")


def test_resuming_begins_when_there_is_nothing_and_ends_when_all_is_done(tmp_path: Path) -> None:
    write_set(tmp_path, 8)
    first = weights_of(train(config(tmp_path, resume=True)))
    again = weights_of(train(config(tmp_path, resume=True)))
    assert same(first, again)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["steps"] == 4


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    write_set(tmp_path, 8)
    train(config(tmp_path))
    out = train(config(tmp_path, steps=6, resume=True))
    assert json.loads((out / "run.json").read_text())["steps"] == 6


def test_a_run_with_other_settings_is_not_resumed(tmp_path: Path) -> None:
    write_set(tmp_path, 8)
    train(config(tmp_path))
    with pytest.raises(ValueError, match="belongs to a run with another batch_size"):
        train(config(tmp_path, resume=True, batch_size=2))


def test_an_unfinished_run_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, 8)
    die_at(3, monkeypatch)
    with pytest.raises(KeyError, match="power cut"):
        train(config(tmp_path))
    with pytest.raises(ValueError, match="unfinished run, at step 2; go on with --resume"):
        train(config(tmp_path))


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
    assert saved["spent_s"] >= 60


def command(root: Path, out: str, steps: int) -> list[str]:
    """A slow enough `potstill train` of a tiny student."""
    return [
        *("train", "--images", str(root), "--labels", str(root / "labels")),
        *("--out", str(root / out), "--steps", str(steps), "--device", "cpu", "--resume"),
        *("--backbone", TINY_BACKBONE, "--backbone_arguments", json.dumps(TINY_ARGUMENTS)),
        *("--decoder_dim", "16", "--batch_size", "4", "--precision", "32-true"),
        *("--validation_fraction", "0.3", "--validate_every", "5", "--log_every", "1"),
    ]


@pytest.mark.slow
def test_a_process_killed_at_random_moments_ends_with_the_same_weights(tmp_path: Path) -> None:
    """SIGKILL, which no program can prepare for, again and again until the run comes through."""
    write_set(tmp_path, 24)
    steps = 120
    whole = start_potstill(command(tmp_path, "whole", steps))
    whole.join()
    assert whole.exitcode == 0
    rng, kills, reached = random.Random(os.getpid()), 0, 0
    while not (tmp_path / "cut" / "student.json").exists():
        process = start_potstill(command(tmp_path, "cut", steps))
        wait_for_a_checkpoint(tmp_path / "cut", process)
        process.join(rng.uniform(0.0, 1.0) if kills < 4 else None)
        if process.is_alive():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
        assert torch.load(last, weights_only=True)["global_step"] >= reached
        reached = torch.load(last, weights_only=True)["global_step"]
    assert kills >= 1
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut"))
    curves = [read_curves(tmp_path / out / "metrics") for out in ("whole", "cut")]
    assert curves[0] == curves[1]


def wait_for_a_checkpoint(out: Path, process: Any) -> None:
    """Until the process has written one of its own, or has ended."""
    last, started = out / "checkpoints" / "last.ckpt", time.time()
    while process.is_alive() and not (last.exists() and last.stat().st_mtime > started):
        time.sleep(0.02)


@pytest.mark.slow
def test_a_process_that_is_told_to_stop_saves_and_says_so(tmp_path: Path) -> None:
    """SIGTERM, as clusters send it before they take a machine away."""
    write_set(tmp_path, 24)
    process = start_potstill(command(tmp_path, "run", 100_000))
    wait_for_a_checkpoint(tmp_path / "run", process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 75
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] >= 5

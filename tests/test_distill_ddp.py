"""Two processes that train together, over gloo on a CPU."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE, write_set
from samples import random_normals
from trained import config

from distill.curves import read_curves
from distill.data import held_out
from distill.metrics import Prediction, Scores
from distill.targets import Target
from distill.train import train
from student.model import load_student


def test_scores_merge_to_what_one_sum_would_be() -> None:
    rng = np.random.default_rng(0)
    whole, parts = Scores(), (Scores(), Scores(), Scores())
    for index in range(5):
        said, true = (make_target(rng) for _ in range(2))
        prediction = Prediction(
            depth_m=said.depth_m, normal=said.normal, segment=said.segment, classes=CLASSES
        )
        whole.update(prediction, true)
        parts[index % 2].update(prediction, true)
    joined = Scores()
    for part in parts:
        joined.merge(part)
    assert joined.images == 5
    found = joined.result()
    assert found["segment"].pop("per_class") == whole.result()["segment"]["per_class"]
    for task, scores in found.items():
        assert scores == pytest.approx({name: whole.result()[task][name] for name in scores})


def make_target(rng: np.random.Generator) -> Target:
    return Target(
        depth_m=rng.uniform(1, 9, (8, 8)).astype(np.float32),
        depth_kind="metric",
        normal=random_normals(rng, (8, 8)),
        segment=rng.integers(0, 3, (8, 8)),
        classes=CLASSES,
    )


def run_two(root: Path, out: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`potstill train --devices 2`, which starts its second process itself."""
    arguments = [
        *("--images", root, "--labels", root / "labels", "--out", root / out),
        *("--steps", 40, "--device", "cpu", "--devices", 2),
        *("--backbone", TINY_BACKBONE, "--backbone_arguments", json.dumps(TINY_ARGUMENTS)),
        *("--decoder_dim", 16, "--batch_size", 4, "--precision", "32-true"),
        *("--validation_fraction", 0.3, "--validate_every", 20, "--log_every", 1),
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "distill.main", "train", *map(str, arguments), *options]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=500, check=False
    )


@pytest.mark.slow
def test_two_processes_reach_what_one_reaches_with_the_same_global_batch(tmp_path: Path) -> None:
    """With an odd number of held-out samples: no process waits for ever, and each counts once."""
    write_set(tmp_path, 21)
    held = sum(held_out(f"photo-{index:03d}", 0.3) for index in range(21))
    assert held % 2 == 1
    done = run_two(tmp_path, "two")
    assert done.returncode == 0, done.stderr
    one = train(config(tmp_path, "one", steps=40, batch_size=8, validate_every=20))
    curves = [read_curves(tmp_path / out / "metrics") for out in ("one", "two")]
    first, last = ([curve["loss/total"][step] for curve in curves] for step in (1, 40))
    assert first[1] == pytest.approx(first[0], rel=0.05)
    assert last[1] == pytest.approx(last[0], rel=0.25)
    runs = [json.loads((tmp_path / out / "run.json").read_text()) for out in ("one", "two")]
    assert runs[1]["validation_images"] == runs[0]["validation_images"] == held
    assert runs[1]["score"] == pytest.approx(runs[0]["score"], abs=0.1)
    assert load_student(tmp_path / "two").config == load_student(one).config


@pytest.mark.slow
def test_two_processes_train_a_student_whose_confidence_is_not_learned(tmp_path: Path) -> None:
    """DDP refuses parameters that learn and get no gradient."""
    write_set(tmp_path, 12)
    done = run_two(tmp_path, "two", "--objective.confidence", "0", "--steps", "3")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "two" / "run.json").read_text())["steps"] == 3

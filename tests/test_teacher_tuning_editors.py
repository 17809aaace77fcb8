"""Tuning of existing generators, end to end, on tiny ones of the real classes."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import CLASSES, write_set
from tiny_editors import build_stock
from tuned import checkpoint_of, small_run

from distill.main import main
from teacher.painters import load_painter, open_teacher
from teacher.tuning.editors.adapters import ADAPTER, prepare_training
from teacher.tuning.editors.checkpoints import checkpoint_step
from teacher.tuning.editors.config import Mixture
from teacher.tuning.editors.tune import tune_editor

BASE = ["--out", "x", "--base"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("set"), 8)


@pytest.fixture(scope="module")
def kontext(tmp_path_factory):
    return build_stock(tmp_path_factory.mktemp("kontext") / "base", "kontext")


def photographs(count: int = 2, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", ["kontext", "klein", "qwen"])
def test_an_adapter_makes_a_teacher_of_a_generator(tmp_path, data, family):
    base = build_stock(tmp_path / "base", family)
    folder = tune_editor(small_run(base, data, tmp_path / "run"))
    tuned = load_painter(base, lora=folder)
    assert tuned.card.classes == CLASSES
    assert tuned.card.instructions.keys() == {"depth", "normal", "segment", "segment@1"}
    assert (tuned.card.steps, tuned.card.start) == (1, "zeros")
    seen = tuned.paint(photographs(), ("depth", "segment@1"), (0, 0))
    fresh = load_painter(base).editor
    untuned = type(tuned)(fresh, tuned.card, tuned.prompts)
    before = untuned.paint(photographs(), ("depth",), (0, 0))["depth"]
    assert np.abs(seen["depth"] - before).max() > 1e-3
    assert not np.array_equal(seen["depth"], seen["segment@1"])
    readme = (folder / "README.md").read_text()
    assert f"--teacher {base} --lora ." in readme
    assert "8 photographs" in readme
    assert "license: unknown" in readme
    kept = json.loads((tmp_path / "run/retention.json").read_text())
    assert kept["ratio"] == pytest.approx(kept["tuned_loss"] / kept["base_loss"])
    assert kept["ratio"] != 1
    for left in ("retention.png", "previews/0000004.png", "metrics/from_step_0/metrics.csv"):
        assert (tmp_path / "run" / left).stat().st_size > 0
    assert list((tmp_path / "run/tensorboard").glob("events.*"))


def test_only_the_adapter_is_trained(kontext, data, tmp_path):
    config = small_run(kontext, data, tmp_path)
    editor = open_teacher(kontext).editor()
    before = {name: p.clone() for name, p in editor.transformer.named_parameters()}
    trained = prepare_training(editor.transformer, config)
    assert all(".lora_" in name for name in trained)
    now = dict(editor.transformer.named_parameters())
    frozen = now.keys() - trained.keys()
    assert len(frozen) == len(before)
    assert not any(now[name].requires_grad for name in frozen)


def test_all_weights_are_tuned_into_a_folder_of_its_own(kontext, data, tmp_path):
    run = small_run(
        kontext,
        data,
        tmp_path,
        full=True,
        objective="flow",
        paint_steps=2,
        gradient_checkpointing=True,
    )
    folder = tune_editor(run)
    painter = load_painter(folder)
    assert (painter.card.steps, painter.card.start) == (2, "noise")
    assert painter.paint(photographs(), ("depth",), (0, 1))["depth"].shape == (2, 32, 32, 3)
    assert not (folder / ADAPTER).exists()
    assert not (folder / "text_encoder").exists()


def test_an_interrupted_run_goes_on_to_the_very_same_weights(kontext, data, tmp_path):
    """Ctrl-C some time after the first checkpoint; accumulation and replay on."""
    fields = {"steps": 40, "every": 4, "accumulate": 2, "mixture": Mixture(replay=0.3)}
    straight = tune_editor(small_run(kontext, data, tmp_path / "straight", **fields))
    config = small_run(kontext, data, tmp_path / "stopped", **fields)
    # A shell may have started the tests with it ignored, and Lightning leaves it so.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_interrupt_after, args=(checkpoint_of(config),)).start()
    with pytest.raises(SystemExit):
        tune_editor(config)
    signal.signal(signal.SIGINT, handler)
    assert not (config.out / "teacher").exists()
    assert checkpoint_step(checkpoint_of(config)) < 40
    again = tune_editor(config)
    assert (again / ADAPTER).read_bytes() == (straight / ADAPTER).read_bytes()
    assert len(list((config.out / "metrics").iterdir())) == 2  # it went on, and began not anew


def _interrupt_after(checkpoint: Path) -> None:
    while not checkpoint.exists():
        time.sleep(0.002)
    os.kill(os.getpid(), signal.SIGINT)


def test_what_is_there_is_not_made_again(kontext, data, tmp_path):
    config = small_run(kontext, data, tmp_path)
    tune_editor(config)
    kept, lost = sorted((tmp_path / "latents").iterdir())
    before = {path: path.stat().st_mtime_ns for path in (kept, tmp_path / "replay.safetensors")}
    encoded = lost.read_bytes()
    lost.unlink()
    (tmp_path / "teacher/README.md").unlink()
    tune_editor(config)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert lost.read_bytes() == encoded
    with pytest.raises(ValueError, match="belongs to a run with another seed"):
        tune_editor(replace(config, seed=1))


def test_sizes_are_mixed(kontext, data, tmp_path):
    wide = write_set(tmp_path / "wide", 4, size=(32, 64))
    config = small_run(
        kontext,
        data,
        tmp_path / "run",
        images=(data / "images", wide / "images"),
        labels=(data / "labels", wide / "labels"),
        sizes=("32x32", "32x64"),
    )
    folder = tune_editor(config)
    painter = load_painter(kontext, lora=folder)
    painted = painter.paint(photographs(1, 64)[:, :32], ("normal",), (0,))["normal"]
    assert painted.shape == (1, 32, 64, 3)


def test_a_base_without_text_encoders_keeps_to_its_instructions(data, tmp_path):
    """The embedded teacher has instructions for its own classes, depth, normals and pictures."""
    config = small_run("embedded", data, tmp_path, mixture=Mixture(segment=0))
    folder = tune_editor(config)
    painter = load_painter("embedded", lora=folder)
    assert set(painter.card.instructions) == {"depth", "normal"}
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a room\n")
    asked = replace(config, out=tmp_path / "b", replay=replace(config.replay, prompts=prompts))
    with pytest.raises(ValueError, match="embedded has no text encoders to embed captions or"):
        tune_editor(asked)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--out", "x"], "found neither"),
        ([*BASE, "b", "--recipe", "smoke"], "found both"),
        ([*BASE, "b", "--images", "i", "--labels", "l,m"], "got 1 and 2"),
        (
            ["--out", "x", "--base", "b", "--images", "i", "--labels", "l", "--sizes", "big"],
            "512x512",
        ),
        (["--out", "x", "--base", "nowhere", "--images", "i", "--labels", "l"], "nowhere does not"),
    ],
)
def test_bad_requests_are_refused(tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *argv]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": ("32x40",)}, "32x40 does not fit this generator: .* multiples of 16"),
        ({"lora_layers": "nothing_like_it"}, "'nothing_like_it' fits none of the"),
        ({"held_out": 8}, "8 samples are too few to hold 8 out"),
        ({"mixture": Mixture(depth=1, normal=0, segment=0, depth_maps=0.5)}, None),
    ],
)
def test_settings_that_do_not_fit(kontext, data, tmp_path, fields, message):
    config = small_run(kontext, data, tmp_path, **fields)
    if message is None:
        assert set(load_painter(kontext, lora=tune_editor(config)).card.instructions) == {"depth"}
        return
    with pytest.raises(ValueError, match=message):
        tune_editor(config)


def test_more_devices_than_there_are_are_refused_before_any_work(kontext, data, tmp_path):
    with pytest.raises(ValueError, match="device cuda:63 is not there"):
        tune_editor(small_run(kontext, data, tmp_path, device="cuda", devices=64))
    assert not (tmp_path / "latents").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_tunes_and_measures(kontext, data, tmp_path):
    """Lightning moves what it trained to host memory; retention is measured on the device."""
    folder = tune_editor(small_run(kontext, data, tmp_path, device="cuda"))
    assert (tmp_path / "retention.json").exists()
    assert load_painter(kontext, lora=folder, device="cuda").card.steps == 1


def test_labels_of_other_classes_are_refused(kontext, data, tmp_path):
    other = write_set(tmp_path / "other", 2, classes=("sky", "sea", "ship"))
    config = small_run(
        kontext,
        data,
        tmp_path / "run",
        images=(data / "images", other / "images"),
        labels=(data / "labels", other / "labels"),
    )
    with pytest.raises(ValueError, match=r"other/labels has the classes .*'ship'"):
        tune_editor(config)


def test_affine_depth_is_refused(kontext, tmp_path):
    """It is known up to scale and shift alone, and the cube walk paints metres."""
    depth = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    root = write_set(tmp_path / "set", 2, depth_m=depth, depth_kind="affine")
    with pytest.raises(ValueError, match=r"000000.tar: photo-000: expected metric depth"):
        tune_editor(small_run(kontext, root, tmp_path / "run"))

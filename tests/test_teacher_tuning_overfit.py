"""LoRA learns eight scenes by heart, in every family; and two devices train together."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from labelled import write_set
from processes import start_potstill
from tiny_editors import build_stock
from tunable import BUILDERS
from tuned import as_flags, checkpoint_of, small_run

from teacher.depth import decode_depth, encode_depth
from teacher.painters import load_painter
from teacher.painters.flow import FlowPainter
from teacher.rgb import as_levels
from teacher.sample import decode_photograph
from teacher.scenes.config import ScenesConfig
from teacher.scenes.shards import write_scene_shards
from teacher.shards import read_pairs
from teacher.tuning.editors.adapters import ADAPTER
from teacher.tuning.editors.config import Mixture, Optimisation
from teacher.tuning.editors.tune import tune_editor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SIZE_PX, LEARNED = 64, 8


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """Nine scenes on disk, of which the last is held out; photographs and depth of the others."""
    root = tmp_path_factory.mktemp("scenes")
    write_scene_shards(ScenesConfig(out=root, count=LEARNED + 1, size_px=SIZE_PX, labels=True))
    pairs = list(read_pairs(root / "images/000000.tar", root / "labels/000000.tar"))[:LEARNED]
    photographs = np.stack([decode_photograph(photo) for _, photo, _ in pairs])
    return root, photographs, np.stack([labels.depth_m for *_, labels in pairs])


def delta1(painted: np.ndarray, depth_m: np.ndarray) -> float:
    """Share of the pixels with a finite depth that are read within a ratio of 1.25."""
    known = np.isfinite(depth_m)
    read, true = decode_depth(as_levels(painted)).depth_m[known], depth_m[known]
    return float((np.maximum(read / true, true / read.clip(1e-6)) < 1.25).mean())


@pytest.mark.parametrize("family", list(BUILDERS))
def test_an_adapter_learns_eight_scenes_by_heart(tmp_path, scenes, family):
    root, photographs, depth_m = scenes
    base = BUILDERS[family](tmp_path / "base", encode_depth(depth_m))
    config = small_run(
        base,
        root,
        tmp_path / "run",
        steps=800,
        every=400,
        batch_size=LEARNED,
        held_out=1,
        sizes=(f"{SIZE_PX}x{SIZE_PX}",),
        lora_rank=64,
        lora_layers="",
        mixture=Mixture(replay=0, depth_maps=0, normal=0, segment=0),
        optimisation=Optimisation(learning_rate=2e-3, warmup_steps=30, averaging=0.98),
    )
    tuned = load_painter(base, lora=tune_editor(config))
    assert isinstance(tuned, FlowPainter)
    untuned = FlowPainter(load_painter(base).editor, tuned.card, tuned.prompts)  # type: ignore
    seeds = [0] * LEARNED
    before, after = (
        delta1(painter.paint(photographs, ("depth",), seeds)["depth"], depth_m)
        for painter in (untuned, tuned)
    )
    ceiling = delta1(tuned.round_trip(encode_depth(depth_m)), depth_m)
    print(f"{family}: delta1 {before:.3f} untuned, {after:.3f} tuned, {ceiling:.3f} at best")
    assert before < 0.5
    assert after > 0.95


def test_a_killed_run_goes_on_to_the_very_same_weights(tmp_path):
    """Killed without warning after its first checkpoint; with replay."""
    data = write_set(tmp_path / "set", 8)
    base = build_stock(tmp_path / "base", "klein")
    fields = {"steps": 24, "every": 6, "mixture": Mixture(replay=0.3)}
    straight = tune_editor(small_run(base, data, tmp_path / "straight", **fields))
    config = small_run(base, data, tmp_path / "killed", **fields)
    process = start_potstill(["tune", *as_flags(config)])
    while process.is_alive() and not checkpoint_of(config).exists():
        process.join(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -9
    again = tune_editor(config)
    assert (again / ADAPTER).read_bytes() == (straight / ADAPTER).read_bytes()


def test_two_devices_train_together(tmp_path):
    """By the command itself: Lightning starts it again for the second device."""
    data = write_set(tmp_path / "set", 8)
    base = build_stock(tmp_path / "base", "qwen")
    config = small_run(base, data, tmp_path / "two", devices=2)
    command = [sys.executable, "-m", "distill.main", "tune", *as_flags(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    two = load_painter(base, lora=config.out / "teacher")
    one = load_painter(base, lora=tune_editor(small_run(base, data, tmp_path / "one")))
    photographs = np.zeros((1, 32, 32, 3), np.uint8)
    painted = [p.paint(photographs, ("depth",), (0,))["depth"] for p in (one, two)]
    assert not np.array_equal(*painted)  # twice the rows make other gradients

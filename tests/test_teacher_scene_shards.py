"""Scenes as shards: the files, their splits, and resuming."""

import numpy as np
import pytest

from distill.main import main
from teacher.sample import decode_photograph
from teacher.scenes.config import ScenesConfig
from teacher.scenes.objects import CLASSES
from teacher.scenes.render import render_scenes
from teacher.scenes.shards import scene_seed, write_scene_shards
from teacher.shards import image_shards, read_marker, read_pairs


def config(out, **changes) -> ScenesConfig:
    wanted = {"count": 5, "size_px": 32, "labels": True, "per_shard": 3, **changes}
    return ScenesConfig(out=out, **wanted)


def test_ground_truth_is_that_of_the_renderer(tmp_path):
    write_scene_shards(config(tmp_path))
    shards = image_shards(tmp_path / "images")
    assert [shard.name for shard in shards] == ["000000.tar", "000001.tar"]
    key, photo, labels = next(iter(read_pairs(shards[1], tmp_path / "labels" / shards[1].name)))
    scene = render_scenes([scene_seed("train", 3)], 32)
    assert key == "train-0000003"
    assert labels.classes == CLASSES
    np.testing.assert_array_equal(labels.segment, scene.segment[0])
    np.testing.assert_array_equal(labels.instance, scene.instance[0])
    finite = np.isfinite(scene.depth_m[0])
    np.testing.assert_array_equal(np.isfinite(labels.depth_m), finite)
    np.testing.assert_allclose(labels.depth_m[finite], scene.depth_m[0][finite], rtol=1e-4)
    difference = decode_photograph(photo).astype(int) - scene.rgb[0]
    assert np.abs(difference).mean() < 6  # JPEG
    assert read_marker(tmp_path / "labels", "000001").ok == 2


def test_splits_and_scenes_have_seeds_of_their_own():
    seeds = {scene_seed(split, i) for split in ("train", "held-out") for i in range(500)}
    assert len(seeds) == 1000
    assert scene_seed("held-out", 0) == 163695102520213  # figures stay comparable


def test_a_second_run_changes_nothing_and_a_lost_shard_comes_back_the_same(tmp_path):
    write_scene_shards(config(tmp_path))
    before = {p.name: p.read_bytes() for p in (tmp_path / "labels").iterdir()}
    (tmp_path / "labels" / "000001.tar").unlink()
    write_scene_shards(config(tmp_path))
    assert {p.name: p.read_bytes() for p in (tmp_path / "labels").iterdir()} == before


def test_workers_write_the_same_bytes(tmp_path):
    for workers in (1, 2):
        write_scene_shards(config(tmp_path / str(workers), workers=workers))
    for part in ("images/000001.tar", "labels/000001.tar"):
        assert (tmp_path / "1" / part).read_bytes() == (tmp_path / "2" / part).read_bytes()


def test_without_labels_only_photographs_are_written(tmp_path):
    assert main(["scenes", "--count", "2", "--size-px", "32", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "labels").exists()


@pytest.mark.parametrize("flag", ["--count", "--per-shard", "--workers"])
def test_numbers_below_one_are_refused(tmp_path, flag, capsys):
    assert main(["scenes", "--out", str(tmp_path), flag, "0"]) == 2
    assert "at least 1" in capsys.readouterr().err

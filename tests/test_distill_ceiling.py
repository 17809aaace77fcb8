"""The ceiling of a teacher: its codecs and autoencoder, without its denoiser."""

import json

import pytest
from tiny import build_teacher

from distill.main import main
from teacher.palette import Palette
from teacher.scenes.config import ScenesConfig
from teacher.scenes.objects import CLASSES
from teacher.scenes.shards import write_scene_shards


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("scenes")
    return write_scene_shards(ScenesConfig(out=out, count=3, size_px=32, labels=True))


def ceiling(teacher, scenes, out, capsys) -> tuple[int, str]:
    argv = ["evaluate", "--ceiling", "--labeller", str(teacher), "--images", str(scenes / "images")]
    code = main([*argv, "--labels", str(scenes / "labels"), "--out", str(out), "--limit", "2"])
    return code, "".join(capsys.readouterr())


def test_the_ceiling_is_scored_on_every_task(scenes, tmp_path, capsys):
    palette = [list(map(int, color)) for color in Palette.distinct(CLASSES).colors]
    teacher = build_teacher(tmp_path / "teacher", classes=list(CLASSES), palette=palette)
    code, shown = ceiling(teacher, scenes, tmp_path / "scores.json", capsys)
    assert code == 0
    assert f"ceiling of {teacher} on 2 photographs" in shown
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["images"] == 2
    assert 0 <= scores["depth"]["delta1"] <= 1
    assert 0 < scores["normal"]["mean_deg"] < 180  # a random autoencoder keeps little
    assert 0 <= scores["segment"]["miou"] < 0.9


def test_a_teacher_of_other_classes_has_no_ceiling_here(scenes, tmp_path, capsys):
    teacher = build_teacher(tmp_path / "teacher")
    code, shown = ceiling(teacher, scenes, tmp_path / "scores.json", capsys)
    assert code == 2
    assert "expected the classes" in shown

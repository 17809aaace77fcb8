"""Tuning a teacher further on labelled photographs."""

import shutil

import numpy as np
import pytest
from labelled import CLASSES, write_set
from tiny import build_teacher

from distill.main import main
from teacher.painters import EMBEDDED, load_painter
from teacher.tuning.adapt import adapt
from teacher.tuning.config import AdaptConfig

SECONDS = 1 / 60


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Photographs of 144 x 192 px with classes of their own, and without depth or normals."""
    root = tmp_path_factory.mktemp("set")
    return write_set(root, 8, size=(144, 192), depth_m=None, depth_kind=None, normal=None)


def test_a_teacher_learns_other_classes_and_keeps_its_other_tasks(tmp_path, pictures):
    folder = adapt(
        AdaptConfig(
            sets=(pictures,), out=tmp_path, minutes=SECONDS, crops=2, scenes=4, legends=2, threads=1
        )
    )
    painter = load_painter(folder)
    assert painter.card.classes == CLASSES
    assert len(painter.card.legends) == 2
    photographs = np.random.default_rng(0).integers(0, 255, (1, 128, 176, 3), dtype=np.uint8)
    before = load_painter(EMBEDDED).paint(photographs, ("depth",), (0,))["depth"]
    painted = painter.paint(photographs, ("depth", "normal", "segment", "segment@1"), (0,))
    assert np.abs(painted["depth"] - before).mean() < 0.1  # a second of tuning changes little
    assert not np.array_equal(painted["depth"], before)
    losses = (tmp_path / "painter.jsonl").read_text()
    assert '"segment@1"' in losses
    assert '"normal"' not in losses  # four scenes are too few to keep one back


def test_the_command_goes_on_where_it_was_stopped(tmp_path, pictures, capsys):
    arguments = ["--sets", f"[{pictures}]", "--out", str(tmp_path), "--minutes", "0.01"]
    few = ["--crops", "1", "--scenes", "0", "--threads", "1"]
    assert main(["adapt", *arguments, *few]) == 0
    written = (tmp_path / "painter.safetensors").stat().st_mtime_ns
    assert main(["adapt", *arguments, *few]) == 0
    assert (tmp_path / "painter.safetensors").stat().st_mtime_ns == written
    assert main(["adapt", *arguments, *few, "--seed", "1"]) == 2
    assert "belongs to a run with another seed" in capsys.readouterr().err


def test_sets_of_other_classes_are_not_mixed(tmp_path, pictures):
    other = write_set(tmp_path / "other", 2, size=(144, 192), classes=("sky", "sea", "ship"))
    config = AdaptConfig(sets=(pictures, other), out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"other has the classes .*'ship'"):
        adapt(config)


def test_a_set_without_labels_is_refused(tmp_path, pictures):
    unlabelled = tmp_path / "unlabelled"
    shutil.copytree(pictures / "images", unlabelled / "images")
    with pytest.raises(ValueError, match=r"unlabelled: holds no labels; import labelled"):
        adapt(AdaptConfig(sets=(unlabelled,), out=tmp_path / "run"))


def test_only_a_teacher_that_was_made_here_is_tuned_further(tmp_path, pictures):
    folder = build_teacher(tmp_path / "tiny")
    with pytest.raises(ValueError, match=r"only a teacher that `potstill tune` made"):
        adapt(AdaptConfig(sets=(pictures,), out=tmp_path / "run", teacher=str(folder)))


@pytest.mark.parametrize("fields", [{"crops": 0}, {"scenes": -1}, {"legends": 0}, {"minutes": 0.0}])
def test_bad_requests_are_refused(tmp_path, fields):
    (name,) = fields
    with pytest.raises(ValueError, match=f"--{name}"):
        AdaptConfig(sets=(tmp_path,), out=tmp_path, **fields)

"""Labelling jobs with teachers of every kind: label shards are written, and read back."""

from pathlib import Path

import numpy as np
import pytest
from jobs import label, write_images
from samples import make_photograph
from tiny_unets import LAYOUTS, build_pix2pix, build_predictor

from teacher.labeller import build_labeller
from teacher.painters import open_teacher
from teacher.sample import Labels, decode_photograph
from teacher.shards import read_pairs


def job(folder: Path, tasks: str, tmp_path: Path, **options: object) -> list[tuple[bytes, Labels]]:
    """Label two photographs with a teacher; photographs and labels, read back."""
    images, out = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    write_images(images / "000000.tar", {"a": make_photograph(0), "b": make_photograph(1)})
    assert label(images, out, folder, tasks=tasks, **options).labelled == 2
    return [
        (photo, found) for _, photo, found in read_pairs(*(f / "000000.tar" for f in (images, out)))
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_predicted_labels_are_stored(tmp_path: Path, layout: str) -> None:
    folder = build_predictor(tmp_path / "teacher", layout)
    teacher = open_teacher(folder)
    labeller = build_labeller(teacher, teacher.card.tasks)
    for photo, found in job(folder, ",".join(teacher.card.tasks), tmp_path):
        fitted = labeller.fit(decode_photograph(photo))
        planes = labeller.read(labeller.paint([fitted], [found.record.seed])[0])
        assert found.record.teacher["layout"] == teacher.card.layout
        assert found.record.teacher["licence"] is None
        if layout == "marigold-normals":
            cosine = np.einsum("hwi,hwi->hw", found.normal, planes.normal)
            assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 0.5
        else:
            assert found.depth_kind == "affine"
            # Half a step of 16 bits, and what a batch changes in the last digits.
            np.testing.assert_allclose(found.depth_m, planes.depth_m, atol=2e-5)


def test_votes_and_steps_are_on_record(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "teacher", "marigold-depth")
    for _, found in job(folder, "depth", tmp_path, votes=2, steps=4):
        assert (found.record.votes, found.record.steps) == (2, 4)


def test_a_task_that_nobody_predicts_is_refused(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "teacher", "marigold-depth")
    with pytest.raises(ValueError, match="the teacher teacher does not label normal: depth"):
        job(folder, "depth,normal", tmp_path)


@pytest.mark.parametrize("large", [False, True])
def test_pix2pix_labels_are_stored(
    tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = build_pix2pix(tmp_path / "teacher", large=large)
    for _, found in job(folder, "depth,normal,segment", tmp_path):
        assert found.tasks == ("depth", "normal", "segment")
        assert found.depth_kind == "metric"

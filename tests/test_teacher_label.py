"""From paintings to labels: sizes, decoding and confidence."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from legends import with_legends
from samples import make_record
from tiny import CLASSES, build_teacher

from teacher.confidence import Calibration, Fit
from teacher.depth import encode_depth
from teacher.label import (
    MAX_ASPECT_RATIO,
    PHOTOGRAPH,
    Paintings,
    TeacherLabeller,
    card_palette,
    fit_photograph,
    teacher_size,
)
from teacher.normals import encode_normals
from teacher.painters import load_painter, open_teacher
from teacher.painters.card import TeacherCard
from teacher.palette import encode_segments
from teacher.sample import decode_labels, encode_labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny")


@pytest.fixture(scope="module")
def labeller(folder: Path) -> TeacherLabeller:
    return TeacherLabeller(load_painter(folder))


def card_with(resolution_px: int, multiple_px: int) -> TeacherCard:
    return TeacherCard(
        name="",
        licence="",
        resolution_px=resolution_px,
        multiple_px=multiple_px,
        steps=1,
        start="zeros",
        classes=("sky",),
        palette=((0, 0, 0),),
        legends=(((0, 0, 0),),),
        depth_codec={},
        instructions={},
        path_or_hub_id="",
        revision=None,
        layout="",
        weights_sha256="",
        config_sha256="",
    )


def true_paintings(card: TeacherCard) -> tuple[Paintings, Mapping[str, np.ndarray]]:
    """A scene of 8 x 12 px and how a perfect painter would paint it, as floats."""
    depth_m = np.linspace(0.3, 30, 96, dtype=np.float32).reshape(8, 12)
    depth_m[0] = np.inf
    angle = np.linspace(-0.4, 0.4, 96, dtype=np.float32).reshape(8, 12)
    normal = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], axis=-1)
    segment = (np.arange(96).reshape(8, 12) % len(CLASSES)).astype(np.uint8)
    painted = {
        "depth": encode_depth(depth_m),
        "normal": encode_normals(normal),
        "segment": encode_segments(segment, card_palette(card)),
    }
    truth = {"depth": depth_m, "normal": normal, "segment": segment}
    paintings = {task: [(rgb / 255).astype(np.float32)] for task, rgb in painted.items()}
    return {PHOTOGRAPH: [painted["segment"]], **paintings}, truth


def test_perfect_paintings_are_read_with_full_confidence(labeller: TeacherLabeller) -> None:
    paintings, truth = true_paintings(labeller.painter.card)
    labels = labeller.read(paintings)
    assert labels.depth_m is not None
    assert labels.normal is not None
    np.testing.assert_allclose(labels.depth_m, truth["depth"], rtol=0.02)
    assert np.isposinf(labels.depth_m[0]).all()
    assert np.arccos((labels.normal * truth["normal"]).sum(-1).clip(-1, 1)).max() < np.radians(0.5)
    np.testing.assert_array_equal(labels.segment, truth["segment"])
    assert labels.classes == CLASSES
    assert labels.confidence.shape == (2, 3, 3)
    assert labels.confidence.min() >= 253  # 8-bit normals are not quite of unit length


def test_confidence_falls_where_a_painting_fades_to_grey(labeller: TeacherLabeller) -> None:
    paintings, _ = true_paintings(labeller.painter.card)
    clean = labeller.read(paintings).confidence
    for (painting,) in paintings.values():
        painting[4:8, 8:12] = 0.1 * painting[4:8, 8:12] + 0.9 * 0.5
    faded = labeller.read(paintings).confidence
    assert (faded[1, 2] < 0.7 * clean[1, 2]).all()
    faded[1, 2] = clean[1, 2]
    np.testing.assert_array_equal(faded, clean)


def test_black_depth_and_grey_normals_are_unknown_and_not_trusted(
    labeller: TeacherLabeller,
) -> None:
    paintings = {
        PHOTOGRAPH: [np.zeros((4, 4, 3), np.uint8)],
        "depth": [np.zeros((4, 4, 3), np.float32)],
        "normal": [np.full((4, 4, 3), 0.5, np.float32)],
        "segment": [np.zeros((4, 4, 3), np.float32)],
    }
    labels = labeller.read(paintings)
    assert labels.depth_m is not None
    assert np.isnan(labels.depth_m).all()
    assert not np.any(labels.normal)
    np.testing.assert_array_equal(labels.confidence, 0)  # black is as far from every class


@pytest.mark.parametrize("task", ["depth", "normal", "segment"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_painting_that_is_not_finite_is_refused(
    labeller: TeacherLabeller, task: str, value: float
) -> None:
    paintings, _ = true_paintings(labeller.painter.card)
    paintings[task][0][3, 3, 0] = value
    with pytest.raises(ValueError, match=f"the painting of {task} is not finite.*--dtype"):
        labeller.read(paintings)


def test_labels_of_a_batch_equal_those_of_single_photographs(labeller: TeacherLabeller) -> None:
    rng = np.random.default_rng(0)
    photographs = list(rng.integers(0, 256, (3, 60, 90, 3), dtype=np.uint8))
    together = labeller.label(photographs, [1, 2, 3])
    for photograph, seed, batched in zip(photographs, [1, 2, 3], together, strict=True):
        (alone,) = labeller.label([photograph], [seed])
        assert alone.segment is not None
        assert alone.segment.shape == (32, 48)
        assert np.mean(alone.segment == batched.segment) > 0.99
        assert np.abs(alone.confidence.astype(int) - batched.confidence).mean() < 1


def test_labels_can_be_stored(labeller: TeacherLabeller) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    (painted,) = labeller.label([photograph], [0])
    record = make_record(height_px=32, width_px=32)
    stored = decode_labels(encode_labels(painted.with_record(record)))
    assert stored.tasks == ("depth", "normal", "segment")
    assert stored.depth_kind == "metric"
    np.testing.assert_array_equal(stored.segment, painted.segment)
    np.testing.assert_array_equal(stored.confidence, painted.confidence)


def test_only_the_chosen_tasks_are_labelled(folder: Path) -> None:
    labeller = TeacherLabeller(load_painter(folder), ["normal"])
    photograph = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    (painted,) = labeller.label([photograph], [0])
    assert painted.depth_m is None
    assert painted.segment is None
    assert painted.classes == ()
    assert painted.confidence[..., [0, 2]].max() == 0
    assert painted.confidence[..., 1].max() > 0
    assert painted.with_record(make_record(height_px=32, width_px=32)).tasks == ("normal",)


def test_unknown_task_and_mixed_sizes_are_refused(labeller: TeacherLabeller) -> None:
    with pytest.raises(ValueError, match="tasks: expected some of"):
        TeacherLabeller(labeller.painter, ["depth", "albedo"])
    mixed = [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)]
    with pytest.raises(ValueError, match="photographs of one size"):
        labeller.label(mixed, [0, 0])


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((512, 512), (128, 128)),
        ((480, 640), (128, 176)),  # 170.7 is nearer to 176 than to 160
        ((640, 480), (176, 128)),
        ((1080, 1920), (128, 224)),
        ((128, 130), (128, 128)),
        ((1, 1), (128, 128)),
        ((100, 800), (128, 1024)),
    ],
)
def test_teacher_size(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert teacher_size(*size, card_with(128, 16)) == fitted


@given(
    short=st.integers(1, 5000),
    ratio=st.floats(1, MAX_ASPECT_RATIO),
    multiple_px=st.integers(1, 64),
    multiples=st.integers(1, 20),
)
def test_teacher_size_keeps_the_aspect_as_near_as_multiples_allow(
    short: int, ratio: float, multiple_px: int, multiples: int
) -> None:
    long, resolution_px = int(short * ratio), multiple_px * multiples
    card = card_with(resolution_px, multiple_px)
    height_px, width_px = teacher_size(short, long, card)
    assert height_px == resolution_px
    assert width_px % multiple_px == 0
    assert abs(width_px - long * resolution_px / short) <= multiple_px / 2 + 1e-9
    assert teacher_size(long, short, card) == (width_px, height_px)


def test_extreme_panoramas_are_refused(folder: Path) -> None:
    card = open_teacher(folder).card
    with pytest.raises(ValueError, match="900 x 100 px is more than 8 times"):
        teacher_size(100, 900, card)
    with pytest.raises(ValueError, match="1 x 90 px"):
        fit_photograph(np.zeros((90, 1, 3), np.uint8), card)


def test_votes_are_merged_and_calibrated(folder: Path, tmp_path: Path) -> None:
    """Twice the same painting changes nothing but the fit that is taken."""
    copy = with_legends(Path(shutil.copytree(folder, tmp_path / "copy")))
    tasks = ("depth", "normal", "segment")
    fits = [
        Fit(task=task, tasks=(task,), votes=votes, weights={}, bias=np.log(votes))
        for task in tasks
        for votes in (1, 3)
    ]
    stored = json.dumps(Calibration(fits=tuple(fits), photographs=1).to_json())
    (copy / "confidence.json").write_text(stored)
    painter = load_painter(copy)
    single, voted = TeacherLabeller(painter), TeacherLabeller(painter, votes=2)
    paintings, truth = true_paintings(painter.card)
    alone = single.read(paintings)
    palette = card_palette(painter.card, voted.views[1].legend)
    mirrored = encode_segments(truth["segment"], palette).astype(np.float32) / 255
    twice = {task: [*views, *views] for task, views in paintings.items()}
    together = voted.read({**twice, "segment": [paintings["segment"][0], mirrored]})
    assert together.depth_m is not None
    assert together.normal is not None
    np.testing.assert_array_equal(together.segment, alone.segment)
    np.testing.assert_allclose(together.depth_m, truth["depth"], rtol=0.02)
    np.testing.assert_allclose(together.normal, truth["normal"], atol=0.01)
    assert (alone.confidence == 128).all()  # 1 / (1 + exp(0))
    assert (together.confidence == 191).all()  # 1 / (1 + exp(-log 3))


def test_a_calibration_is_part_of_the_teacher(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    before = open_teacher(copy).card
    assert before.calibration is None
    stored = Calibration(fits=(), photographs=3).to_json()
    (copy / "confidence.json").write_text(json.dumps(stored))
    after = open_teacher(copy).card
    assert after.calibration == Calibration(fits=(), photographs=3)
    assert after.config_sha256 != before.config_sha256
    (copy / "confidence.json").write_text(json.dumps({**stored, "schema": 99}))
    with pytest.raises(ValueError, match=r"copy/confidence\.json: expected schema version 1"):
        open_teacher(copy)


def test_more_votes_than_views_are_refused(labeller: TeacherLabeller) -> None:
    with pytest.raises(ValueError, match=r"--votes 3: the teacher tiny .* only 2 different views"):
        TeacherLabeller(labeller.painter, votes=3)

"""From what a predictor says to labels: views, votes, confidence, sizes; and labels of a job."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_unets import LAYOUTS, build_predictor

from teacher.labeller import LabelPlanes, build_labeller
from teacher.painters import open_teacher
from teacher.predictors.card import PredictorCard
from teacher.predictors.disparity import disparity_to_depth
from teacher.predictors.labeller import PredictorLabeller, predictor_size, unmirror
from teacher.predictors.protocol import Predicted
from teacher.sample import TASKS
from teacher.votes import align_depth, vote_affine_depth

CARD = PredictorCard(
    name="known",
    licence=None,
    tasks=TASKS,
    resolution_px=32,
    multiple_px=8,
    depth_kind="affine",
    classes=("left", "right"),
    path_or_hub_id="known",
    revision=None,
    layout="Known",
    weights_sha256="0" * 64,
    config_sha256="1" * 64,
)


class ReadsColours:
    """Reads depth, normals and classes off the colours of a photograph, so that views must agree.

    With `noise`, depth of another scale and shift comes from every seed.
    """

    def __init__(self, card: PredictorCard = CARD, noise: float = 0.0) -> None:
        self.card, self.noise = card, noise

    def predict(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> list[Predicted]:
        return [
            self._read(p / np.float32(255), seed)
            for p, seed in zip(photographs, seeds, strict=True)
        ]

    def _read(self, colors: np.ndarray, seed: int) -> Predicted:
        scale, shift = 1 + self.noise * np.random.default_rng(seed).random(2)
        across = np.linspace(-0.7, 0.7, colors.shape[1], dtype=np.float32)
        x = np.broadcast_to(across, colors.shape[:2])  # a cylinder: symmetric in the mirror
        return Predicted(
            depth=(scale * colors[..., 0] + shift - 1).astype(np.float32),
            normal=np.stack([x, np.zeros_like(x), np.sqrt(1 - x**2)], axis=-1),
            segment=(colors[..., 1] > 0.5).astype(np.uint8),
            certainty={"segment": colors[..., 2]},
        )


def photograph(height_px: int = 32, width_px: int = 40) -> np.ndarray:
    shape = (height_px, width_px, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def label(labeller: PredictorLabeller, seed: int = 1) -> LabelPlanes:
    return labeller.read(labeller.paint([labeller.fit(photograph())], [seed])[0])


def test_one_view_is_handed_on() -> None:
    planes = label(PredictorLabeller(ReadsColours(), TASKS))
    np.testing.assert_allclose(planes.depth_m, photograph()[..., 0] / 255, atol=1e-6)
    assert planes.depth_kind == "affine"
    assert planes.classes == ("left", "right")


def test_confidence_is_the_network_s_own_or_full() -> None:
    planes = label(PredictorLabeller(ReadsColours(), TASKS))
    assert (planes.confidence[..., :2] == 255).all()
    blocks = photograph()[..., 2].reshape(8, 4, 10, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(planes.confidence[..., 2], blocks, atol=1)


def test_mirrored_views_agree_with_the_photograph() -> None:
    one = label(PredictorLabeller(ReadsColours(), TASKS))
    two = label(PredictorLabeller(ReadsColours(), TASKS, votes=2))
    np.testing.assert_allclose(one.depth_m, two.depth_m, atol=1e-6)
    np.testing.assert_allclose(one.normal, two.normal, atol=1e-6)
    np.testing.assert_array_equal(one.segment, two.segment)
    assert (two.confidence >= 254).all()


def test_affine_views_are_aligned_before_the_median() -> None:
    card = replace(CARD, seeded=True, tasks=("depth",), classes=())
    one = label(PredictorLabeller(ReadsColours(card, noise=0.5), ("depth",)))
    five = label(PredictorLabeller(ReadsColours(card, noise=0.5), ("depth",), votes=5))
    np.testing.assert_allclose(one.depth_m, five.depth_m, atol=1e-5)
    assert (five.confidence[..., 0] >= 254).all()


def test_views_that_differ_lower_the_confidence() -> None:
    class Unsure(ReadsColours):
        def _read(self, colors: np.ndarray, seed: int) -> Predicted:
            noise = np.random.default_rng(seed).random(colors.shape[:2], dtype=np.float32)
            return Predicted(depth=noise, segment=(noise > 0.5).astype(np.uint8))

    card = replace(CARD, seeded=True, tasks=("depth", "segment"))
    planes = label(PredictorLabeller(Unsure(card), ("depth", "segment"), votes=4))
    assert planes.confidence[..., 0].mean() < 130
    assert planes.confidence[..., 2].mean() < 200


def test_nothing_known_is_an_error_that_names_the_task() -> None:
    class Overflows(ReadsColours):
        def _read(self, colors: np.ndarray, seed: int) -> Predicted:
            nothing = np.full(colors.shape, np.nan, np.float32)
            return Predicted(depth=nothing[..., 0], normal=nothing)

    for task in ("depth", "normal"):
        with pytest.raises(ValueError, match=f"{task}: no pixel is known; if the arithmetic over"):
            label(PredictorLabeller(Overflows(), (task,)))


def test_tasks_and_votes_that_are_not_there_are_refused() -> None:
    card = replace(CARD, tasks=("normal",), depth_kind=None)
    with pytest.raises(ValueError, match="the teacher known does not label depth: normal"):
        PredictorLabeller(ReadsColours(card), ("depth",))
    with pytest.raises(ValueError, match="--votes 3: the teacher known answers the same to every"):
        PredictorLabeller(ReadsColours(card), ("normal",), votes=3)


def test_a_card_without_the_kind_of_its_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="the kind of its depth must be one of"):
        replace(CARD, depth_kind=None)
    with pytest.raises(ValueError, match="the kind of its depth must be one of"):
        replace(CARD, depth_kind="disparity")


def test_unmirrored_normals_turn_with_the_mirror() -> None:
    normal = np.zeros((1, 2, 3), np.float32)
    normal[0, 0] = 0.6, 0, 0.8
    turned = unmirror(Predicted(normal=normal)).normal
    assert turned is not None
    np.testing.assert_allclose(turned[0, 1], [-0.6, 0, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((480, 640), "long", (24, 32)),
        ((640, 480), "long", (32, 24)),
        ((480, 640), "short", (32, 40)),
        ((100, 790), "long", (8, 32)),
    ],
)
def test_the_side_that_the_card_names_decides_the_size(
    size: tuple[int, int], side: str, expected: tuple[int, int]
) -> None:
    assert predictor_size(*size, replace(CARD, resolution_side=side)) == expected


def test_very_long_photographs_are_refused() -> None:
    for side in ("short", "long"):
        with pytest.raises(ValueError, match="more than 8 times as long as wide"):
            predictor_size(10, 100, replace(CARD, resolution_side=side))


def test_alignment_undoes_scale_and_shift_but_never_turns_depth_around() -> None:
    target = np.random.default_rng(0).random((8, 8), dtype=np.float32)
    target[0, :2] = np.nan, np.inf
    aligned = align_depth(3 * target + 2, target)
    np.testing.assert_allclose(aligned, target, atol=1e-5)
    flat = align_depth(-target, target)
    assert np.nanstd(flat[1:]) < 1e-6


def test_sky_and_unknown_pixels_vote_as_in_metric_depth() -> None:
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    votes = np.stack([ramp, ramp, ramp])
    votes[:2, 0, 0] = np.inf
    votes[:2, 0, 1] = np.nan
    votes[:, 0, 2] = np.nan
    found = vote_affine_depth(votes)
    assert np.isposinf(found.depth_m[0, 0])
    assert found.depth_m[0, 1] == pytest.approx(ramp[0, 1])
    assert np.isnan(found.depth_m[0, 2])
    np.testing.assert_allclose(found.depth_m[1:], ramp[1:], atol=1e-6)


def test_disparity_is_nearness_from_its_value_at_infinity() -> None:
    disparity = np.array([[5.0, 3.0, 1.0], [1.02, 0.5, np.nan]], np.float32)
    depth = disparity_to_depth(disparity, at_infinity=1.0)
    np.testing.assert_allclose(depth[0, :2], [0.01, 0.02], rtol=1e-6)
    assert np.isposinf([depth[0, 2], depth[1, 0], depth[1, 1]]).all()
    assert np.isnan(depth[1, 2])
    assert np.isnan(disparity_to_depth(disparity, at_infinity=9.0)).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_votes_of_real_networks_are_labels(tmp_path: Path, layout: str) -> None:
    teacher = open_teacher(build_predictor(tmp_path / "p", layout))
    labeller = build_labeller(teacher, teacher.card.tasks, votes=2)
    planes = labeller.read(labeller.paint([labeller.fit(photograph())], [1])[0])
    values = planes.depth_m if planes.normal is None else planes.normal
    assert values is not None
    assert values.shape[:2] == (24, 32)
    assert np.isfinite(values).all()

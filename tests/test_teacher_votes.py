"""Several paintings of one photograph: which views there are, how they are undone and merged."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from legends import with_legends
from tiny import build_teacher

from teacher.depth import encode_depth
from teacher.label import TeacherLabeller, card_palette
from teacher.normals import encode_normals
from teacher.painters import load_painter, open_teacher
from teacher.painters.card import TeacherCard, legend_of, task_of
from teacher.palette import encode_segments
from teacher.sample import TASKS
from teacher.views import plan_views, unmirror, view_seed
from teacher.votes import vote_depth, vote_normals, vote_segments


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of three legends that starts from zeros."""
    return with_legends(build_teacher(tmp_path_factory.mktemp("teacher") / "tiny"))


@pytest.fixture(scope="module")
def card(folder: Path) -> TeacherCard:
    return open_teacher(folder).card


class TruthfulPainter:
    """Paints what follows from the pixels alone, in whatever view: x of the normals from the slope
    of the red channel, depth from the green one, classes from the blue one."""

    def __init__(self, card: TeacherCard) -> None:
        self.card = card

    def paint(self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]):
        del seeds
        return {name: self._paint(photographs / 255, name) for name in tasks}

    def _paint(self, photographs: np.ndarray, name: str) -> np.ndarray:
        red, green, blue = np.moveaxis(photographs, -1, 0)
        if task_of(name) == "depth":
            return encode_depth(1 + 9 * green).astype(np.float32) / 255
        if task_of(name) == "normal":
            x = np.gradient(red, axis=2).clip(-0.7, 0.7)
            normal = np.stack([x, np.zeros_like(x), np.sqrt(1 - x**2)], axis=-1)
            return encode_normals(normal).astype(np.float32) / 255
        ids = (blue * len(self.card.classes) * 0.999).astype(int)
        palette = card_palette(self.card, legend_of(name))
        return encode_segments(ids, palette).astype(np.float32) / 255


def test_views_are_the_photograph_itself_then_mirrored_and_in_other_legends(
    card: TeacherCard,
) -> None:
    views = plan_views(card, TASKS, 6)
    assert [view.number for view in views] == list(range(6))
    assert [view.mirrored for view in views] == [False, True] * 3
    assert (views[0].legend, views[0].tasks) == (0, TASKS)
    assert Counter(view.legend for view in views) == {0: 2, 1: 2, 2: 2}
    assert len({(view.mirrored, view.legend) for view in views}) == 6
    # depth and normals look the same in every legend, so they are painted as is and mirrored
    assert [view.tasks for view in views] == [TASKS, TASKS, *[("segment",)] * 4]


@given(legends=st.integers(1, 9))
def test_twice_as_many_views_as_legends_are_all_different(legends: int) -> None:
    card = card_of(legends, start="zeros")
    views = plan_views(card, ("segment",), 2 * legends)
    assert len({(view.mirrored, view.legend) for view in views}) == 2 * legends
    assert all(view.tasks == ("segment",) for view in views)
    with pytest.raises(ValueError, match=f"only {2 * legends} different views"):
        plan_views(card, TASKS, 2 * legends + 1)


def test_seeds_make_any_number_of_views() -> None:
    views = plan_views(card_of(2, start="noise"), TASKS, 9)
    assert all(view.tasks == TASKS for view in views)
    assert len({view_seed(7, view.number) for view in views}) == 9
    assert view_seed(7, 0) == 7
    assert view_seed(7, 3) == view_seed(7, 3) != view_seed(8, 3)


def card_of(legends: int, *, start: str) -> TeacherCard:
    palette = ((0, 0, 255), (0, 255, 0))
    return TeacherCard(
        name="potter",
        licence="",
        resolution_px=32,
        multiple_px=16,
        steps=1,
        start=start,
        classes=("sky", "ground"),
        palette=palette,
        legends=(palette,) * legends,
        depth_codec={"codec": "cubewalk"},
        instructions={},
        path_or_hub_id="",
        revision=None,
        layout="",
        weights_sha256="",
        config_sha256="",
    )


@pytest.mark.parametrize("votes", [0, -1])
def test_fewer_than_one_vote_is_refused(card: TeacherCard, votes: int) -> None:
    with pytest.raises(ValueError, match=f"--votes must be at least 1, found {votes}"):
        plan_views(card, TASKS, votes)


def test_without_segmentation_legends_make_no_views(card: TeacherCard) -> None:
    message = "--votes 3: the teacher tiny answers the same to every seed, so it has only 2"
    with pytest.raises(ValueError, match=message):
        plan_views(card, ("depth", "normal"), 3)


def test_a_mirrored_painting_of_normals_is_undone_with_the_sign_of_x() -> None:
    normal = np.array([[[0.6, 0.0, 0.8], [-0.28, 0.0, 0.96]]], np.float32)
    mirrored = (normal * (-1, 1, 1))[:, ::-1]
    painted, expected = (
        encode_normals(each).astype(np.float32) / 255 for each in (mirrored, normal)
    )
    np.testing.assert_allclose(unmirror(painted, "normal"), expected, atol=1e-6)
    np.testing.assert_array_equal(unmirror(painted, "depth"), painted[:, ::-1])


def test_all_views_of_a_truthful_painter_agree(card: TeacherCard) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    photograph = patches.repeat(8, 0).repeat(8, 1)
    labeller = TeacherLabeller(TruthfulPainter(card), votes=6)
    (paintings,) = labeller.paint([photograph], [0])
    assert {task: len(views) for task, views in paintings.items()} == {
        "photograph": 1,
        "depth": 2,
        "normal": 2,
        "segment": 6,
    }
    reading = labeller.decode(paintings)
    assert reading.depth_votes is not None
    assert reading.normal_votes is not None
    assert reading.segment_votes is not None
    assert reading.depth_votes.max() < 1e-6
    assert reading.normal_votes.max() < 0.5
    assert reading.segment_votes.max() == 0
    (alone,) = TeacherLabeller(TruthfulPainter(card)).label([photograph], [0])
    assert reading.depth_m is not None
    np.testing.assert_allclose(reading.depth_m, 1 + 9 * (photograph[..., 1] / 255), rtol=0.02)
    np.testing.assert_array_equal(reading.segment, alone.segment)


def test_the_real_painter_paints_each_legend_by_its_own_instruction(folder: Path) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    painter = load_painter(folder)
    (paintings,) = TeacherLabeller(painter, votes=6).paint([photograph], [0])
    again = painter.paint(photograph[None], ["segment@1"], [0])["segment@1"][0]
    np.testing.assert_allclose(paintings["segment"][2], again, atol=1e-5)
    assert not np.allclose(paintings["segment"][0], paintings["segment"][2], atol=1e-3)


NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([3.0, 1.0, 2.0], 2.0),
        ([1.0, 4.0], 2.0),  # the geometric mean of the middle two
        ([1.0, INF, INF], INF),
        ([1.0, INF], 1.0),  # sky needs more than half
        ([1.0, 4.0, INF, INF], 2.0),
        ([1.0, 4.0, INF], 2.0),
        ([NAN, INF], INF),  # unknown does not count
        ([NAN, 5.0], 5.0),
        ([NAN, NAN], NAN),
        ([INF, INF], INF),
        ([7.0], 7.0),
    ],
)
def test_depth_is_the_median(votes: list[float], expected: float) -> None:
    voted = vote_depth(np.array(votes, np.float32)[:, None, None])
    np.testing.assert_allclose(voted.depth_m, [[expected]], rtol=1e-6)
    assert voted.depth_m.dtype == voted.spread.dtype == np.float32
    assert np.isfinite(voted.spread).all()


depths = st.sampled_from([NAN, INF]) | st.floats(0.125, 64, width=32)


@given(
    votes=arrays(np.float32, st.tuples(st.integers(1, 5), st.just(2), st.just(3)), elements=depths)
)
def test_depth_vote_lies_among_its_votes_whatever_their_order(votes: np.ndarray) -> None:
    voted = vote_depth(votes).depth_m
    np.testing.assert_array_equal(voted, vote_depth(votes[::-1]).depth_m)
    known = np.where(np.isnan(votes), INF, votes)
    low, high = known.min(axis=0), np.where(np.isnan(votes), 0, votes).max(axis=0)
    unknown = np.isnan(votes).all(axis=0)
    np.testing.assert_array_equal(np.isnan(voted), unknown)
    assert (voted[~unknown] >= low[~unknown] * 0.99999).all()
    assert (voted[~unknown] <= high[~unknown] * 1.00001).all()


def test_spread_of_depth_is_the_mean_distance_of_logarithms() -> None:
    voted = vote_depth(np.array([1.0, 2.0, 8.0], np.float32)[:, None, None])
    assert voted.spread[0, 0] == pytest.approx((np.log(2) + 0 + np.log(4)) / 3)
    sky = vote_depth(np.array([INF, INF, INF], np.float32)[:, None, None])
    assert sky.spread[0, 0] == 0


def test_normals_are_the_mean_direction() -> None:
    votes = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0]], np.float32)[:, None, None, :]
    voted = vote_normals(votes)
    np.testing.assert_allclose(voted.normal[0, 0], [np.sqrt(0.5), 0, np.sqrt(0.5)], atol=1e-6)
    assert voted.spread_deg[0, 0] == pytest.approx((45 + 45 + 90) / 3, abs=1e-3)
    opposite = vote_normals(np.array([[0, 0, 1], [0, 0, -1]], np.float32)[:, None, None, :])
    assert not opposite.normal.any()


@pytest.mark.parametrize(
    ("ids", "margins", "winner", "margin", "against"),
    [
        ([1, 2, 1], [5, 90, 5], 1, (5 + 5 - 90) / 3, 1 / 3),  # two votes outweigh any margin
        ([1, 2], [10, 30], 2, (30 - 10) / 2, 1 / 2),  # a tie: the larger margin
        ([1, 1, 2, 2], [9, 9, 10, 7], 1, (18 - 17) / 4, 1 / 2),  # a tie: the larger sum
        ([2, 1], [10, 10], 2, 0, 1 / 2),  # a tie in all: the earlier view
        ([3], [8], 3, 8, 0),
    ],
)
def test_segments_are_voted(
    ids: list[int], margins: list[float], winner: int, margin: float, against: float
) -> None:
    votes = np.array(ids, np.uint8)[:, None, None], np.array(margins, np.float32)[:, None, None]
    voted = vote_segments(*votes)
    assert voted.ids.dtype == np.uint8
    assert voted.ids[0, 0] == winner
    assert voted.margin[0, 0] == pytest.approx(margin)
    assert voted.against[0, 0] == pytest.approx(against)


@given(ids=arrays(np.uint8, (5, 4, 3), elements=st.integers(0, 3)), seed=st.integers(0, 2**32 - 1))
def test_segment_vote_is_that_of_a_plain_count(ids: np.ndarray, seed: int) -> None:
    margin = np.random.default_rng(seed).random(ids.shape, np.float32)
    voted = vote_segments(ids, margin)
    for row, column in np.ndindex(*ids.shape[1:]):
        votes, margins = ids[:, row, column], margin[:, row, column]
        count = {i: ((votes == i).sum(), margins[votes == i].sum()) for i in set(votes.tolist())}
        assert voted.ids[row, column] == max(count, key=lambda i: count[i])


def test_margins_of_a_palette_with_one_class_stay_infinite() -> None:
    voted = vote_segments(np.zeros((3, 1, 1), np.uint8), np.full((3, 1, 1), INF, np.float32))
    assert np.isposinf(voted.margin).all()

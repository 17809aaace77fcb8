"""Per-photograph statistics: the same figures as the metrics, whatever the weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import CLASSES, make_labels, make_record, random_normals

from distill.bootstrap import draw_weights, interval, intervals
from distill.metrics import Prediction, Scores
from distill.tally import Tally, as_labels, headlines, in_classes, retention
from teacher.sample import Labels


def guess(seed: int, truth: Labels, **fields: object) -> Prediction:
    """A prediction that is right in part."""
    rng = np.random.default_rng(seed)
    assert truth.depth_m is not None
    assert truth.normal is not None
    assert truth.segment is not None
    known_m = np.nan_to_num(truth.depth_m, nan=3.0, posinf=500.0)
    depth_m = np.minimum(known_m * rng.uniform(0.7, 1.4, truth.size), 900)
    normal = truth.normal + 0.3 * random_normals(rng, truth.size)
    wrong = rng.random(truth.size) < 0.3
    segment = np.where(wrong, rng.integers(0, 3, truth.size), np.minimum(truth.segment, 2))
    planes = {
        "depth_m": depth_m.astype(np.float32),
        "normal": normal / np.linalg.norm(normal, axis=-1, keepdims=True),
        "segment": segment,
        "classes": CLASSES,
    }
    return Prediction(**{**planes, **fields})  # type: ignore[arg-type]


def make_tally(images: int, first_seed: int = 0) -> Tally:
    tally = Tally()
    for seed in range(first_seed, first_seed + images):
        truth = make_labels(seed)
        tally.update(guess(seed, truth), truth)
    return tally


@pytest.fixture(scope="module")
def tally() -> Tally:
    return make_tally(7)


def test_weights_of_one_give_the_scores_themselves(tally: Tally) -> None:
    once = tally.resample(np.ones((1, 7), np.int64))
    for task, metrics in once.items():
        for metric, values in metrics.items():
            tolerance = 0.1 if metric == "median_deg" else 1e-9
            assert values == pytest.approx([tally.result()[task][metric]], abs=tolerance)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(any))
@settings(max_examples=25)
def test_a_weight_is_a_repetition(weights: list[int]) -> None:
    repeated = Scores()
    for seed, weight in enumerate(weights):
        truth = make_labels(seed)
        for _ in range(weight):
            repeated.update(guess(seed, truth), truth)
    found = make_tally(4).resample(np.array([weights]))
    for task, metrics in repeated.result().items():
        for metric, values in found[task].items():
            tolerance = 0.1 if metric == "median_deg" else 1e-9
            assert values == pytest.approx([metrics[metric]], abs=tolerance)


def test_draws_are_fair_and_repeatable() -> None:
    weights = draw_weights(50, 400, seed=3)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.25)
    assert np.array_equal(weights, draw_weights(50, 400, seed=3))


def test_an_interval_shrinks_with_more_photographs() -> None:
    def width(images: int) -> float:
        drawn = make_tally(images).resample(draw_weights(images, 500, seed=0))
        bounds = intervals(drawn)["segment"]["accuracy"]
        assert bounds is not None
        return bounds[1] - bounds[0]

    assert width(32) < 0.7 * width(6)


def test_one_photograph_has_an_interval_without_width() -> None:
    drawn = make_tally(1).resample(draw_weights(1, 10, seed=0))
    assert intervals(drawn)["depth"]["delta1"] == [drawn["depth"]["delta1"][0]] * 2


def test_an_interval_of_nothing() -> None:
    assert interval(np.array([np.nan, np.inf])) is None


def test_retention_by_hand() -> None:
    teacher = {"depth": {"delta1": 0.8}, "normal": {"mean_deg": 6.0}, "segment": {"miou": 0.0}}
    student = {"depth": {"delta1": 0.6}, "normal": {"mean_deg": 8.0}, "segment": {"miou": 0.5}}
    found = retention(teacher, student)  # type: ignore[arg-type]
    assert found["depth"] == pytest.approx(0.75)
    assert found["normal"] == pytest.approx(0.75)
    assert np.isnan(found["segment"])


def test_retention_of_a_perfect_student_is_beyond_measure() -> None:
    found = retention({"normal": {"mean_deg": 6.0}}, {"normal": {"mean_deg": 0.0}})  # type: ignore[arg-type]
    assert np.isnan(found["normal"])


def test_a_task_that_one_side_does_not_do_has_no_retention() -> None:
    both = {"depth": {"delta1": np.array([0.5])}}
    assert retention(both, {}) == {}


def test_a_task_without_truth_is_left_out() -> None:
    tally = Tally()
    truth = make_labels(0, normal=None)
    tally.update(guess(0, make_labels(0)), truth)
    assert set(tally.resample(np.ones((1, 1)))) == {"depth", "segment"}
    assert np.isnan(tally.per_image("normal")).all()


def test_per_image_scores() -> None:
    truth = make_labels(0, record=make_record())
    tally = Tally()
    tally.update(guess(0, truth), truth)
    tally.update(Prediction(depth_m=truth.depth_m, normal=truth.normal), truth)
    assert tally.per_image("depth")[1] == 1.0
    assert tally.per_image("normal")[1] == pytest.approx(0, abs=0.1)
    assert 0.5 < tally.per_image("segment")[0] < 1
    assert np.isnan(tally.per_image("segment")[1])
    assert headlines(tally.result())["depth"] == tally.result()["depth"]["delta1"]


def test_class_ids_follow_their_names() -> None:
    prediction = Prediction(segment=np.array([[0, 1], [2, 7]]), classes=("box", "sky", "ground"))
    found = in_classes(prediction, ("sky", "ground", "box"))
    assert found.segment is not None
    assert found.segment.tolist() == [[2, 0], [1, 3]]
    assert found.classes == ("sky", "ground", "box")


def test_other_classes_are_refused() -> None:
    prediction = Prediction(segment=np.zeros((2, 2), int), classes=("a", "b"))
    with pytest.raises(ValueError, match=r"class names differ: .*'a', 'b'.*'a', 'c'"):
        in_classes(prediction, ("a", "c"))


def test_a_prediction_agrees_with_itself_as_labels() -> None:
    truth = make_labels(1)
    said = guess(1, truth)
    tally = Tally()
    tally.update(said, as_labels(said, truth.record))
    assert tally.result()["depth"]["delta1"] == 1
    assert tally.result()["normal"]["mean_deg"] == pytest.approx(0, abs=0.05)
    assert tally.result()["segment"]["miou"] == 1


def test_a_prediction_of_one_task_as_labels() -> None:
    truth = make_labels(1)
    labels = as_labels(Prediction(normal=truth.normal, classes=CLASSES), truth.record)
    assert labels.tasks == ("normal",)

"""Charts of accuracy against time: where points, labels and lines are drawn."""

from itertools import combinations

import pytest
from comparisons import make_comparison, make_learned

from export.pareto import HEIGHT, LINE, WIDTH, Chart, draw_charts, log_ticks

CHARACTER = 5.5


def make_chart() -> Chart:
    """Five labellers that are hard to tell apart, and a slow teacher."""
    rows = make_comparison()["labellers"]
    for number in range(5):
        name = f"onnx_variant_{number}"
        rows[name] = make_learned(f"ONNX variant {number}", "onnx", 9.0 + 0.2 * number)
    (chart,) = draw_charts(rows)
    return chart


def test_faster_is_left_and_better_is_up() -> None:
    rows = make_comparison()["labellers"]
    rows["student"] |= {"depth": {**rows["student"]["depth"], "delta1": 0.95}}
    (chart,) = draw_charts(rows)
    points = {point.title: point for point, _ in chart.points}
    assert points["ONNX FP32"].x < points["Student"].x < points["Teacher"].x
    assert points["Student"].y < points["Teacher"].y
    assert points["Teacher"].high < points["Teacher"].y < points["Teacher"].low


def test_a_smaller_angle_is_up() -> None:
    rows = {}
    for name, angle in (("good", 5.0), ("bad", 20.0)):
        scores = {"normal": {"mean_deg": angle}}
        bounds = {"normal": {"mean_deg": [angle - 1, angle + 1]}}
        rows[name] = make_learned(name, "onnx", 10.0, **scores, interval_95=bounds)
        del rows[name]["depth"]
    (chart,) = draw_charts(rows)
    (good, _), (bad, _) = chart.points
    assert good.y < bad.y
    assert good.low < good.y < good.high  # 4 degrees are above, 6 below
    assert [y for y, _ in chart.upwards] == sorted(y for y, _ in chart.upwards)


def test_labels_cover_nothing_and_stay_inside() -> None:
    boxes = []
    for point, label in make_chart().points:
        width = len(point.title) * CHARACTER
        assert 0 <= label.x <= WIDTH - width
        assert LINE / 2 <= label.y <= HEIGHT - LINE / 2
        boxes.append((label.x, label.y - LINE / 2, label.x + width, label.y + LINE / 2))
    for one, other in combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_nobody_on_the_front_is_beaten() -> None:
    chart = make_chart()
    best = min(point.x for point, _ in chart.points)
    assert chart.front.startswith(f"M{best:.1f} ")
    assert chart.front.count("L") == 1


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(3, 120, [5, 10, 20, 50, 100]), (0.5, 900, [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500])],
)
def test_ticks_of_time(first: float, last: float, expected: list[float]) -> None:
    found = log_ticks(first, last)
    assert found == pytest.approx(expected if len(expected) <= 8 else [1, 10, 100])


def test_one_labeller_is_no_chart() -> None:
    teacher = make_comparison()["labellers"]["teacher"]
    assert draw_charts({"teacher": teacher}) == []

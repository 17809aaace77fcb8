"""Accuracy against time, a chart for each task: where its points, lines and labels are drawn.

All lengths are in units of the chart's own box, which the page scales.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distill.tally import LOWER_IS_BETTER
from export.figures import HEADLINE_METRICS, TASK_TITLES, Metric, Row, fixed, significant

WIDTH, HEIGHT = 360.0, 264.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 12.0, 14.0, 38.0
"""Margins of the part in which points are drawn."""
PADDING = 0.08
"""Of the span of the values, on either side."""
CHARACTER, LINE = 5.9, 13.0
"""Width of a letter of a label, and height of its line."""
GAP = 8.0
"""Between a point and its label."""
TICKS = 4
"""About so many on an axis of values."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A labeller on the chart."""

    title: str
    kind: str
    x: float
    y: float
    low: float
    high: float
    """Ends of the interval, as places on the chart."""
    text: str
    """Its figures, in words."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """Where a point's name is written, from its left end at half its height."""

    x: float
    y: float
    moved: bool
    """Whether it stands so far off that a line has to lead to it."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of one task."""

    title: str
    axis: str
    points: Sequence[tuple[Point, Label]]
    front: str
    """Path of the line below and right of which nobody is worth choosing."""
    across: Sequence[tuple[float, str]]
    """Ticks of time."""
    upwards: Sequence[tuple[float, str]]
    """Ticks of accuracy; better is always up."""


def draw_charts(rows: Mapping[str, Row]) -> list[Chart]:
    """A chart for each task that at least two labellers do."""
    charts = []
    for task, title in TASK_TITLES.items():
        able = {name: row for name, row in rows.items() if task in row}
        if len(able) > 1:
            charts.append(_draw(title, HEADLINE_METRICS[task], able))
    return charts


def _draw(title: str, metric: Metric, rows: Mapping[str, Row]) -> Chart:
    times = [row["latency_ms"]["p50"] for row in rows.values()]
    scores = [bound for row in rows.values() for bound in _span(row, metric)]
    across, first, last = _log_scale(min(times), max(times))
    upwards, lowest, highest = _scale(min(scores), max(scores), metric.key in LOWER_IS_BETTER)
    points = [_point(row, metric, across, upwards) for row in rows.values()]
    return Chart(
        title=title,
        axis=metric.heading,
        points=list(zip(points, place_labels(points))),
        front=_front(points),
        across=[(across(time), significant(time)) for time in log_ticks(first, last)],
        upwards=[(upwards(value), text) for value, text in _value_ticks(lowest, highest)],
    )


def _span(row: Row, metric: Metric) -> tuple[float, float]:
    """The interval of a score, or the score itself where there is none."""
    score = row[metric.task][metric.key]
    low, high = row["interval_95"][metric.task][metric.key] or (score, score)
    return min(low, score), max(high, score)


def _point(
    row: Row, metric: Metric, across: Callable[[float], float], upwards: Callable[[float], float]
) -> Point:
    time_ms, score = row["latency_ms"]["p50"], row[metric.task][metric.key]
    low, high = _span(row, metric)
    return Point(
        title=row["title"],
        kind=row["kind"],
        x=round(across(time_ms), 1),
        y=round(upwards(score), 1),
        low=round(upwards(low), 1),
        high=round(upwards(high), 1),
        text=f"{row['title']}: {metric.label} {fixed(score, metric.digits)} at "
        f"{significant(time_ms)} ms",
    )


def _log_scale(least: float, most: float) -> tuple[Callable[[float], float], float, float]:
    """Time to place, and the times at both ends of the axis."""
    margin = max((most / least) ** 0.1, 1.2)
    first, last = least / margin, most * margin
    span = WIDTH - LEFT - RIGHT
    return (
        lambda time: LEFT + span * math.log(time / first) / math.log(last / first),
        first,
        last,
    )


def _scale(
    least: float, most: float, inverted: bool
) -> tuple[Callable[[float], float], float, float]:
    """Score to place, better above, and the least and greatest score of the axis."""
    margin = max((most - least) * PADDING, 1e-3)
    least, most = least - margin, most + margin
    span = HEIGHT - TOP - BOTTOM

    def place(score: float) -> float:
        share = (score - least) / (most - least)
        return TOP + span * (share if inverted else 1 - share)

    return place, least, most


def log_ticks(first: float, last: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two times; only powers of ten when that is plenty."""
    exponents = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    fine = [lead * 10.0**exponent for exponent in exponents for lead in (1, 2, 5)]
    inside = [time for time in fine if first <= time <= last]
    tens = [time for time in inside if math.log10(time).is_integer()]
    return tens if len(inside) > 2 * TICKS else inside


def _value_ticks(least: float, most: float) -> list[tuple[float, str]]:
    """Round values with as many decimals as their distance needs."""
    rough = (most - least) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * lead for lead in (1, 2, 5, 10) if power * lead >= rough * 0.99)
    digits = max(0, -math.floor(math.log10(step)))
    count = range(math.ceil(least / step), math.floor(most / step) + 1)
    return [(number * step, fixed(number * step, digits)) for number in count]


def _front(points: Sequence[Point]) -> str:
    """A stair through the points that no other beats in both time and accuracy."""
    best = HEIGHT
    corners: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda p: (p.x, p.y)):
        if point.y < best:
            corners += [(point.x, best), (point.x, point.y)] if corners else [(point.x, point.y)]
            best = point.y
    corners.append((WIDTH - RIGHT, best))
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in corners)


def place_labels(points: Sequence[Point]) -> list[Label]:
    """Labels beside their points that cover neither points nor one another, as far as that goes."""
    taken = [(p.x - 5, p.y - 5, p.x + 5, p.y + 5) for p in points]
    labels: list[Label] = []
    for point in points:
        options = list(_places(point))
        free = (o for o in options if _inside(_box(o, point)) and not _hits(_box(o, point), taken))
        label = next(free, options[0])
        taken.append(_box(label, point))
        labels.append(label)
    return labels


def _places(point: Point) -> Iterator[Label]:
    """Right of the point, left of it, then further and further above and below."""
    width = len(point.title) * CHARACTER
    for step in range(9):
        for rise in {-step * LINE, step * LINE}:
            for x in (point.x + GAP, point.x - GAP - width, point.x - width / 2):
                centred = x == point.x - width / 2
                if not (centred and step == 0):
                    yield Label(x=round(x, 1), y=round(point.y + rise, 1), moved=step > 1)


Box = tuple[float, float, float, float]


def _box(label: Label, point: Point) -> Box:
    width = len(point.title) * CHARACTER
    return label.x, label.y - LINE / 2, label.x + width, label.y + LINE / 2


def _inside(box: Box) -> bool:
    return box[0] >= LEFT and box[1] >= 0 and box[2] <= WIDTH and box[3] <= HEIGHT - BOTTOM


def _hits(box: Box, others: Sequence[Box]) -> bool:
    return any(
        box[0] < right and left < box[2] and box[1] < bottom and top < box[3]
        for left, top, right, bottom in others
    )


def chart_box() -> dict[str, Any]:
    """The measures that the page needs to draw axes."""
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
    }

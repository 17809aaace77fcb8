"""The results of a suite as tables, in a terminal and as Markdown, beside published results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from distill.published import PublishedValue
from distill.suite_results import SuiteRow, SuiteRun

NOTHING = "–"
NOT_COMPARABLE = "not comparable"
TASK_TITLES = {"depth": "depth", "normal": "surface normals", "segment": "segmentation"}


class Metric(NamedTuple):
    """A column: the metric's key, its heading with the direction that is better, its digits."""

    key: str
    heading: str
    digits: int


METRICS = {
    "depth": (
        Metric("delta1", "δ1 ↑", 3),
        Metric("absrel", "AbsRel ↓", 3),
        Metric("rmse_m", "RMSE, m ↓", 2),
        Metric("boundary_f1", "boundary F1 ↑", 3),
    ),
    "normal": (
        Metric("mean_deg", "mean, ° ↓", 2),
        Metric("median_deg", "median, ° ↓", 2),
        Metric("within_11_25", "< 11.25° ↑", 3),
    ),
    "segment": (
        Metric("miou", "mIoU ↑", 3),
        Metric("boundary_iou", "boundary IoU ↑", 3),
        Metric("accuracy", "accuracy ↑", 3),
    ),
}
"""Task -> its columns; the first is the headline, of which the mean over scenes is shown too."""
WAYS = {"depth": "alignment", "normal": "averaging", "segment": "averaging"}
"""Task -> in what the ways of scoring it differ."""

Scored = tuple[SuiteRun, SuiteRow]


@dataclass(frozen=True, kw_only=True)
class Section:
    """All rows of one task on one data set, as text."""

    title: str
    caption: str
    header: tuple[str, ...]
    """Name, way of scoring, numbers, remarks."""
    ours: tuple[tuple[str, ...], ...]
    published: tuple[tuple[str, ...], ...]


def sections(
    runs: Sequence[SuiteRun], published: Sequence[PublishedValue], *, brief: bool = False
) -> list[Section]:
    """One section for each data set (or part of one), split and task, in the order of their names.

    brief: for a terminal, with the interval of the headline only, and short remarks.
    """
    found: dict[tuple[str, str, str], list[Scored]] = {}
    for run in runs:
        for row in run.rows:
            found.setdefault((row.part, run.split, row.task), []).append((run, row))
    return [_section(found[place], published, brief) for place in sorted(found)]


def _section(pairs: Sequence[Scored], published: Sequence[PublishedValue], brief: bool) -> Section:
    largest = run, row = max(pairs, key=lambda pair: pair[1].photographs)
    metrics = METRICS[row.task]
    rivals = [v for v in published if (v.dataset, v.task) == (row.part, row.task)]
    over_scenes = () if brief else (f"{metrics[0].heading} by scene",)
    headings = (*(metric.heading for metric in metrics), *over_scenes)
    return Section(
        title=f"{row.part} {run.split}: {TASK_TITLES[row.task]}",
        caption=_caption(run, row),
        header=("", WAYS[row.task], *headings, "ms", "remarks"),
        ours=tuple(_our_cells(pair, largest, brief) for pair in pairs),
        published=tuple(_published_rows(rivals, pairs, brief)),
    )


def _caption(run: SuiteRun, row: SuiteRow) -> str:
    """How many photographs of how many scenes, of how many that the set officially has."""
    whole = f"{run.dataset} {run.split}"
    official = f" ({whole} officially has {run.official_count})" if run.official_count else ""
    official = f" (all of {whole})" if run.complete and run.dataset == row.part else official
    pixels = f" Protocol {row.protocol}." if row.protocol else ""
    return (
        f"{_plural(row.photographs, 'photograph')} of {_plural(row.scenes, 'scene')}{official}."
        f"{pixels} [95 % intervals]: bootstrap over {row.drawn}. Median time of one photograph, "
        f"batch 1, {run.timed_on}."
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _our_cells(pair: Scored, largest: Scored, brief: bool) -> tuple[str, ...]:
    run, row = pair
    headline, *others = METRICS[row.task]
    cells = [_score(row, headline, interval=True)]
    cells += [_score(row, metric, interval=not brief) for metric in others]
    if not brief:
        cells.append(_number(row.scene_mean(headline.key), headline) if row.scores else NOTHING)
    time_ms = f"{run.time_ms:.{0 if run.time_ms >= 100 else 1}f}"
    return (run.labeller, row.variant, *cells, time_ms, _remark(pair, largest))


def _number(value: float, metric: Metric) -> str:
    return f"{value:.{metric.digits}f}"


def _score(row: SuiteRow, metric: Metric, *, interval: bool) -> str:
    if metric.key not in row.scores:
        return NOTHING
    bounds = row.interval_95.get(metric.key) if interval else None
    shown = "" if bounds is None else f" [{', '.join(_number(b, metric) for b in bounds)}]"
    return _number(row.scores[metric.key], metric) + shown


def _remark(pair: Scored, largest: Scored) -> str:
    """What sets a row apart from the largest, of which the caption speaks."""
    (run, row), (shown_run, shown) = pair, largest
    remarks = [row.missing] if row.missing else []
    if row.negative_scale:
        remarks.append(f"negative scale in {100 * row.negative_scale:.1f} % of photographs")
    if row.protocol != shown.protocol:
        remarks.append(f"other pixels: {row.protocol}")
    if row.photographs != shown.photographs:
        remarks.append(f"{_plural(row.photographs, 'photograph')} only")
    if run.timed_on != shown_run.timed_on:
        remarks.append(f"timed on {run.timed_on}")
    return "; ".join(remarks)


def _published_rows(
    rivals: Iterable[PublishedValue], pairs: Sequence[Scored], brief: bool
) -> Iterable[tuple[str, ...]]:
    """One row for each method of each table, in the order of the tables."""
    variants = {row.variant for _, row in pairs}
    complete = all(run.complete for run, _ in pairs)
    split = pairs[0][0].split
    for (method, _), group in groupby(rivals, lambda value: (value.method, value.table)):
        values = list(group)
        printed = {value.metric: str(value.value) for value in values}
        cells = [printed.get(metric.key, NOTHING) for metric in METRICS[values[0].task]]
        cells += [NOTHING] * (1 if brief else 2)
        objections = values[0].objections(variants, split=split, complete=complete)
        remarks = _short(objections, values[0]) if brief else _full(objections, values[0])
        yield (method, values[0].variant, *cells, remarks)


def _short(objections: Sequence[str], value: PublishedValue) -> str:
    """Without what follows the colon of an objection or a note."""
    kinds = ", ".join(objection.partition(":")[0] for objection in objections)
    return f"{NOT_COMPARABLE}: {kinds}" if objections else value.note.partition(":")[0]


def _full(objections: Sequence[str], value: PublishedValue) -> str:
    reasons = f"{NOT_COMPARABLE}: {'; '.join(objections)}. " if objections else ""
    return f"{reasons}Source: {value.source}" + (f" ({value.note})" if value.note else "")


def as_markdown(found: Sequence[Section]) -> str:
    """All sections as a Markdown document; published methods in italics."""
    parts = ["# Results beside published ones"]
    for section in found:
        lines = [f"## {section.title}", "", section.caption, "", _markdown_row(section.header)]
        lines.append(_markdown_row(["---", "---", *["---:"] * (len(section.header) - 3), "---"]))
        lines += [_markdown_row((f"**{name}**", *rest)) for name, *rest in section.ours]
        lines += [_markdown_row((f"*{name}*", *rest)) for name, *rest in section.published]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def as_terminal(found: Sequence[Section]) -> Group:
    """All sections (brief ones) for a terminal; what does not compare is dim."""
    return Group(*(_terminal_table(section) for section in found))


def _terminal_table(section: Section) -> Table:
    table = Table(
        title=section.title,
        title_justify="left",
        caption=section.caption,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    name, way, *numbers, remarks = section.header
    table.add_column(name, overflow="fold", min_width=18)
    table.add_column(way, overflow="fold", min_width=9)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(remarks, overflow="fold", min_width=14)
    for cells in section.ours:
        table.add_row(*map(Text, cells), style="bold")
    table.add_section()
    for cells in section.published:
        table.add_row(*map(Text, cells), style="dim" if NOT_COMPARABLE in cells[-1] else "")
    return table

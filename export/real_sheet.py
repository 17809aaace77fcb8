"""What teacher and student say of photographs that neither saw, as one picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from distill.labellers import Labeller, load_labeller
from distill.metrics import Prediction
from distill.suite import find_datasets
from distill.suite_run import Imported, predict_one, read_samples
from teacher.pictures import depth_picture, segment_picture
from teacher.sample import Labels

ROWS_OF_A_SET = 4
COLUMNS = ("photograph", "ground truth", "teacher", "student")
SHOWN_PERCENTILES = (2, 98)
WIDTH_IN, TITLE_IN = 12.0, 0.2


def draw_sheet(sets: Path, teacher: Path, student: Path, out: Path) -> Path:
    """Write OUT (.png): a few photographs of each imported set, evenly spread over it."""
    from matplotlib.figure import Figure  # here, because it is slow to import

    labellers = [load_labeller(teacher), load_labeller(student)]
    rows = [row for dataset in find_datasets(sets) for row in _rows(dataset, labellers)]
    heights = [photo.shape[0] / photo.shape[1] for _, (photo, *_) in rows]
    cell_in = WIDTH_IN / len(COLUMNS)
    figure = Figure((WIDTH_IN, sum(heights) * cell_in + TITLE_IN * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(COLUMNS), squeeze=False, height_ratios=heights)
    for line, (key, pictures) in zip(axes, rows):
        for cell, picture, column in zip(line, pictures, COLUMNS):
            cell.imshow(picture, interpolation="nearest")
            cell.set_axis_off()
            cell.set_title(key if column == "photograph" else column, fontsize=8, loc="left")
    figure.savefig(out, dpi=110)
    return out


def _rows(
    dataset: Imported, labellers: Sequence[Labeller]
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Key and pictures of a few photographs of a set, in the order of COLUMNS."""
    samples = list(read_samples(dataset.folder, dataset.card.tasks, None))
    for index in range(0, len(samples), -(-len(samples) // ROWS_OF_A_SET)):
        key, photograph, truth = samples[index]
        said = [predict_one(labeller, photograph, truth.size)[0] for labeller in labellers]
        yield key, [photograph, *(_picture(planes, truth) for planes in (truth, *said))]


def _picture(planes: Labels | Prediction, truth: Labels) -> np.ndarray:
    """Classes where the truth has them, else depth, on the scale of the truth."""
    if truth.segment is not None and planes.segment is not None:
        return segment_picture(planes.segment, len(truth.classes))
    if truth.depth_m is None or planes.depth_m is None:
        return np.zeros((*truth.size, 3), np.uint8)
    known = truth.depth_m[np.isfinite(truth.depth_m)]
    near_m, far_m = np.percentile(known, SHOWN_PERCENTILES)
    return depth_picture(planes.depth_m, float(near_m), float(max(far_m, 1.5 * near_m)))

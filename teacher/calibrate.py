"""Fit a teacher's confidence on photographs with true labels, and measure what it is worth.

Photographs are painted K times. Pixels are kept in blocks of 4 x 4, as confidence is stored: all
of them for the test, a random few of each photograph for the fit. For each task one regression is
fitted for each kind of evidence that may be at hand: all tasks painted or this one alone, one vote
or several.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from teacher.calibration_fit import fit_tasks
from teacher.calibration_pixels import Pixels, choose_blocks, join_pixels, pixels_of
from teacher.calibration_scores import KEPT, score_tasks, summary
from teacher.confidence import CONFIDENCE_FILE, Calibration
from teacher.confidence_plot import plot_scores
from teacher.head import decode_head
from teacher.jobs.job_config import best_device
from teacher.label import TeacherLabeller, fit_photograph
from teacher.manifest import image_shards, sample_seed
from teacher.members import LABEL
from teacher.painters import open_teacher
from teacher.painters.card import TeacherCard
from teacher.painters.runtime import Runtime
from teacher.progress import track
from teacher.provenance import write_run
from teacher.sample import TASKS, Labels, decode_photograph, resize_nearest
from teacher.shard_tar import read_shard
from teacher.shards import read_pairs

BLOCKS = {"fit": 32, "test": 1024}
"""Blocks of 4 x 4 pixels that each photograph gives, at most. To fit, few of many photographs:
neighbours say the same. To test, all of 128 x 128 px: rare large errors rule the mean."""


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig:
    """Fit how sure a teacher's labels are, on photographs whose true labels are known."""

    images: Path
    """Image shards, or the folder that holds them."""
    labels: Path
    """Folder of shards of the same names with true labels, such as those of scenes."""
    out: Path
    """Where confidence.json, calibration.json and calibration.png are written."""
    teacher: str = "embedded"
    """A teacher folder, OWNER/NAME on the Hugging Face hub (with --revision), or "embedded"."""
    revision: str | None = None
    """Commit of the teacher on the hub."""
    lora: Path | None = None
    """LoRA adapter for the teacher; its confidence.json belongs into the adapter's folder."""
    steps: int | None = None
    """Denoising steps of a painting, in place of the teacher's own."""
    votes: int = 2
    """Paintings of each photograph; above 1, their agreement is calibrated too."""
    fit: str | None = None
    """Photographs to fit on, A-B counted from 0; if not given, the second half."""
    test: str | None = None
    """Photographs to measure on, A-B counted from 0; if not given, the first half."""
    batch_size: int = 16
    """Photographs painted at a time."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto: the GPU if there is one."""
    dtype: str = "float32"
    """Arithmetic of the teacher: float32, bfloat16 or float16."""


def calibrate(config: CalibrateConfig) -> dict[str, Any]:
    """What `potstill calibrate` does; returns what calibration.json holds.

    Raises ValueError for labels of other classes than the teacher's or of different tasks, for
    positions that are not there, and for photographs that would be both fitted and tested on.
    """
    shards = [(path, config.labels / path.name) for path in image_shards(config.images)]
    teacher = open_teacher(
        config.teacher, revision=config.revision, lora=config.lora, steps=config.steps
    )
    card = teacher.painter_card
    labelled = [found for _, labels in shards for found in usable_tasks(labels, card)]
    splits = choose_photographs(len(labelled), config)
    check_alike(labelled, splits)
    runtime = Runtime(device=best_device(config.device), dtype=config.dtype)
    painter = teacher.painter(runtime)
    tasks = [task for task in TASKS if task in painter.card.instructions]
    labeller = TeacherLabeller(painter, tasks, config.votes)
    pixels = collect(labeller, shards, splits, config.batch_size)
    check_known(pixels)
    fits = [fit for votes, seen in pixels["fit"].items() for fit in fit_tasks(seen, tasks, votes)]
    calibration = Calibration(fits=tuple(fits), photographs=len(splits["fit"]))
    scores = {
        str(votes): score_tasks(calibration, pixels["fit"][votes], seen, tasks, votes)
        for votes, seen in pixels["test"].items()
    }
    report = {
        "teacher": card.identity(),
        "photographs": {name: len(chosen) for name, chosen in splits.items()},
        "votes": scores,
    }
    measured = {
        votes: {task: summary(numbers) for task, numbers in by_task.items()}
        for votes, by_task in scores.items()
    }
    write_run(config.out, config)
    write_json(config.out / CONFIDENCE_FILE, replace(calibration, measured=measured).to_json())
    write_json(config.out / "calibration.json", report)
    plot_scores(scores, config.out / "calibration.png")
    return report


def write_json(path: Path, value: Any) -> None:
    """Write plain JSON values, indented."""
    path.write_text(json.dumps(value, indent=1) + "\n")


def usable_tasks(shard: Path, card: TeacherCard) -> Iterator[tuple[str, ...]]:
    """For each photograph of a label shard, what it is labelled with that the teacher paints.

    Affine depth is left out: it has no metres to be right in.
    Raises FileNotFoundError or ValueError naming the file.
    """
    if not shard.is_file():
        raise FileNotFoundError(f"{shard}: not found; every image shard needs its true labels")
    for sample in read_shard(shard, suffixes=(LABEL,)):
        try:
            head = decode_head(sample.members[LABEL])
        except ValueError as error:
            raise ValueError(f"{shard}: {sample.key}: {error}") from error
        affine = head.depth is not None and head.depth.kind == "affine"
        usable = [task for task in head.tasks if task in card.instructions]
        yield tuple(task for task in usable if not (task == "depth" and affine))


def check_alike(labelled: Sequence[tuple[str, ...]], splits: Mapping[str, range]) -> None:
    """Raise ValueError unless all photographs of the splits have the same tasks, and some.

    labelled: what usable_tasks gives, for all photographs in their order.
    """
    first, *others = sorted(position for chosen in splits.values() for position in chosen)
    if not labelled[first]:
        raise ValueError(f"photograph {first}: its labels hold nothing that the teacher paints")
    for other in others:
        if labelled[other] != labelled[first]:
            raise ValueError(
                f"photograph {first} has labels of {labelled[first]}, photograph {other} of"
                f" {labelled[other]}: choose photographs of the same tasks with --fit and --test"
            )


def check_known(pixels: Mapping[str, Mapping[int, Pixels]]) -> None:
    """Raise ValueError for a task of which nothing is known in all photographs of a split."""
    for split, by_votes in pixels.items():
        for seen in by_votes.values():
            for task, loss in seen.loss.items():
                if not (seen.known[task] & np.isfinite(loss)).any():
                    raise ValueError(
                        f"--{split}: no pixel of these photographs has both a painted and a true"
                        f" {task}; choose others"
                    )


def choose_photographs(count: int, config: CalibrateConfig) -> dict[str, range]:
    """Positions of the photographs to "fit" and to "test" on, of `count` in all."""
    splits = {
        "fit": _positions("fit", config.fit, range(count // 2, count), count),
        "test": _positions("test", config.test, range(count // 2), count),
    }
    both = sorted(set(splits["fit"]) & set(splits["test"]))
    if both or not all(splits.values()):
        found = ", ".join(
            f"--{name} {chosen.start}-{chosen.stop - 1}" if chosen else f"--{name} none"
            for name, chosen in splits.items()
        )
        raise ValueError(
            f"{found}: expected photographs to fit on, and others to test on; {count} have labels"
        )
    return splits


def _positions(name: str, text: str | None, default: range, count: int) -> range:
    """The positions "A-B", B included."""
    if text is None:
        return default
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < count):
        raise ValueError(f"--{name} must have the form A-B within 0-{count - 1}, found {text!r}")
    return range(int(first), int(last) + 1)


class Example(NamedTuple):
    """A photograph with its true labels."""

    split: str
    pixels: np.ndarray
    """(H, W, 3) uint8, at the teacher's size"""
    truth: Labels
    seed: int


def collect(
    labeller: TeacherLabeller,
    shards: Sequence[tuple[Path, Path]],
    splits: Mapping[str, range],
    batch_size: int,
) -> dict[str, dict[int, Pixels]]:
    """Paint and read the photographs of every split -> split -> votes -> pixels.

    Every photograph is painted once, with all votes; what one vote says is the first of them.
    """
    single = TeacherLabeller(labeller.painter, labeller.tasks)
    readers = {1: single, labeller.votes: labeller}  # with one vote, one reader
    rng = np.random.default_rng(0)
    parts: dict[tuple[str, int], list[Pixels]] = defaultdict(list)
    examples = track(_examples(shards, splits, labeller.painter.card), "painting", _total(splits))
    for batch in _batches(examples, batch_size):
        paintings = labeller.paint([e.pixels for e in batch], [e.seed for e in batch])
        for example, painted in zip(batch, paintings, strict=True):
            blocks = choose_blocks(example.truth.size, BLOCKS[example.split], rng)
            first = {task: views[:1] for task, views in painted.items()}
            for votes, reader in readers.items():
                reading = reader.decode(first if votes == 1 else painted)
                parts[example.split, votes].append(pixels_of(reading, example.truth, blocks))
    return {
        split: {votes: join_pixels(seen) for (name, votes), seen in parts.items() if name == split}
        for split in splits
    }


def _total(splits: Mapping[str, range]) -> int:
    return sum(len(chosen) for chosen in splits.values())


def _examples(
    shards: Sequence[tuple[Path, Path]], splits: Mapping[str, range], card: TeacherCard
) -> Iterator[Example]:
    """The photographs of the splits, in the order of the shards."""
    pairs = chain.from_iterable(read_pairs(images, labels) for images, labels in shards)
    for position, (key, photo, truth) in enumerate(pairs):
        split = next((name for name, chosen in splits.items() if position in chosen), None)
        if split is not None:
            pixels = fit_photograph(decode_photograph(photo), card)
            seed = sample_seed("calibrate", key)
            yield Example(split, pixels, resize_truth(truth, *pixels.shape[:2]), seed)


def resize_truth(truth: Labels, height_px: int, width_px: int) -> Labels:
    """Labels at another size: the nearest pixels, so that no surfaces blend."""
    if truth.size == (height_px, width_px):
        return truth
    planes = {name: getattr(truth, name) for name in ("depth_m", "normal", "segment")}
    resized = {
        name: resize_nearest(plane, height_px, width_px)
        for name, plane in planes.items()
        if plane is not None
    }
    return replace(
        truth,
        **resized,
        instance=None,
        confidence=None,
        record=replace(truth.record, height_px=height_px, width_px=width_px),
    )


def _batches(examples: Iterable[Example], batch_size: int) -> Iterator[list[Example]]:
    """Neighbours of one size, at most so many at a time."""
    batch: list[Example] = []
    for example in examples:
        if batch and (len(batch) == batch_size or batch[0].truth.size != example.truth.size):
            yield batch
            batch = []
        batch.append(example)
    if batch:
        yield batch


def format_report(report: Mapping[str, Any]) -> str:
    """The gain of confidence as lines of text, one for each task and number of votes."""
    lines = []
    for votes, tasks in report["votes"].items():
        for task, scores in tasks.items():
            kept = scores[f"loss_at_{KEPT}"]
            lines.append(
                f"{task:<8} votes {votes}: {scores['loss_name']} {scores['loss']:.4f}; of the most "
                f"certain {KEPT:.0%} {kept['pixel']:.4f} (as stored {kept['stored']:.4f}, oracle "
                f"{kept['oracle']:.4f}); calibration error {scores['calibration_error']:.3f}"
            )
    return "\n".join(lines)

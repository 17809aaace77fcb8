"""The whole pipeline on real photographs: tune the embedded teacher, label, distil, judge."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from distill.cli import WIDE
from distill.datasets import DatasetCard, ImportConfig, import_dataset
from distill.published import read_published
from distill.suite import find_datasets, run_suite, write_tables
from distill.suite_results import SuiteRun, SuiteSettings
from distill.suite_run import Candidate
from distill.suite_table import as_terminal, sections
from distill.train import TrainConfig, train
from export.labellers import load_labeller, weights_sha256
from export.real_sheet import draw_sheet
from export.ship import ship
from export.ship_config import ExportConfig
from teacher.cores import usable_cores
from teacher.jobs.job import LabelConfig, run_label_job
from teacher.label import teacher_size
from teacher.painters import open_teacher
from teacher.progress import console, track
from teacher.sample import TASKS, decode_photograph, encode_photograph
from teacher.shards import ShardWriter, image_shards, read_photographs
from teacher.tuning.adapt import adapt
from teacher.tuning.config import AdaptConfig
from teacher.tuning.crops import Crops

TRAINING_SCENES = ("kitchen", "table_a")
"""Scenes whose depth and normals the teacher learns; all others with depth are for judgement."""
PHOTOGRAPH_SOURCES = ("coco_panoptic", "imagenet_photos")
"""Photographs that are labelled by the teacher alone; their own classes are not used."""
CAMVID_PX = (240, 320)
"""Height and width of its photographs; crops have this aspect ratio."""


@dataclass(frozen=True, kw_only=True)
class RealRecipe:
    """Sizes and times of the recipe `real`.

    Data: CamVid at 320 x 240 and a folder of photographs with a manifest. The teacher learns the
    classes of CamVid's training part, and depth and normals of TRAINING_SCENES; the student
    sees nothing but the teacher's labels of crops of these photographs and of the unlabelled
    ones. Both are judged on CamVid's validation part and on the depth of the other scenes.

    Hardware and time: two cores of an AMD EPYC with AVX512-BF16, 44 minutes.
    Expected: mIoU 0.37 for the teacher and 0.39 for the student on 101 photographs of CamVid;
    delta1 by median 0.45 and 0.58 on 7 pictures of 7 scenes.
    Command: potstill quickstart --real data/ --out runs/real
    """

    data: Path
    """Folder that holds camvid/ and real/."""
    out: Path
    """Folder of everything that is made; a run that was stopped goes on."""
    teacher: str = "embedded"
    """The teacher to start from."""
    tuning_minutes: float = 20.0
    """Training time of the teacher."""
    student_minutes: float = 12.0
    """Training time of the student."""
    tuning_crops: int = 12
    """Crops of each labelled photograph that the teacher is tuned on."""
    label_crops: int = 6
    """Crops of each photograph that the teacher labels for the student."""
    scenes: int = 2000
    """Procedural scenes that are mixed in."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    limit: int | None = None
    """So many photographs of each set only."""


def run_real(recipe: RealRecipe) -> list[SuiteRun]:
    """Import, tune, label, distil, export and judge; prints the table and where things are."""
    started = time.monotonic()
    import_sets(recipe)
    teacher = tune_teacher(recipe)
    student = distil(recipe, teacher)
    shipment = ship(
        ExportConfig(
            student=student,
            out=recipe.out / "export",
            images=recipe.out / "sets" / "test" / "camvid" / "images",
        )
    )
    console.print(shipment.describe())
    onnx = shipment.files["onnx_fp32"]
    runs = judge(recipe, {"teacher": teacher, "student": student, "student, ONNX": onnx})
    sheet = draw_sheet(recipe.out / "sets" / "test", teacher, student, recipe.out / "sheet.png")
    width = None if sys.stdout.isatty() else WIDE
    Console(width=width).print(as_terminal(sections(runs, read_published(), brief=True)))
    minutes = (time.monotonic() - started) / 60
    print(f"results  {recipe.out / 'results' / 'table.md'}\npictures {sheet}")
    print(f"model    {onnx}\ntime     {minutes:.1f} minutes")
    return runs


def import_sets(recipe: RealRecipe) -> dict[str, DatasetCard]:
    """The data as labelled sets below OUT/sets, by their place there; what is there is kept."""
    camvid = {"format": "camvid", "folder": recipe.data / "camvid"}
    real = {"format": "folder", "folder": recipe.data / "real"}
    rooms = {**real, "name": "rooms", "tasks": ("depth", "normal"), "scenes": TRAINING_SCENES}
    elsewhere = {**real, "name": "elsewhere", "tasks": ("depth",)}
    photographs = {**real, "name": "photographs", "only": "all", "sources": PHOTOGRAPH_SOURCES}
    asked: dict[str, dict[str, Any]] = {
        "train/camvid": {**camvid, "split": "train"},
        "train/rooms": rooms,
        "train/photographs": photographs,
        "test/camvid": {**camvid, "split": "val"},
        "test/elsewhere": {**elsewhere, "without_scenes": TRAINING_SCENES},
    }
    return {
        place: import_dataset(
            ImportConfig(out=recipe.out / "sets" / place, limit=recipe.limit, **fields)
        )
        for place, fields in asked.items()
    }


def tune_teacher(recipe: RealRecipe) -> Path:
    """The embedded teacher, tuned further on what is labelled; returns its folder."""
    sets = recipe.out / "sets" / "train"
    return adapt(
        AdaptConfig(
            sets=(sets / "camvid", sets / "rooms"),
            out=recipe.out / "adapted",
            teacher=recipe.teacher,
            minutes=recipe.tuning_minutes,
            crops=recipe.tuning_crops,
            scenes=recipe.scenes,
            threads=recipe.threads,
        )
    )


def distil(recipe: RealRecipe, teacher: Path) -> Path:
    """A student that saw the teacher's labels of crops alone; returns its folder."""
    sets = recipe.out / "sets" / "train"
    height_px, width_px = teacher_size(*CAMVID_PX, open_teacher(teacher).card)
    crops = Crops(height_px=height_px, width_px=width_px, count=recipe.label_crops)
    sources = [sets / name / "images" for name in ("camvid", "rooms", "photographs")]
    photographs = cut_crops(sources, crops, recipe.out / "crops")
    labels, student = recipe.out / "labels", recipe.out / "student"
    run_label_job(LabelConfig(images=photographs, out=labels, teacher=str(teacher)))
    if not (student / "student.json").exists():
        train(
            TrainConfig(
                images=photographs,
                labels=labels,
                out=student,
                minutes=recipe.student_minutes,
                resume=(student / "checkpoints" / "last.ckpt").exists(),
            )
        )
    return student


def judge(recipe: RealRecipe, labellers: Mapping[str, Path]) -> list[SuiteRun]:
    """Score them on the photographs that neither saw; see distill.suite."""
    threads = recipe.threads or usable_cores()
    torch.set_num_threads(threads)
    candidates = [
        Candidate(
            name=name,
            sha256=weights_sha256(path),
            threads=threads,
            open=lambda tasks, path=path: load_labeller(path, threads=threads),
        )
        for name, path in labellers.items()
    ]
    out = recipe.out / "results"
    settings = SuiteSettings(tasks=TASKS, alignments=("median",), threads=threads)
    runs = run_suite(candidates, find_datasets(recipe.out / "sets" / "test"), out, settings)
    write_tables(out, runs)
    return runs


def cut_crops(images: Sequence[Path], crops: Crops, out: Path) -> Path:
    """Crops of the photographs of several sets as image shards in OUT; returns OUT.

    A key is the photograph's, with the set before it and the crop's number behind it. A shard
    that is there is kept.
    """
    out.mkdir(parents=True, exist_ok=True)
    shards = [shard for folder in images for shard in image_shards(folder)]
    for number, shard in enumerate(track(shards, "crops")):
        path = out / f"{number:06d}.tar"
        if not path.exists():
            with ShardWriter(path) as writer:
                for key, crop in _crops_of(shard, crops):
                    writer.add(key, {"jpg": encode_photograph(crop)})
    return out


def _crops_of(shard: Path, crops: Crops) -> Iterator[tuple[str, np.ndarray]]:
    source = shard.parent.parent.name
    for key, data in read_photographs(shard):
        for number, crop in enumerate(crops.of_photograph(key, decode_photograph(data))):
            yield f"{source}-{key}-{number}", crop

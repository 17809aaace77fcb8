"""`potstill evaluate --suite`: labellers over imported sets, beside the published results."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from distill.datasets.card import CARD_NAME, read_dataset
from distill.labellers import load_labeller
from distill.published import read_published
from distill.suite_chart import draw_chart
from distill.suite_config import SuiteConfig
from distill.suite_results import (
    RESULTS_NAME,
    SuiteRun,
    SuiteSettings,
    read_results,
    write_results,
)
from distill.suite_run import Candidate, Imported, run_pair
from distill.suite_table import as_markdown, sections
from teacher.atomic import write_atomically
from teacher.model_folder import is_model_folder
from teacher.painters import open_teacher
from teacher.progress import console
from teacher.provenance import sha256_file, write_run


def evaluate_suite(config: SuiteConfig) -> list[SuiteRun]:
    """What `potstill evaluate --suite` does: run what is missing, write everything.

    Raises FileNotFoundError or ValueError when there is no set or no such labeller, before anything
    is run.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    datasets = find_datasets(config.suite)
    candidates = [find_candidate(path, config.device, config.votes) for path in config.labeller]
    settings = SuiteSettings(
        tasks=config.tasks,
        alignments=config.alignments,
        limit=config.limit,
        device=config.device,
        threads=torch.get_num_threads(),
        resamples=config.resamples,
        seed=config.seed,
    )
    runs = run_suite(candidates, datasets, config.out, settings)
    write_run(config.out, config)
    write_tables(config.out, runs)
    return runs


def run_suite(
    candidates: Sequence[Candidate],
    datasets: Sequence[Imported],
    out: Path,
    settings: SuiteSettings,
) -> list[SuiteRun]:
    """Run every candidate on every set that results.json does not have yet; return all its runs.

    results.json is written after each one. A run replaces an older one of the same labeller's name
    on the same set.
    """
    runs = read_results(out)
    for candidate in candidates:
        for dataset in datasets:
            tasks = tuple(task for task in settings.tasks if task in dataset.card.tasks)
            given = replace(settings, tasks=tasks, threads=candidate.threads)
            pair = f"{candidate.name} on {dataset.card.name}"
            if not tasks:
                console.print(f"{pair}: passed over, has only {dataset.card.tasks}", soft_wrap=True)
            elif any(run.is_of(candidate.sha256, dataset.sha256, given) for run in runs):
                console.print(f"{pair}: kept from {RESULTS_NAME}", soft_wrap=True)
            else:
                run = run_pair(candidate, dataset, given)
                runs = [*(old for old in runs if _place(old) != _place(run)), run]
                write_results(out, runs)
    return runs


def _place(run: SuiteRun) -> tuple[str, str, str]:
    return run.labeller, run.dataset, run.split


def find_datasets(suite: Path) -> list[Imported]:
    """The imported sets below a folder that have ground truth, in the order of their paths.

    Raises FileNotFoundError when there is no set, ValueError when none has ground truth and when
    two have one name and split.
    """
    cards = sorted(suite.rglob(CARD_NAME))
    if not cards:
        raise FileNotFoundError(
            f"{suite}: expected imported data sets, found no {CARD_NAME}; see `potstill import`"
        )
    found: dict[tuple[str, str], Imported] = {}
    for path in cards:
        card = read_dataset(path.parent)
        if not card.labelled:
            continue
        if other := found.get((card.name, card.split)):
            raise ValueError(
                f"{path.parent}: {card.name} {card.split} lies in {other.folder} too; keep one, or "
                "import it with another --name"
            )
        shards = sorted(path.parent.glob("*/*.tar"))
        sha256 = _digest([path, *shards])
        found[card.name, card.split] = Imported(path.parent, card, sha256)
    if not found:
        raise ValueError(f"{suite}: no imported set in it has ground truth; import labelled ones")
    return list(found.values())


def find_candidate(path: Path, device: str = "cpu", votes: int = 1) -> Candidate:
    """The teacher (merging so many paintings of a photograph) or student in a folder, not loaded.

    Raises ValueError when the folder holds neither, FileNotFoundError when a file of it is missing.
    """
    teaches = not (path / "student.json").is_file()
    return Candidate(
        name=f"{path}, {votes} votes" if teaches and votes > 1 else str(path),
        sha256=_teacher_sha256(path, votes) if teaches else _student_sha256(path),
        threads=torch.get_num_threads(),
        open=lambda tasks: load_labeller(path, device, tasks, votes),
    )


def _student_sha256(path: Path) -> str:
    return _digest(path / name for name in ("student.json", "student.safetensors"))


def _teacher_sha256(path: Path, votes: int) -> str:
    if not is_model_folder(path):
        raise ValueError(
            f"{path}: expected the folder of a student (student.json) or of a teacher "
            "(model_index.json, or config.json of a network of transformers), found neither"
        )
    card = open_teacher(path).card
    decides = f"{card.weights_sha256} {card.config_sha256} {votes}"
    return hashlib.sha256(decides.encode()).hexdigest()


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256("".join(map(sha256_file, files)).encode()).hexdigest()


def write_tables(out: Path, runs: Sequence[SuiteRun]) -> None:
    """Write table.md, and chart.png when there is anything to draw."""
    found = sections(runs, read_published())
    write_atomically(out / "table.md", as_markdown(found).encode())
    if any(row.scores for run in runs for row in run.rows):
        draw_chart(runs, out / "chart.png")

"""The model card of the shipped files, as the Hugging Face hub reads it, from a comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined

from export.figures import (
    HEADLINE_METRICS,
    METRICS,
    SLICE_METRICS,
    SLICE_TITLES,
    TASK_TITLES,
    Row,
    bounds_text,
    fixed,
    megabytes,
    per_million,
    percent,
    significant,
)
from export.lineup import ONNX, TEACHER
from export.shipped import parity_words

TEMPLATE = Path(__file__).with_name("model_card.md")
HUB_TASKS = {
    "depth": "depth-estimation",
    "normal": "image-to-image",
    "segment": "image-segmentation",
}
"""Task -> what the hub calls it; it has no word for surface normals."""
HUB_LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0")
"""Those that the hub knows under their SPDX names, in small letters; others are "other"."""
TAGS = ("potstill", "onnx", "distillation", "surface-normals")


def write_card(folder: Path, comparison: Mapping[str, Any]) -> Path | None:
    """Write folder/README.md from what comparison.json holds; None where no ONNX file was compared.

    Copied beside the files it is the card of a repository on the hub.
    """
    files = {n: row for n, row in comparison["labellers"].items() if row["kind"] == ONNX}
    if not files:
        return None
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    path = folder / "README.md"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(template.render(_fields(comparison, files)), encoding="utf-8")
    return path


def _fields(comparison: Mapping[str, Any], files: Mapping[str, Row]) -> dict[str, Any]:
    """Everything that the template prints."""
    headline = comparison["headline"]
    metadata = files[headline]["metadata"]
    height, width = comparison["resolution"]
    return {
        "front_matter": front_matter(comparison, files).to_yaml(),
        "metadata": metadata,
        "tasks": [TASK_TITLES[task].lower() for task in metadata["tasks"]],
        "licences": licences(metadata),
        "teacher": comparison["labellers"][TEACHER],
        "file_name": Path(files[headline]["path"]).name,
        "files": [_file(row, comparison["currency"]) for row in files.values()],
        "accuracy": _accuracy(comparison),
        "slices": _slices(comparison),
        "images": comparison["images"],
        "resolution": f"{width} x {height}",
        "machine": comparison["machine"],
        "threads": files[headline]["latency"]["threads"],
        "refused": comparison["refused"],
        "protocol": comparison["protocol"],
    }


def front_matter(comparison: Mapping[str, Any], files: Mapping[str, Row]) -> ModelCardData:
    """What the hub reads of a card; every result is of the fastest file, like the headline."""
    row = files[comparison["headline"]]
    metadata = row["metadata"]
    licence = licences(metadata)["student"]
    tasks = [HUB_TASKS[task] for task in metadata["tasks"]]
    return ModelCardData(
        library_name="onnx",
        pipeline_tag=tasks[0],
        base_model=metadata.get("base_model"),
        tags=list(dict.fromkeys([*TAGS, *tasks])),
        model_name=Path(row["path"]).stem,
        eval_results=_results(comparison, row),
        **hub_licence(licence),  # type: ignore[arg-type]
    )


def hub_licence(licence: str | None) -> dict[str, str]:
    """A licence in the front matter: by the hub's own name, or as "other" with its name."""
    if licence is None:
        return {"license": "unknown"}
    if licence.lower() in HUB_LICENCES:
        return {"license": licence.lower()}
    return {"license": "other", "license_name": licence}


def licences(metadata: Mapping[str, Any]) -> dict[str, str | None]:
    """Whose licence is what: of the student, its teacher and its backbone; None = not stated."""
    stated = metadata.get("licence") or {}
    return {name: stated.get(name) for name in ("student", "teacher", "backbone")}


def _results(comparison: Mapping[str, Any], row: Row) -> list[EvalResult]:
    """Every metric of a file on the held-out photographs, in the form of the hub."""
    name = f"{comparison['images']} held-out photographs"
    return [
        EvalResult(
            task_type=HUB_TASKS[metric.task],
            task_name=TASK_TITLES[metric.task],
            dataset_type=Path(comparison["data"]["labels"]).parent.name,
            dataset_name=name,
            metric_type=metric.key,
            metric_name=metric.label,
            metric_value=round(row[metric.task][metric.key], 5),
        )
        for metric in METRICS
        if metric.task in row
    ]


def _file(row: Row, currency: str) -> dict[str, str]:
    metadata = row["metadata"]
    return {
        "name": Path(row["path"]).name,
        "sha256": row["sha256"],
        "size": megabytes(row["size_bytes"]),
        "for": metadata.get("runs_on") or "any device",
        "median": significant(row["latency_ms"]["p50"]),
        "faster": significant(row["speedup"][TEACHER]),
        "memory": megabytes(row["latency"]["peak_memory_bytes"]),
        "million": per_million(row, currency),
        "parity": parity_words(metadata.get("parity")),
        "kept": ", ".join(
            f"{TASK_TITLES[task].lower()} {percent(share)}"
            for task, share in row["retention"].items()
        ),
    }


def _accuracy(comparison: Mapping[str, Any]) -> list[list[str]]:
    """Rows of a table: labeller, then the headline metric of each task with its interval."""
    header = ["", *(f"{TASK_TITLES[t]}: {m.heading}" for t, m in HEADLINE_METRICS.items())]
    body = [
        [row["title"], *(_score(row, metric) for metric in HEADLINE_METRICS.values())]
        for row in comparison["labellers"].values()
    ]
    return [header, *body]


def _score(row: Row, metric: Any) -> str:
    if metric.task not in row:
        return "–"
    bounds = bounds_text(row["interval_95"][metric.task][metric.key], metric.digits)
    return f"{fixed(row[metric.task][metric.key], metric.digits)} ({bounds})"


def _slices(comparison: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Slice -> the scores of the fastest file inside it, in words."""
    slices = comparison["labellers"][comparison["headline"]]["slices"]
    return [
        (
            SLICE_TITLES[name],
            ", ".join(
                f"{TASK_TITLES[task].lower()} {SLICE_METRICS[task]} {found['value']:.2f}"
                for task, found in scores.items()
            ),
        )
        for name, scores in slices.items()
    ]

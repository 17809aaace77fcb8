"""What an exported student says of itself: the metadata inside its file."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from export.session import SCHEMA_VERSION
from student import Student, StudentConfig
from teacher.provenance import package_versions, sha256_file
from teacher.sample import LABEL_SUFFIXES, decode_labels
from teacher.shards import read_shard

OUTPUTS = {"depth": ("depth_m",), "normal": ("normal",), "segment": ("segment", "confidence")}
"""Task -> names of its outputs."""
UNITS = {
    "normal": "unit vectors",
    "segment": "class ids",
    "confidence": "softmax probability of the chosen class",
}
DEPTH_UNITS = {
    "metric": "metres along the optical axis",
    "affine": "0 (near) to 1 (far), up to an unknown scale and shift",
}
AXES = "camera space, right-handed: +x right, +y up, +z towards the camera"
INPUT = "uint8 sRGB (N, H, W, 3), upright"
RESIZE_RULE = (
    "inside the graph: bilinear, half-pixel centres, no antialiasing, up to the next multiple of "
    "multiple_px in height and width; outputs are resized back to the size of the input"
)
TEACHER_KEYS = ("path_or_hub_id", "revision", "weights_sha256", "licence", "layout")


def output_names(tasks: Iterable[str]) -> list[str]:
    """Names of the graph's outputs, in order."""
    return [name for task in tasks for name in OUTPUTS[task]]


def describe(student: Student, folder: Path) -> dict[str, Any]:
    """The metadata of an exported student, but for its precision and parity.

    folder: of `potstill train`. Raises ValueError when its run.json is damaged.
    """
    config = student.config
    run = read_run(folder)
    return {
        "schema": SCHEMA_VERSION,
        "tasks": config.tasks,
        "classes": config.classes,
        "depth_kind": config.depth_kind if "depth" in config.tasks else None,
        "units": _units(config),
        "axes": AXES,
        "input": INPUT,
        "resize": RESIZE_RULE,
        "multiple_px": student.multiple_px,
        "trained_px": config.image_size,
        "backbone": config.backbone,
        "weights_sha256": sha256_file(folder / "student.safetensors"),
        "label_shards_sha256": run.get("label_shards"),
        "teacher": find_teacher(run),
        "versions": package_versions(),
    }


def _units(config: StudentConfig) -> dict[str, str]:
    units = {"depth_m": DEPTH_UNITS[config.depth_kind], **UNITS}
    return {name: units[name] for name in output_names(config.tasks)}


def read_run(folder: Path) -> Mapping[str, Any]:
    """The run.json of a training, or nothing where there is none."""
    path = folder / "run.json"
    if not path.is_file():
        return {}
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    return run if isinstance(run, dict) else {}


def find_teacher(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Who labelled the training data, and under which licence: as the labels themselves state it.

    None where the labels that the training read are no longer there.
    """
    labels = Path(run.get("config", {}).get("labels") or "nowhere")
    for shard in sorted(labels.glob("*.tar")):
        for sample in read_shard(shard, suffixes=LABEL_SUFFIXES):
            where = f"{shard}: {sample.key}"
            teacher = dict(decode_labels(sample.members, where=where).record.teacher)
            found = {key: teacher.get(key) for key in TEACHER_KEYS}
            return found | {"path_or_hub_id": _public_name(str(found["path_or_hub_id"]))}
    return None


def _public_name(path_or_hub_id: str) -> str:
    """A local path without the folders that lead to it: they are nobody's business."""
    path = Path(path_or_hub_id)
    return path.name if path.is_absolute() else path_or_hub_id

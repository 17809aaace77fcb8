"""What an exported student says of itself: the metadata inside its file."""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import timm

from export.session import SCHEMA_VERSION
from student.model import Student, StudentConfig
from teacher.provenance import package_versions, sha256_file
from teacher.sample import LABEL_SUFFIXES, decode_labels
from teacher.shards import read_shard

OPSET = 20
"""LayerNormalization and Gelu are operators of their own, and every runtime of today reads it."""
SKY = "sky"
"""The class whose depth may be infinite in a metric student, as it is in labels."""
SKY_RULE = "depth_m is inf where the class is sky and the depth 100 m or more"

OUTPUTS = {"depth": "depth_m", "normal": "normal", "segment": "segment"}
"""Task -> name of its output."""
UNITS = {
    "normal": "unit vectors",
    "segment": "class ids",
    "confidence": "0 (doubtful) to 1 (certain), one channel for each task",
}
DEPTH_UNITS = {
    "metric": "metres along the optical axis",
    "affine": "0 (near) to 1 (far), up to an unknown scale and shift",
}
AXES = "camera space, right-handed: +x right, +y up, +z towards the camera"
INPUT = "uint8 sRGB (N, H, W, 3), upright"
RESIZE_RULE = (
    "inside the graph: bilinear, half-pixel centres, no antialiasing, up to the next multiple of "
    "multiple_px in height and width; outputs are resized back to the size of the input, normals "
    "by taking the nearest pixel"
)
TEACHER_KEYS = ("path_or_hub_id", "revision", "weights_sha256", "licence", "layout")
RUNS_ON = {
    "fp32": "any device",
    "fp16": "GPUs only: a CPU casts every value to float32 and back, and is slower than with fp32",
    "int8": "CPUs with 8-bit dot products (VNNI, dotprod)",
    "int8_dynamic": "CPUs with 8-bit dot products (VNNI, dotprod)",
}
"""Precision -> where such a file is of use."""


def output_names(tasks: Iterable[str]) -> list[str]:
    """Names of the graph's outputs, in order."""
    return [*(OUTPUTS[task] for task in tasks), "confidence"]


def describe(student: Student, folder: Path, licence: str | None = None) -> dict[str, Any]:
    """The metadata that all files of an exported student share.

    folder: of `potstill train`; licence: of the student's weights, as its owner states it.
    Raises ValueError when the folder's run.json is damaged.
    """
    config = student.config
    run = read_run(folder)
    teacher = find_teacher(run)
    return {
        "schema": SCHEMA_VERSION,
        "tasks": config.tasks,
        "classes": config.classes,
        "depth_kind": config.depth_kind if "depth" in config.tasks else None,
        "units": _units(config),
        "axes": AXES,
        "sky": SKY_RULE if sky_class(config) is not None else None,
        "input": INPUT,
        "resize": RESIZE_RULE,
        "multiple_px": student.multiple_px,
        "trained_px": config.image_size,
        "backbone": config.backbone,
        "base_model": base_model(config, run),
        "licence": {
            "student": licence,
            "teacher": teacher["licence"] if teacher else None,
            "backbone": backbone_licence(config, run),
        },
        "weights_sha256": sha256_file(folder / "student.safetensors"),
        "label_manifest_sha256": manifest_sha256(run),
        "label_shards_sha256": run.get("label_shards"),
        "teacher": teacher,
        "versions": package_versions() | {"onnxscript": version("onnxscript")},
    }


def describe_file(
    precision: str, size_px: tuple[int, int] | None = None, calibration_sha256: str | None = None
) -> dict[str, Any]:
    """The metadata of one file.

    size_px: the only height and width that it takes; calibration_sha256: digest of the photographs
    that it was calibrated with.
    """
    return {
        "precision": precision,
        "runs_on": RUNS_ON[precision],
        "size_px": size_px,
        "calibration_sha256": calibration_sha256,
        "opset": OPSET,
    }


def write_markdown(metadata: Mapping[str, Any], found: Iterable[str]) -> str:
    """The metadata as a page for people. found: lines on how near each file comes to PyTorch."""
    outputs = [f"- `{name}`: {unit}" for name, unit in metadata["units"].items()]
    licences = [f"{of}: {name or 'not stated'}" for of, name in metadata["licence"].items()]
    return "\n".join(
        [
            f"# A student of the tasks {', '.join(metadata['tasks'])}",
            "",
            f"Input `image`: {metadata['input']}. Outputs, at the size of the input:",
            "",
            *outputs,
            "",
            f"Axes: {metadata['axes']}. Sky: {metadata['sky'] or 'is not told apart'}.",
            f"Classes: {', '.join(metadata['classes']) or 'none'}.",
            "",
            f"Licences: {', '.join(licences)}. Weights (sha256): {metadata['weights_sha256']}.",
            "",
            "## How near the files come to PyTorch",
            "",
            *(f"- {line}" for line in found),
            "",
        ]
    )


def sky_class(config: StudentConfig) -> int | None:
    """The class id whose pixels are infinitely far; None where depth has no metres, or no sky."""
    if "depth" in config.tasks and config.depth_kind == "metric" and SKY in config.classes:
        return config.classes.index(SKY)
    return None


def backbone_licence(config: StudentConfig, run: Mapping[str, Any]) -> str | None:
    """The licence of the published weights that the training began with; None for scratch."""
    if run.get("config", {}).get("weights", "scratch") == "scratch":
        return None
    published = timm.get_pretrained_cfg(config.backbone)
    return published.license if published else None


def base_model(config: StudentConfig, run: Mapping[str, Any]) -> str | None:
    """The hub's name of the published weights that the training began with, where it is known."""
    if run.get("config", {}).get("weights") != "hub":
        return None
    published = timm.get_pretrained_cfg(config.backbone)
    return published.hf_hub_id if published else None


def manifest_sha256(run: Mapping[str, Any]) -> str | None:
    """Digest of the manifest of the labelling job whose labels the training read.

    None where it is no longer there, and for labels that no job wrote (ground truth).
    """
    path = _labels_folder(run) / "manifest.json"
    return sha256_file(path) if path.is_file() else None


def _labels_folder(run: Mapping[str, Any]) -> Path:
    return Path(run.get("config", {}).get("labels") or "nowhere")


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
    for shard in sorted(_labels_folder(run).glob("*.tar")):
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

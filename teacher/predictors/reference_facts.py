"""What the folders of transformers' depth and segmentation models say of themselves; no torch.

Nothing is guessed: what config.json cannot tell has to stand in the folder's teacher.json.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teacher.model_folder import read_json
from teacher.predictors.card import read_stated
from teacher.predictors.disparity import disparity_at_infinity
from teacher.predictors.image_processor import read_image_processor

SQUARE_STEP_PX = 16
"""Sides of photographs for networks that stretch them anyway: a step, so that sizes are alike."""

DEPTH_OUTPUTS = ("metric", "affine", "disparity")
"""Metres; depth, or inverse depth, up to an unknown scale and shift."""

FINEST_PX, STRIDE_PX = 4, 32
"""Finest and coarsest feature maps of hierarchical backbones (Swin, SegFormer): pixels for one."""

SAM3_THRESHOLD = 0.5
"""Masks with a lower score do not count, unless teacher.json says otherwise."""


def depth_estimation_facts(folder: Path) -> Mapping[str, Any]:
    """Facts of a model for depth estimation.

    Raises ValueError where nothing says what kind of depth it is, and for disparity without its
    value at infinity.
    """
    config = read_json(folder / "config.json")
    kind = predicted_kind(folder)
    if kind == "disparity":
        disparity_at_infinity(folder)  # refuses a folder that does not state it
    return {
        "tasks": ("depth",),
        "depth_kind": "affine" if kind == "disparity" else kind,
        **_size(folder, _depth_multiple(folder, config)),
    }


def predicted_kind(folder: Path) -> str:
    """What the network answers with: one of DEPTH_OUTPUTS, from config.json or teacher.json."""
    config = read_json(folder / "config.json")
    path, known = folder / "teacher.json", _kind_of_config(config)
    stated = read_stated(folder).get("depth_kind", known)
    if stated is None:
        raise ValueError(
            f"{folder}/config.json does not tell what a {config.get('model_type')} model was "
            f'trained to predict: write {{"depth_kind": "metric"}} into {path} if it is metres, '
            '"affine" if it is depth up to scale and shift, "disparity" if it is inverse depth '
            "(MiDaS and dpt-large are); its model card says which"
        )
    if known not in (None, stated):
        raise ValueError(f"{path}: depth_kind is {stated!r}, but config.json says {known!r}")
    if stated not in DEPTH_OUTPUTS:
        raise ValueError(
            f"{path}: depth_kind must be one of {', '.join(DEPTH_OUTPUTS)}; found {stated!r}"
        )
    return stated


def _kind_of_config(config: Mapping[str, Any]) -> str | None:
    """None where checkpoints of the same class were trained to predict different things."""
    kind = config.get("model_type")
    if kind == "depth_anything":
        # Of the released networks: targets were 1 / depth, scaled to 0..1 in each picture.
        relative = config.get("depth_estimation_type", "relative") == "relative"
        return "disparity" if relative else "metric"
    if kind == "depth_pro":  # without its field of view, depth is known up to scale
        return "metric" if config.get("use_fov_model") else "affine"
    return "metric" if kind in ("zoedepth", "glpn") else None


def _depth_multiple(folder: Path, config: Mapping[str, Any]) -> int:
    kind = config.get("model_type")
    if kind in ("zoedepth", "glpn"):
        return STRIDE_PX
    if kind == "depth_pro" or sees_squares(config):
        return SQUARE_STEP_PX
    backbone = config.get("backbone_config") or {}
    patch_px = backbone.get("patch_size", config.get("patch_size"))
    if patch_px == FINEST_PX:
        return STRIDE_PX
    return _positive(folder, "patch_size", patch_px)


def sees_squares(config: Mapping[str, Any]) -> bool:
    """Whether it is a DPT with a vision transformer of its own: that takes squares of one size."""
    own = config.get("backbone_config") is None or bool(config.get("is_hybrid"))
    return config.get("model_type") == "dpt" and own


def semantic_facts(folder: Path) -> Mapping[str, Any]:
    """Facts of a model for semantic segmentation; its classes are those of id2label.

    classes of teacher.json, {name: [names of id2label]}, makes other classes of them: merged, in
    another order, or left out, which then are "ignore".
    """
    config = read_json(folder / "config.json")
    if config.get("model_type") == "eomt":
        side = _positive(folder, "image_size", config.get("image_size"))
        patch = _positive(folder, "patch_size", config.get("patch_size"))
        size = {"resolution_px": side, "multiple_px": patch}
        if read_stated(folder).get("resolution_px", side) != side:
            raise ValueError(f"{folder}/teacher.json: EoMT works at {side} px alone")
    else:
        size = _size(folder, read_image_processor(folder).multiple_px or STRIDE_PX)
    return {"tasks": ("segment",), "classes": tuple(class_groups(folder)), **size}


def class_groups(folder: Path) -> dict[str, list[int]]:
    """Name of a class of the labels -> the network's ids that count as it."""
    names = _network_classes(folder)
    path, stated = folder / "teacher.json", read_stated(folder).get("classes")
    if stated is None:
        return {name: [index] for index, name in enumerate(names)}
    if not isinstance(stated, dict) or not all(isinstance(v, list) for v in stated.values()):
        raise ValueError(
            f"{path}: classes must be an object like "
            f'{{"name": [names of config.json]}}, found {stated!r}'
        )
    wanted = [name for group in stated.values() for name in group]
    if unknown := [name for name in wanted if name not in names]:
        raise ValueError(f"{path}: classes: {unknown[0]!r} is none of {', '.join(names)}")
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"{path}: classes: a class of config.json may count as one class only")
    return {name: [names.index(member) for member in group] for name, group in stated.items()}


def _network_classes(folder: Path) -> list[str]:
    path = folder / "config.json"
    stored = read_json(path).get("id2label")
    if not isinstance(stored, dict) or {*stored} != {str(i) for i in range(len(stored))}:
        raise ValueError(f"{path}: id2label must name the classes 0, 1, 2, ..., found {stored!r}")
    names = [stored[str(index)] for index in range(len(stored))]
    twice = {name for name in names if names.count(name) > 1}
    return [f"{name} ({i})" if name in twice else name for i, name in enumerate(names)]


def sam3_facts(folder: Path) -> Mapping[str, Any]:
    """Facts of SAM 3, which finds what it is asked for: teacher.json must name the classes."""
    score_threshold(folder)  # refuses one that makes no sense
    return {
        "tasks": ("segment",),
        "classes": tuple(prompts_of_classes(folder)),
        **_size(folder, SQUARE_STEP_PX),
    }


def prompts_of_classes(folder: Path) -> dict[str, str]:
    """Name of a class -> the words that SAM 3 is asked for: the name, or what teacher.json says."""
    path, stated = folder / "teacher.json", read_stated(folder).get("classes")
    if isinstance(stated, list) and _all_texts(stated):
        stated = dict(zip(stated, stated, strict=True))
    if not stated or not isinstance(stated, dict) or not _all_texts([*stated, *stated.values()]):
        raise ValueError(
            f'{path}: SAM 3 finds what it is asked for: "classes" must name it, as a list '
            '["sky", "person"] or, with other words to ask for, {"person": "human"}; '
            f"found {stated!r}"
        )
    return stated


def score_threshold(folder: Path) -> float:
    """The score from which a mask of SAM 3 counts."""
    value = read_stated(folder).get("score_threshold", SAM3_THRESHOLD)
    if type(value) not in (int, float) or not 0 <= value < 1:
        raise ValueError(
            f"{folder}/teacher.json: score_threshold must be a number from 0 to below 1, found "
            f"{value!r}"
        )
    return float(value)


def _all_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) and value for value in values)


def _size(folder: Path, multiple_px: int) -> dict[str, int]:
    """Short side and step of photographs; the processor's own side, to the nearest multiple."""
    short_px = read_stated(folder).get("resolution_px") or read_image_processor(folder).short_px
    if short_px is None:
        raise ValueError(
            f"{folder}: nothing says at which size the network works: write "
            f'{{"resolution_px": ...}}, the short side in pixels, into {folder / "teacher.json"}'
        )
    nearest_px = max(1, round(short_px / multiple_px)) * multiple_px
    return {"resolution_px": nearest_px, "multiple_px": multiple_px}


def _positive(folder: Path, key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{folder}/config.json: {key} must be a whole number, found {value!r}")
    return value

"""What the folders of Marigold and Lotus say of themselves; loads no torch.

Their depth has an unknown scale and shift.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teacher.model_folder import read_json
from teacher.predictors.card import read_stated
from teacher.predictors.disparity import disparity_at_infinity

LOTUS_SIDE_PX = 768
"""Long side at which Lotus was tuned, `default_processing_resolution` of its own pipeline."""

OUTPUTS = ("depth", "disparity", "normal")
"""What teacher.json may state as the "output" of a Lotus folder."""


def marigold_depth_facts(folder: Path) -> Mapping[str, Any]:
    """Facts of a MarigoldDepthPipeline.

    Raises ValueError for a network of another kind of depth.
    """
    index = read_json(folder / "model_index.json")
    if not index.get("scale_invariant", True):
        raise ValueError(
            f"{folder}/model_index.json: scale_invariant is false, but the unit of such depth is "
            "not stated; take a model whose depth is up to scale and shift"
        )
    return {
        **_marigold_facts(folder, index),
        **_output_facts(folder, index.get("prediction_type")),
        "depth_kind": "affine",
    }


def marigold_normals_facts(folder: Path) -> Mapping[str, Any]:
    """Facts of a MarigoldNormalsPipeline."""
    index = read_json(folder / "model_index.json")
    return {**_marigold_facts(folder, index), "tasks": ("normal",)}


def lotus_facts(folder: Path) -> Mapping[str, Any]:
    """Facts of a LotusGPipeline or LotusDPipeline, whose files do not say what they were tuned for.

    Raises ValueError unless teacher.json states the "output".
    """
    output = read_stated(folder).get("output")
    tasks = {"tasks": ("normal",)} if output == "normal" else _output_facts(folder, output)
    generative = read_json(folder / "model_index.json")["_class_name"] == "LotusGPipeline"
    return {
        **_unet_facts(folder, LOTUS_SIDE_PX),
        **tasks,
        "depth_kind": None if output == "normal" else "affine",
        "seeded": generative,
    }


def _marigold_facts(folder: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_unet_facts(folder, _number(folder, "resolution_px", index, "processing_resolution")),
        "steps": _number(folder, "steps", index, "denoising_steps"),
        "iterative": True,
        "seeded": True,
    }


def _number(folder: Path, name: str, index: Mapping[str, Any], default: str) -> int:
    """What teacher.json states by this name, else the default in model_index.json."""
    value = read_stated(folder).get(name, index.get(f"default_{default}"))
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(
            f"{folder}/model_index.json: default_{default} must be a whole number, found "
            f'{value!r}; or write {{"{name}": NUMBER}} into {folder}/teacher.json'
        )
    return value


def _unet_facts(folder: Path, side_px: int) -> dict[str, Any]:
    """Facts of any UNet over the latents of an AutoencoderKL, which halves a picture per block."""
    blocks = read_json(folder / "vae/config.json").get("block_out_channels", (64,))
    return {
        "resolution_px": side_px,
        "resolution_side": "long",
        "multiple_px": 2 ** (len(blocks) - 1),
    }


def _output_facts(folder: Path, output: Any) -> dict[str, Any]:
    """Depth, directly or through disparity. Raises ValueError for what cannot become depth."""
    if output == "disparity":
        disparity_at_infinity(folder)  # refuses a folder that does not state it
    elif output != "depth":
        raise ValueError(
            f"{folder}: it must be stated what this network predicts, and found is {output!r}: one "
            f"of {', '.join(OUTPUTS)}, as prediction_type in model_index.json of Marigold, as "
            '{"output": ...} in teacher.json of Lotus'
        )
    return {"tasks": ("depth",)}

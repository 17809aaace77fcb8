"""Predictors: photograph -> depth, normals or classes directly; one file for each family.

What a family knows of a folder stands in a module that loads no torch (its facts), so that a
job can be planned without loading weights; its network in another, imported when it is needed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from teacher.model_folder import read_layout
from teacher.predictors.card import STATABLE, PredictorCard, predictor_card, read_stated
from teacher.predictors.reference_facts import depth_estimation_facts, sam3_facts, semantic_facts
from teacher.predictors.unet_facts import lotus_facts, marigold_depth_facts, marigold_normals_facts

Facts = Callable[[Path], Mapping[str, Any]]
"""A folder -> fields of PredictorCard; raises ValueError for what cannot be labelled with."""


class PredictorFamily(NamedTuple):
    facts: Facts
    module: str
    predictor: str
    """A class of the module: predictor(folder, card, runtime), see painters.runtime.Runtime."""
    states: tuple[str, ...] = ()
    """What teacher.json may state of this family, besides card.STATABLE."""


PREDICTORS: dict[str, PredictorFamily] = {
    "MarigoldDepthPipeline": PredictorFamily(
        marigold_depth_facts,
        "teacher.predictors.marigold",
        "MarigoldPredictor",
        ("disparity_at_infinity",),
    ),
    "MarigoldNormalsPipeline": PredictorFamily(
        marigold_normals_facts, "teacher.predictors.marigold", "MarigoldPredictor"
    ),
    **dict.fromkeys(
        ("LotusGPipeline", "LotusDPipeline"),
        PredictorFamily(
            lotus_facts,
            "teacher.predictors.lotus",
            "LotusPredictor",
            ("output", "disparity_at_infinity"),
        ),
    ),
    **dict.fromkeys(
        (
            "DepthAnythingForDepthEstimation",
            "DepthProForDepthEstimation",
            "DPTForDepthEstimation",
            "GLPNForDepthEstimation",
            "ZoeDepthForDepthEstimation",
        ),
        PredictorFamily(
            depth_estimation_facts,
            "teacher.predictors.depth_estimation",
            "DepthEstimationPredictor",
            ("depth_kind", "disparity_at_infinity"),
        ),
    ),
    **dict.fromkeys(
        (
            "EomtForUniversalSegmentation",
            "Mask2FormerForUniversalSegmentation",
            "SegformerForSemanticSegmentation",
        ),
        PredictorFamily(
            semantic_facts, "teacher.predictors.semantic", "SemanticPredictor", ("classes",)
        ),
    ),
    **dict.fromkeys(
        ("Sam3Model", "Sam3VideoModel"),  # the hub's folder is one of the video model
        PredictorFamily(
            sam3_facts, "teacher.predictors.sam3", "Sam3Predictor", ("classes", "score_threshold")
        ),
    ),
}
"""Class of a diffusers pipeline or a transformers model -> the predictor that drives it."""


def read_predictor_card(
    folder: Path, *, path_or_hub_id: str, revision: str | None = None
) -> PredictorCard:
    """Read and check what a folder says of itself, and hash it; see predictor_card.

    Raises ValueError for a folder that cannot be labelled with, and for a teacher.json that states
    what this family does not know.
    """
    layout = read_layout(folder)
    family = PREDICTORS[layout]
    known = ("schema", *STATABLE, *family.states)
    if unknown := sorted(set(read_stated(folder)) - set(known)):
        raise ValueError(
            f"{folder}/teacher.json: {unknown[0]!r} says nothing of a {layout}; known: "
            f"{', '.join(known)}"
        )
    return predictor_card(
        folder,
        family.facts(folder),
        layout=layout,
        path_or_hub_id=path_or_hub_id,
        revision=revision,
    )

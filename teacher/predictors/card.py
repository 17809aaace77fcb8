"""What is known of a predictor: from its own folder, and from what a small teacher.json states."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacher.model_folder import IDENTITY, digest_files, read_json, readme_licence
from teacher.planes import DEPTH_KINDS

SIDES = ("short", "long")

STATABLE: Mapping[str, type] = {"name": str, "licence": str, "resolution_px": int, "steps": int}
"""What teacher.json may state of any predictor; a family may read more."""

_KIND_NAMES = {str: "a text", int: "a whole number"}


@dataclass(frozen=True, kw_only=True)
class PredictorCard:
    """How a predictor wants to be used, and which one it is.

    Raises ValueError for a depth kind that labels cannot hold, and for steps that it cannot take.
    """

    name: str
    licence: str | None
    """Licence of the weights, which the labels inherit their conditions from; None = not stated
    in the folder, so unknown."""
    tasks: tuple[str, ...]
    """What it labels, in the order of TASKS."""
    resolution_px: int
    """Side at which photographs are labelled."""
    resolution_side: str = "short"
    """Which side that is: short or long."""
    multiple_px: int
    """Height and width of a photograph must be multiples of this."""
    steps: int = 1
    """Denoising steps of one prediction."""
    iterative: bool = False
    """Whether more steps can be taken; else it is one step, always."""
    seeded: bool = False
    """Whether it starts from noise, so that another seed gives another prediction."""
    depth_kind: str | None = None
    """What its depth is, as Labels.depth_kind; None if it predicts none."""
    classes: tuple[str, ...] = ()
    """Names of the segmentation classes; id = index."""
    path_or_hub_id: str
    """Where it was loaded from, as the user wrote it."""
    revision: str | None
    """Commit of a hub repository; None for a folder."""
    layout: str
    """Class of the diffusers pipeline or of the transformers model."""
    weights_sha256: str
    """Digest over all safetensors files."""
    config_sha256: str
    """Digest over all JSON files."""

    def __post_init__(self) -> None:
        if ("depth" in self.tasks) != (self.depth_kind in DEPTH_KINDS):
            raise ValueError(
                f"{self.name}: the kind of its depth must be one of {DEPTH_KINDS}, found "
                f"{self.depth_kind!r} with the tasks {self.tasks}"
            )
        if self.steps < 1 or (self.steps > 1 and not self.iterative):
            allowed = "at least 1 step" if self.iterative else "1 step, always"
            raise ValueError(f"{self.name} takes {allowed}, found {self.steps}")
        if self.resolution_side not in SIDES:
            raise ValueError(f"resolution_side: one of {SIDES}, found {self.resolution_side!r}")
        if self.resolution_px < 1 or self.resolution_px % self.multiple_px:
            raise ValueError(
                f"{self.name}: resolution_px {self.resolution_px} is not a multiple of "
                f"{self.multiple_px} px"
            )

    @property
    def legend_count(self) -> int:
        """Ways in which classes can be asked for: there is nothing to permute."""
        return 1

    def identity(self) -> dict[str, str | int | None]:
        """Which predictor this is, as every label records it."""
        return {name: getattr(self, name) for name in IDENTITY}


def predictor_card(
    folder: Path,
    facts: Mapping[str, Any],
    *,
    layout: str,
    path_or_hub_id: str,
    revision: str | None = None,
) -> PredictorCard:
    """The card of a folder.

    facts: fields of PredictorCard that the family knows or has read from the folder; name, licence,
    resolution_px and steps of a teacher.json go before them.
    """
    stated = read_stated(folder)
    known = {
        "name": Path(path_or_hub_id).name,
        "licence": readme_licence(folder),
        **facts,
        **{key: stated[key] for key in STATABLE if key in stated},
    }
    return PredictorCard(
        **known,
        layout=layout,
        path_or_hub_id=path_or_hub_id,
        revision=revision,
        weights_sha256=digest_files(folder, "*.safetensors"),
        config_sha256=digest_files(folder, "*.json"),
    )


def read_stated(folder: Path) -> dict[str, Any]:
    """What the folder's teacher.json states, {} without one; a family looks up its own keys here.

    Raises ValueError naming the file and the key when a value of STATABLE has another type.
    """
    path = folder / "teacher.json"
    if not path.is_file():
        return {}
    stated = read_json(path)
    for key, kind in STATABLE.items():
        value = stated.get(key)
        if key in stated and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ValueError(f"{path}: {key!r} must be {_KIND_NAMES[kind]}, found {value!r}")
    return stated

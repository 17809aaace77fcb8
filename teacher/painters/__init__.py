"""Painters: photograph + instruction + seed -> painted RGB; one file for each generator family."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from teacher.painters.card import TeacherCard, is_hub_id, read_card

EMBEDDED = Path(__file__).parent.parent / "embedded"
"""The teacher that comes with the package; `--teacher embedded`."""

DTYPES = ("float32", "bfloat16", "float16")


class Painter(Protocol):
    """An image generator that paints labels."""

    card: TeacherCard

    def paint(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> Mapping[str, np.ndarray]:
        """Paint each task for each photograph of a batch.

        photographs: (B, H, W, 3) uint8 sRGB; H and W multiples of card.multiple_px.
        seeds: one per photograph; the same for every task.
        Returns task -> (B, H, W, 3) float32, 0 to 1. All tasks in one call, so that a photograph
        is encoded once. Floats, so that a row that overflowed shows as NaN instead of as black.
        Raises ValueError for a task without an instruction and for a size that does not fit.
        """
        ...


class Family(NamedTuple):
    module: str
    painter: str


FAMILIES = {"FluxControlPipeline": Family("teacher.painters.flux_control", "FluxControlPainter")}
"""Class of a diffusers pipeline -> the painter that drives it; imported when it is needed."""

PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
CODE = {".py", ".pyc", ".so"}
FETCHED = (
    "model_index.json",
    "teacher.json",
    "instructions.safetensors",
    "confidence.json",
    *(
        f"{part}/*.{suffix}"
        for part in ("transformer", "vae", "scheduler")
        for suffix in ("json", "safetensors")
    ),
)
"""What is taken from the hub: no pickles, no code, and no text encoders."""


@dataclass(frozen=True)
class Teacher:
    """A teacher folder that was checked, but whose networks are not loaded yet."""

    folder: Path
    card: TeacherCard

    def painter(self, *, device: str = "cpu", dtype: str = "float32") -> Painter:
        """Load the networks. Raises ValueError for a device or dtype that is not there."""
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, found {dtype!r}")
        family = FAMILIES[self.card.layout]
        painter_class = getattr(importlib.import_module(family.module), family.painter)
        return painter_class(self.folder, self.card, device=device, dtype=dtype)


def open_teacher(
    path_or_hub_id: str | Path, *, revision: str | None = None, steps: int | None = None
) -> Teacher:
    """Check a teacher and read its card; loads neither torch nor weights.

    path_or_hub_id: a folder, OWNER/NAME on the Hugging Face hub with a `revision`, or "embedded".
    steps: denoising steps of a painting, in place of the teacher's own.
    Raises FileNotFoundError for what is missing; ValueError for pickled weights, code, an unknown
    family, another schema.
    """
    folder, commit = _locate(str(path_or_hub_id), revision)
    refuse_unsafe_files(folder)
    card = read_card(folder, path_or_hub_id=str(path_or_hub_id), revision=commit)
    if card.layout not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ValueError(f"{folder}: unknown generator family {card.layout!r}; known: {known}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, found {steps}")
    return Teacher(folder, card if steps is None else replace(card, steps=steps))


def load_painter(
    path_or_hub_id: str | Path,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> Painter:
    """Open a teacher (see open_teacher) and load its networks on "cpu", "cuda", "cuda:1", ..."""
    return open_teacher(path_or_hub_id, revision=revision).painter(device=device, dtype=dtype)


def _locate(text: str, revision: str | None) -> tuple[Path, str | None]:
    """The folder on this machine, and the commit if it comes from the hub.

    Only a name with a revision is looked up on the hub: a mistyped folder is an error at once, and
    labels can be made again from the same weights.
    """
    if text == "embedded" and revision is None:
        return EMBEDDED, None
    if revision is None:
        if not Path(text).is_dir():
            raise FileNotFoundError(
                f"teacher folder {text} does not exist; a model of the Hugging Face hub needs its "
                "revision too, so that it stays the same one"
            )
        return Path(text), None
    if not is_hub_id(text):
        raise ValueError(
            f"a revision belongs to OWNER/NAME on the Hugging Face hub, not to {text!r}"
        )
    return _fetch(text, revision)


def _fetch(hub_id: str, revision: str) -> tuple[Path, str]:
    """Snapshot of a hub repository; its folder is named after the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(hub_id, revision=revision, allow_patterns=list(FETCHED))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise FileNotFoundError(
            f"cannot fetch {hub_id} at {revision} from the hub: {error}; or give a folder"
        ) from error
    return Path(folder), Path(folder).name


def refuse_unsafe_files(folder: Path) -> None:
    """Raise ValueError if the folder holds pickled weights or code: neither is ever opened."""
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in PICKLED:
            raise ValueError(
                f"{file} holds pickled weights, which can run code and are never loaded; remove it "
                "if safetensors files lie beside it, or convert it where that does no harm: "
                "pipeline.save_pretrained(FOLDER, safe_serialization=True)"
            )
        if file.suffix.lower() in CODE:
            raise ValueError(
                f"{file} is code, and code from a teacher folder is never run; "
                "remove it if the pipeline class is one of diffusers itself"
            )

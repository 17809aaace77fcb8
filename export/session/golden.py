"""Golden pairs: photographs, and what the FP32 file said of them where it was exported.

A folder with NAME.png and NAME.npz (an array for each output) for each photograph, and golden.json,
which names the student's weights.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .model_file import OUTPUTS
from .png import read_png, write_png
from .predictor import Predictor

CARD = "golden.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class GoldenPair:
    """One photograph and its outputs."""

    name: str
    photograph: np.ndarray
    """(H, W, 3) uint8"""
    outputs: Mapping[str, np.ndarray]
    """Name of the output -> array, as Prediction has them."""


def write_golden(folder: Path, predictor: Predictor, photographs: Mapping[str, np.ndarray]) -> None:
    """Run the predictor on photographs (name -> (H, W, 3) uint8), and store what it says."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, photograph in photographs.items():
        prediction = predictor(photograph)
        arrays = {key: getattr(prediction, key) for key in predictor.outputs}
        write_png(folder / f"{name}.png", photograph)
        np.savez_compressed(folder / f"{name}.npz", **arrays)
    card = {
        "model": Path(predictor.name).name,
        "weights_sha256": predictor.metadata.get("weights_sha256"),
    }
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_golden(folder: Path, metadata: Mapping[str, Any]) -> list[GoldenPair]:
    """Every pair of a folder, in the order of their names.

    metadata: of the file that is to be verified. Raises FileNotFoundError or ValueError when there
    are none, when one is damaged, or when they are of another student.
    """
    if not (folder / CARD).is_file():
        raise FileNotFoundError(
            f"{folder / CARD}: no such file; `potstill export --bundle` writes golden photographs"
        )
    try:
        made_by = json.loads((folder / CARD).read_text(encoding="utf-8"))["weights_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / CARD}: expected weights_sha256 in JSON ({error!r})") from error
    if made_by != metadata.get("weights_sha256"):
        raise ValueError(f"{folder}: golden photographs of another student than this file's")
    photographs = sorted(folder.glob("*.png"))
    if not photographs:
        raise FileNotFoundError(f"{folder}: has no golden photographs (*.png)")
    return [_read_pair(path) for path in photographs]


def _read_pair(path: Path) -> GoldenPair:
    photograph = read_png(path)
    arrays = path.with_suffix(".npz")
    try:
        with arrays.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            outputs = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{arrays}: not the outputs of a student ({error})") from error
    for name, array in outputs.items():
        if name not in OUTPUTS or array.shape[:2] != photograph.shape[:2]:
            raise ValueError(f"{arrays}: {name} {array.shape} does not fit {path.name}")
    return GoldenPair(name=path.stem, photograph=photograph, outputs=outputs)

"""Everything that the page consists of, by the path under which a browser asks for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.session import Predictor
from export.web.runtime import FILES
from teacher.pictures import (
    SKY_COLOR,
    UNKNOWN_COLOR,
    css_color,
    depth_colors,
    segment_colors,
)

PAGE = Path(__file__).parent / "page"
MODEL_PATH = "model.onnx"


def build_site(predictor: Predictor, runtime: Path) -> Mapping[str, Path | bytes]:
    """Path below the page's address -> a file, or its bytes.

    predictor: of an ONNX file; that it opened tells that the file is sound. runtime: the folder of
    find_runtime.
    """
    model = Path(predictor.name)
    page = {path.name: path for path in sorted(PAGE.iterdir()) if path.is_file()}
    card = json.dumps(describe(predictor, model), ensure_ascii=False).encode()
    return {
        **page,
        **{f"runtime/{name}": runtime / name for name in FILES},
        MODEL_PATH: model,
        "model.json": card,
    }


def describe(predictor: Predictor, model: Path) -> dict[str, Any]:
    """What the page must know of a student, and the colours of all of Potstill's pictures."""
    metadata, count = predictor.metadata, len(predictor.classes)
    colors = [css_color(color) for color in segment_colors(count)]
    return {
        "file": model.name,
        "bytes": model.stat().st_size,
        "precision": metadata.get("precision"),
        "tasks": predictor.tasks,
        "depth_kind": metadata["depth_kind"],
        "multiple_px": predictor.multiple_px,
        "trained_px": metadata["trained_px"],
        "size_px": predictor.size_px,
        "classes": [{"name": n, "color": c} for n, c in zip(predictor.classes, colors)],
        "depth_colors": depth_colors(np.arange(256) / 255).tolist(),
        "sky_color": SKY_COLOR,
        "unknown_color": UNKNOWN_COLOR,
    }


def write_site(site: Mapping[str, Path | bytes], folder: Path) -> None:
    """The same as files, for a web server of one's own."""
    for name, content in site.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())

"""What one copies to a device: the files, golden photographs, and the predictor."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from export import session
from export.session import CPU_ONLY, Predictor
from export.session.golden import CARD, write_golden
from teacher.sample import resize_photograph

GOLDEN_PX = 384
"""The longer side of a golden photograph at most."""

README = """\
# A student for this device

    pip install numpy onnxruntime
    python -m session verify {model} golden
    python -c "
    import numpy as np
    from session import Predictor
    predict = Predictor('{model}', providers='auto')
    prediction = predict(np.zeros((240, 320, 3), np.uint8))  # your photograph: (H, W, 3) uint8 RGB
    print(prediction.depth_m.shape, prediction.tasks, prediction.classes)"

The second command replays {count} photographs whose outputs are known: it prints how near this
machine comes to them and how long a photograph takes, and exits with 1 if a file is wrong here.
On a Jetson or another machine with a GPU, install the onnxruntime that is built for it instead;
`providers='auto'` takes the first of TensorRT, CUDA, OpenVINO, CoreML and CPU that starts, and says
which. With TensorRT add `--engine-cache engines` (in Python `engine_cache=Path("engines")`), or it
builds its engine anew each time.

| file | precision | takes |
|---|---|---|
{rows}

`session/` needs numpy and onnxruntime only. MODEL_CARD.md says what the outputs are, and how near
each file comes to the student in PyTorch.
"""


def write_bundle(
    folder: Path, files: Sequence[Path], photographs: Sequence[np.ndarray], card: str
) -> Path:
    """Write `folder`: the ONNX files, golden/, session/, README.md and MODEL_CARD.md.

    files: of one student; the first FP32 file among them says what is right.
    photographs: (H, W, 3) uint8 each, of any size; larger ones are made smaller, and those that
    are too small for the student larger.
    card: Markdown.
    A bundle that is there already is replaced. Raises ValueError when `folder` holds anything
    else, when the files are of several students, when none is FP32, or when one takes only a size
    that the FP32 file does not take.
    """
    predictors = [Predictor(file, providers=CPU_ONLY) for file in files]
    if len({predictor.metadata["weights_sha256"] for predictor in predictors}) > 1:
        raise ValueError(f"{folder}: the files of a bundle are of one student, found several")
    reference = _find_reference(folder, predictors)
    golden = golden_photographs(reference, predictors, photographs)
    _make_room(folder)
    for file in files:
        shutil.copyfile(file, folder / file.name)
    shutil.copytree(
        Path(session.__file__).parent,
        folder / "session",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    write_golden(folder / "golden", reference, golden)
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    (folder / "README.md").write_text(_readme(predictors, len(golden)), encoding="utf-8")
    return folder


def golden_photographs(
    reference: Predictor, predictors: Sequence[Predictor], photographs: Sequence[np.ndarray]
) -> Mapping[str, np.ndarray]:
    """Name -> (H, W, 3) uint8: every photograph at its own size, and at each size that is fixed."""
    sizes = {predictor.size_px for predictor in predictors}
    if reference.size_px is not None and sizes != {reference.size_px}:
        raise ValueError(
            f"bundle: {reference.name} takes {reference.size_px} px only, the other files do not; "
            "add the FP32 file that takes any size"
        )
    golden = {}
    for number, photograph in enumerate(photographs):
        for size_px in sorted(sizes, key=str):
            height, width = size_px or _shrunk(photograph, reference.multiple_px)
            fitted = resize_photograph(photograph, height, width)
            golden[f"{number:02}_{height}x{width}"] = fitted
    return golden


def _shrunk(photograph: np.ndarray, least_px: int) -> tuple[int, int]:
    """Height and width with the longer side at GOLDEN_PX, or as they are; none below the least."""
    height, width = photograph.shape[:2]
    share = min(1, GOLDEN_PX / max(height, width))
    return max(least_px, round(height * share)), max(least_px, round(width * share))


def _find_reference(folder: Path, predictors: Sequence[Predictor]) -> Predictor:
    for predictor in predictors:
        if predictor.metadata["precision"] == "fp32":
            return predictor
    raise ValueError(
        f"{folder}: a bundle needs an FP32 file, which says what is right, among its files"
    )


def _make_room(folder: Path) -> None:
    """An empty folder; only a former bundle is removed for it."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "golden" / CARD).is_file():
            raise ValueError(f"{folder}: holds other files than a bundle; name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _readme(predictors: Sequence[Predictor], count: int) -> str:
    names = [Path(predictor.name).name for predictor in predictors]
    rows = [
        f"| {name} | {predictor.metadata['precision']} | {_takes(predictor)} |"
        for name, predictor in zip(names, predictors)
    ]
    return README.format(model=names[0], count=count, rows="\n".join(rows))


def _takes(predictor: Predictor) -> str:
    if predictor.size_px is None:
        return "photographs of any size"
    height, width = predictor.size_px
    return f"{width} x {height} px (width x height)"

"""Flow-matching generators as they are published, each against diffusers' own pipeline."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    Flux2KleinPipeline,
    FluxKontextPipeline,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
)
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from PIL import Image
from tiny_editors import FAMILIES, build_stock

from teacher.painters import load_painter
from teacher.painters.flow import FlowPainter
from teacher.painters.tokens import pack

TASKS = ("depth", "normal")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of our own for embedded instructions."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module", params=FAMILIES)
def stock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stock(tmp_path_factory.mktemp("stock") / request.param, request.param)


def load(folder: Path, **options: Any) -> FlowPainter:
    painter = load_painter(folder, **options)
    assert isinstance(painter, FlowPainter)
    return painter


def photographs(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    """(count, height, width, 3) uint8 noise."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def far_apart(first: np.ndarray, second: np.ndarray) -> bool:
    return float(np.abs(first - second).mean()) > 1e-3


@pytest.mark.parametrize("steps", [1, 3])
def test_row_of_a_batch_equals_the_single_call(stock: Path, steps: int) -> None:
    painter = load(stock, steps=steps)
    images, seeds = photographs(3), [3, 2**64 - 1, 5]
    together = painter.paint(images, TASKS, seeds)
    assert far_apart(together["depth"][0], together["depth"][1])
    assert np.abs(together["depth"] - together["normal"]).max() > 1e-3
    for row, seed in enumerate(seeds):
        alone = painter.paint(images[row : row + 1], TASKS, [seed])
        for task in TASKS:
            np.testing.assert_allclose(alone[task][0], together[task][row], rtol=0, atol=1e-5)


def test_noise_depends_on_the_rows_seed_alone(stock: Path) -> None:
    painter = load(stock, steps=1)
    same = np.repeat(photographs(1), 3, axis=0)
    first, second, third = painter.paint(same, ["depth"], [7, 8, 7])["depth"]
    np.testing.assert_allclose(first, third, rtol=0, atol=1e-5)
    assert far_apart(first, second)


def _kontext(pipeline: Any, image: Image.Image, start: torch.Tensor, **options: Any) -> Any:
    area = image.width * image.height
    return pipeline(image, latents=pack(start), max_area=area, _auto_resize=False, **options)


def _klein(pipeline: Any, image: Image.Image, start: torch.Tensor, **options: Any) -> Any:
    return pipeline(image, latents=start, **options)


def _qwen(pipeline: Any, image: Image.Image, start: torch.Tensor, **options: Any) -> Any:
    return pipeline(image, latents=pack(start), true_cfg_scale=1.0, **options)


STOCK_CALLS = {
    "FluxKontextEditor": (FluxKontextPipeline, _kontext),
    "Flux2KleinEditor": (Flux2KleinPipeline, _klein),
    "QwenEditEditor": (QwenImageEditPipeline, _qwen),
    "QwenEditPlusEditor": (QwenImageEditPlusPipeline, _qwen),
}


@pytest.fixture
def no_megapixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen's pipelines scale every picture to a megapixel, which is all that is taken out here."""
    for module, extra in ((pipeline_qwenimage_edit, (None,)), (pipeline_qwenimage_edit_plus, ())):
        monkeypatch.setattr(
            module, "calculate_dimensions", lambda *_, extra=extra: (96, 64, *extra)
        )


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.usefixtures("no_megapixels")
def test_equals_the_pipelines_own_call(stock: Path, steps: int) -> None:
    painter, images = load(stock, steps=steps), photographs(1, 64, 96)
    pipeline_class, call = STOCK_CALLS[type(painter.editor).__name__]
    pipeline = without_encoders(pipeline_class, stock)
    if steps == 1:  # diffusers divides zero by zero with a terminal shift
        pipeline.scheduler.register_to_config(shift_terminal=None)
    prompt = painter.prompts["normal"]
    options = {"prompt_embeds": prompt.embeds, "num_inference_steps": steps}
    if prompt.pooled is not None:
        options["pooled_prompt_embeds"] = prompt.pooled
    shape = painter.editor.encode(torch.zeros(1, 3, 64, 96)).shape[1:]
    start = torch.randn(shape, generator=torch.Generator().manual_seed(11))[None]
    size = {"height": 64, "width": 96}
    expected = call(
        pipeline, Image.fromarray(images[0]), start, output_type="np", **size, **options
    ).images
    painted = painter.paint(images, ["normal"], [11])["normal"]
    np.testing.assert_allclose(painted, expected, rtol=0, atol=1e-4)


def without_encoders(pipeline_class: Any, folder: Path) -> Any:
    """diffusers' own pipeline without text encoders."""
    index = json.loads((folder / "model_index.json").read_text())
    encoders = [name for name in index if name.startswith(("text_encoder", "tokenizer"))]
    encoders += ["processor"] if "Qwen" in pipeline_class.__name__ else []
    pipeline = pipeline_class.from_pretrained(folder, **dict.fromkeys(encoders))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_one_step_is_finite_with_a_terminal_shift(tmp_path: Path) -> None:
    painter = load(build_stock(tmp_path, "qwen"), steps=1)
    assert painter.editor.scheduler.config["shift_terminal"] == 0.02
    assert np.isfinite(painter.paint(photographs(1), TASKS, [0])["depth"]).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_coarse_arithmetic_is_close(stock: Path, dtype: str) -> None:
    painter, coarse = load(stock, steps=2), load(stock, steps=2, dtype=dtype)
    assert coarse.editor.transformer.dtype == getattr(torch, dtype)
    coarse.prompts = {  # embedded in the same arithmetic, so that painting alone is compared
        name: prompt.to(torch.device("cpu"), getattr(torch, dtype))
        for name, prompt in painter.prompts.items()
    }
    exact, rough = (p.paint(photographs(1), ["depth"], [0])["depth"] for p in (painter, coarse))
    assert rough.dtype == np.float32
    assert 0 < np.abs(exact - rough).mean() < 0.02


def test_round_trip_is_the_autoencoder_alone(stock: Path) -> None:
    painter, images = load(stock), photographs(2)
    redrawn = painter.round_trip(images)
    assert redrawn.shape == images.shape
    assert far_apart(redrawn[0], redrawn[1])


def test_sizes_that_do_not_fit_are_refused(stock: Path) -> None:
    painter = load(stock)
    with pytest.raises(ValueError, match=r"24 x 32 px do not fit.*multiples of 16"):
        painter.paint(photographs(1, 24, 32), ["depth"], [0])


def test_trains_with_and_without_a_source(stock: Path) -> None:
    painter = load(stock)
    painter.paint(photographs(1), ["depth"], [0])  # must not leave anything untrainable behind
    editor, prompt = painter.editor, painter.prompts["depth"].expand(2)
    with torch.no_grad():
        latents = editor.encode(torch.randn(2, 3, 64, 96))
    weight = next(editor.transformer.parameters()).requires_grad_()
    times = torch.tensor([0.3, 0.9])
    predicted = [editor.velocity(latents, source, times, prompt) for source in (None, latents)]
    assert predicted[0].shape == predicted[1].shape == latents.shape
    assert not torch.allclose(*predicted)
    sum(velocity.square().mean() for velocity in predicted).backward()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    for family in ("klein", "qwen"):
        folder = build_stock(tmp_path / family, family)
        config = folder / "transformer" / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "in_channels": 20}))
        with pytest.raises(ValueError, match=r"expected shape|in_channels is 20"):
            load(folder)

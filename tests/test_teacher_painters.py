"""Painters, on a tiny folder of the real diffusers classes."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxControlPipeline
from safetensors.torch import load_file, save_file
from tiny import build_teacher, write_card

from teacher.painters import load_painter
from teacher.painters.flow import FlowPainter

TASKS = ("depth", "normal", "segment")
WITHOUT_TEXT = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny")


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


@pytest.fixture(scope="module")
def painter(tiny_folder: Path) -> FlowPainter:
    opened = load_painter(tiny_folder)
    assert isinstance(opened, FlowPainter)
    return opened


def photographs(count: int, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    """(count, height, width, 3) uint8 noise."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def call_pipeline(painter: FlowPainter, images: np.ndarray, task: str, **arguments: Any):
    """What diffusers' own __call__ makes of the photographs, through its own preprocessing."""
    rows, height, width, _ = images.shape
    prompt = painter.prompts[task].expand(rows)
    pipeline = FluxControlPipeline.from_pretrained(painter.editor.folder, **WITHOUT_TEXT)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        prompt_embeds=prompt.embeds,
        pooled_prompt_embeds=prompt.pooled,
        control_image=list(images.astype(np.float32) / 255),
        height=height,
        width=width,
        num_inference_steps=painter.card.steps,
        output_type="np",
        **arguments,
    ).images


def test_paints_every_task_at_the_photographs_size(painter: FlowPainter) -> None:
    painted = painter.paint(photographs(2), TASKS, [1, 2])
    assert list(painted) == list(TASKS)
    for image in painted.values():
        assert image.shape == (2, 32, 48, 3)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
    assert np.abs(painted["depth"] - painted["normal"]).mean() > 0.01
    assert np.abs(painted["depth"][0] - painted["depth"][1]).mean() > 0.01


@pytest.mark.parametrize(("start", "steps"), [("zeros", 1), ("noise", 1), ("noise", 3)])
def test_row_of_a_batch_equals_the_single_call(folder: Path, start: str, steps: int) -> None:
    write_card(folder, start=start, steps=steps)
    painter = load_painter(folder)
    images, seeds = photographs(4), [3, 2**64 - 1, 5, 0]
    together = painter.paint(images, TASKS, seeds)
    for row, seed in enumerate(seeds):
        alone = painter.paint(images[row : row + 1], TASKS, [seed])
        for task in TASKS:
            row_of_batch, limit = together[task][row], 1e-5 * steps  # rounding adds up
            np.testing.assert_allclose(alone[task][0], row_of_batch, rtol=0, atol=limit)


@pytest.mark.parametrize("steps", [1, 3])
def test_equals_the_pipelines_own_call_from_noise(folder: Path, steps: int) -> None:
    write_card(folder, start="noise", steps=steps)
    painter = load_painter(folder)
    assert isinstance(painter, FlowPainter)
    images = photographs(2)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in (11, 12)]
    expected = call_pipeline(painter, images, "normal", latents=_noise(generators))
    painted = painter.paint(images, ["normal"], [11, 12])["normal"]
    np.testing.assert_allclose(painted, expected, rtol=0, atol=1e-5)


def _noise(generators: list[torch.Generator]) -> torch.Tensor:
    """Noise for 32 x 48 px, packed by diffusers' own function."""
    noise = torch.cat([torch.randn(1, 16, 4, 6, generator=generator) for generator in generators])
    return FluxControlPipeline._pack_latents(noise, len(generators), 16, 4, 6)


def test_equals_the_pipelines_own_call_from_zeros(painter: FlowPainter) -> None:
    images = photographs(3)
    expected = call_pipeline(painter, images, "segment", latents=torch.zeros(3, 6, 64))
    painted = painter.paint(images, ["segment"], [0, 0, 0])["segment"]
    np.testing.assert_allclose(painted, expected, rtol=0, atol=1e-5)


def test_photograph_enters_as_the_mode_of_its_posterior(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["quant_conv.bias"][16:] = 0  # the posterior of build_teacher is narrow, this is not
    save_file(weights, path, metadata={"format": "pt"})
    painter = load_painter(folder)
    assert isinstance(painter, FlowPainter)
    images, start = photographs(1), torch.zeros(1, 6, 64)
    sampled = [call_pipeline(painter, images, "depth", latents=start) for _ in range(2)]
    assert np.abs(sampled[0] - sampled[1]).mean() > 0.01
    painted = [painter.paint(images, ["depth"], [seed])["depth"] for seed in (1, 2)]
    np.testing.assert_array_equal(*painted)


def test_noise_depends_on_the_rows_seed_alone(folder: Path) -> None:
    write_card(folder, start="noise")
    painter = load_painter(folder)
    same = np.repeat(photographs(1), 3, axis=0)
    first, second, third = painter.paint(same, ["depth"], [7, 8, 7])["depth"]
    np.testing.assert_allclose(first, third, rtol=0, atol=1e-5)
    assert np.abs(first - second).mean() > 0.01


def test_everything_is_frozen_in_eval_mode(painter: FlowPainter) -> None:
    for network in (painter.editor.vae, painter.editor.transformer):
        assert not network.training
        assert not any(weight.requires_grad for weight in network.parameters())


def test_generator_still_paints_pictures(painter: FlowPainter) -> None:
    assert painter.paint(photographs(1), ["generate"], [0])["generate"].shape == (1, 32, 48, 3)


def test_bfloat16_is_close_to_float32(tiny_folder: Path, painter: FlowPainter) -> None:
    images = photographs(1)
    exact = painter.paint(images, ["depth"], [0])["depth"]
    coarse = load_painter(tiny_folder, dtype="bfloat16").paint(images, ["depth"], [0])["depth"]
    assert coarse.dtype == np.float32
    assert 0 < np.abs(exact - coarse).mean() < 0.02


def test_overflow_shows_as_nan_in_its_own_row(painter: FlowPainter) -> None:
    control = torch.zeros(2, 16, 4, 6)
    control[1] = torch.nan
    with torch.no_grad():
        painted = painter._paint("depth", control, torch.zeros(2, 16, 4, 6))
    assert np.isfinite(painted[0]).all()
    assert np.isnan(painted[1]).all()


@pytest.mark.parametrize(
    ("images", "tasks", "seeds", "message"),
    [
        (photographs(1, 32, 40), ["depth"], [0], "32 x 40 px do not fit.*multiples of 16"),
        (photographs(1)[0], ["depth"], [0], r"must be \(B, H, W, 3\) uint8"),
        (photographs(1).astype(np.float32), ["depth"], [0], "uint8, found float32"),
        (photographs(2), ["depth"], [0], "2 photographs but 1 seeds"),
        (photographs(1), ["colour"], [0], "cannot paint 'colour'; known: depth, normal"),
    ],
)
def test_bad_input_is_refused(
    painter: FlowPainter,
    images: np.ndarray,
    tasks: list[str],
    seeds: list[int],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        painter.paint(images, tasks, seeds)

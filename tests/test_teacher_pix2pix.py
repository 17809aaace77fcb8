"""InstructPix2Pix, small and SDXL, on tiny folders: against diffusers' own pipelines."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
)
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from tiny_unets import build_pix2pix

from teacher.labeller import build_labeller
from teacher.painters import Painter, load_painter, open_teacher
from teacher.painters.instruct_pix2pix import InstructPix2PixPainter

TASKS = ("depth", "normal", "segment")
TEXTS = {"depth": "a b", "normal": "b a", "segment": "a a"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(params=[False, True], ids=["small", "large"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return build_pix2pix(tmp_path / "pix2pix", large=request.param, steps=2)


def photographs(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 48, 3), dtype=np.uint8)


def stock_painting(folder: Path, painter: Painter, task: str, seed: int) -> np.ndarray:
    """The first photograph as diffusers' own pipeline paints it, from its own text encoders."""
    large = (folder / "text_encoder_2").is_dir()
    if large:
        pipeline = StableDiffusionXLInstructPix2PixPipeline.from_pretrained(
            folder, add_watermarker=False
        )
    else:
        pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    image = torch.from_numpy(photographs(1)).movedim(-1, 1) / 255
    size = {"height": 32, "width": 48} if large else {}
    painted = pipeline(
        TEXTS[task],
        image=image,
        num_inference_steps=painter.card.steps,
        guidance_scale=1.0,
        generator=[torch.Generator().manual_seed(seed)],
        output_type="np",
        **size,
    )
    return painted.images[0]


def test_one_row_equals_the_stock_pipeline(folder: Path) -> None:
    painter = load_painter(folder)
    ours = painter.paint(photographs(1), ["depth", "normal"], [7])
    for task, painting in ours.items():
        stock = stock_painting(folder, painter, task, 7)
        assert painting.std() > 0.05
        np.testing.assert_allclose(painting[0], stock, atol=1e-4)


def test_a_row_of_a_batch_equals_the_single_call(folder: Path) -> None:
    painter = load_painter(folder)
    batch = painter.paint(photographs(3), TASKS, [1, 2, 3])
    single = painter.paint(photographs(3)[1:2], TASKS[::-1], [2])
    for task in TASKS:
        np.testing.assert_allclose(batch[task][1], single[task][0], atol=1e-5)


def test_seeds_and_instructions_decide_the_painting(folder: Path) -> None:
    painter = load_painter(folder)
    first = painter.paint(photographs(1), TASKS, [1])
    again = painter.paint(photographs(1), TASKS, [1])
    other = painter.paint(photographs(1), TASKS, [2])
    for task in TASKS:
        np.testing.assert_array_equal(first[task], again[task])
        assert np.abs(first[task] - other[task]).max() > 0.01
    assert np.abs(first["depth"] - first["normal"]).max() > 0.001


def test_a_painter_that_starts_from_zeros_ignores_seeds_in_one_step(tmp_path: Path) -> None:
    painter = load_painter(build_pix2pix(tmp_path / "p", steps=1, start="zeros"))
    # the ancestral scheduler draws noise at its only step too, times a sigma of zero
    one, two = (painter.paint(photographs(1), ["depth"], [seed])["depth"] for seed in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_bfloat16_paints_nearly_the_same(folder: Path) -> None:
    full = load_painter(folder).paint(photographs(1), ["depth"], [1])["depth"]
    half = load_painter(folder, dtype="bfloat16").paint(photographs(1), ["depth"], [1])["depth"]
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).mean() < 0.05


def test_instructions_are_embedded_once_and_kept(folder: Path, tmp_path: Path) -> None:
    first = load_painter(folder).paint(photographs(1), ["depth"], [1])
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1
    again = load_painter(folder).paint(photographs(1), ["depth"], [1])
    np.testing.assert_array_equal(first["depth"], again["depth"])


def test_the_card_of_a_folder_without_teacher_json_says_what_is_known(folder: Path) -> None:
    (folder / "teacher.json").unlink()
    card = open_teacher(folder).card
    assert card.licence is None
    assert card.tasks == ("depth", "normal")


def test_an_adapter_changes_the_painting(folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(folder, tmp_path / "adapter")
    plain = load_painter(folder).paint(photographs(1), ["depth"], [1])["depth"]
    tuned = load_painter(folder, lora=adapter).paint(photographs(1), ["depth"], [1])["depth"]
    assert np.abs(plain - tuned).max() > 1e-3
    identity = open_teacher(folder, lora=adapter).card.identity()
    assert identity["adapter_sha256"]


def write_adapter(folder: Path, path: Path) -> Path:
    """LoRA with random weights on every attention, as diffusers' pipelines save it."""
    large = (folder / "text_encoder_2").is_dir()
    kind = (
        StableDiffusionXLInstructPix2PixPipeline
        if large
        else StableDiffusionInstructPix2PixPipeline
    )
    pipeline = kind.from_pretrained(folder)
    config = LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    pipeline.unet.add_adapter(config, "adapter")
    state = get_peft_model_state_dict(pipeline.unet, adapter_name="adapter")
    kind.save_lora_weights(path, unet_lora_layers=state)
    return path


def test_an_adapter_of_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tensors = {"unet.elsewhere.to_q.lora_A.weight": torch.zeros(2, 8)}
    save_file(tensors, tmp_path / "other" / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors"):
        load_painter(folder, lora=tmp_path / "other")


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = build_pix2pix(tmp_path / "p", multiple_px=4)
    with pytest.raises(ValueError, match="multiple_px is 4, but this VAE needs a multiple of 8"):
        load_painter(folder)
    painter = load_painter(build_pix2pix(tmp_path / "q"))
    with pytest.raises(ValueError, match="32 x 36 px do not fit"):
        painter.paint(np.zeros((1, 32, 36, 3), np.uint8), ["depth"], [0])
    with pytest.raises(ValueError, match="cannot paint 'albedo'"):
        painter.paint(photographs(1), ["albedo"], [0])


def test_labels_follow_the_votes(folder: Path) -> None:
    labeller = build_labeller(open_teacher(folder), TASKS, votes=3)
    fitted = [labeller.fit(photograph) for photograph in photographs(1)]
    planes = labeller.read(labeller.paint(fitted, [1])[0])
    assert planes.depth_m is not None
    assert planes.depth_kind == "metric"


def test_the_autoencoder_of_sdxl_stays_in_float32(tmp_path: Path) -> None:
    painter = load_painter(build_pix2pix(tmp_path / "p", large=True), dtype="float16")
    assert isinstance(painter, InstructPix2PixPainter)
    assert painter.parts.unet.dtype == torch.float16
    assert painter.parts.vae.dtype == torch.float32
    assert np.isfinite(painter.paint(photographs(1), ["depth"], [1])["depth"]).all()


def test_a_picture_comes_back_through_the_autoencoder(folder: Path) -> None:
    painter = load_painter(folder)
    assert isinstance(painter, InstructPix2PixPainter)
    redrawn = painter.round_trip(photographs(2))
    vae = painter.parts.vae
    images = torch.from_numpy(photographs(2)).movedim(-1, 1) / 127.5 - 1
    with torch.no_grad():
        stock = vae.decode(vae.encode(images).latent_dist.mode()).sample / 2 + 0.5
    np.testing.assert_allclose(redrawn, stock.clamp(0, 1).movedim(1, -1), atol=1e-4)

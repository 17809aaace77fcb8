"""Marigold and Lotus on tiny folders of the real classes: against diffusers' own pipelines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import MarigoldDepthPipeline, MarigoldNormalsPipeline
from diffusers.pipelines.marigold.marigold_image_processing import MarigoldImageProcessor
from safetensors.torch import load_file, save_file
from tiny_unets import LAYOUTS, build_predictor, edit_index, state, use_lcm

from teacher.painters import load_painter, open_teacher
from teacher.painters.runtime import Runtime
from teacher.predictors.marigold import MarigoldPredictor
from teacher.predictors.protocol import Predicted, Predictor

HEIGHT_PX, WIDTH_PX = 24, 32


def photographs(count: int) -> np.ndarray:
    shape = (count, HEIGHT_PX, WIDTH_PX, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def load(folder: Path, *, steps: int | None = None, dtype: str = "float32") -> Predictor:
    return open_teacher(folder, steps=steps).predictor(Runtime(dtype=dtype))


def predict(predictor: Predictor, count: int, seeds: list[int]) -> np.ndarray:
    """Its only task, for the first photographs: (B, H, W) or (B, H, W, 3)."""
    task = predictor.card.tasks[0]
    found = predictor.predict(photographs(count), predictor.card.tasks, seeds)
    return np.stack([getattr(row, task) for row in found])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_row_of_a_batch_equals_the_single_call(tmp_path: Path, layout: str) -> None:
    predictor = load(build_predictor(tmp_path / "p", layout))
    batch = predict(predictor, 3, [1, 2, 3])
    assert batch.std() > 0.05
    single = predictor.predict(photographs(3)[1:2], predictor.card.tasks, [2])[0]
    values = single.depth if single.normal is None else single.normal
    assert values is not None
    np.testing.assert_allclose(batch[1], values, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_seeds_reproduce_and_count_only_where_there_is_noise(tmp_path: Path, layout: str) -> None:
    predictor = load(build_predictor(tmp_path / "p", layout))
    first, again, other = (predict(predictor, 1, [seed]) for seed in (1, 1, 2**64 - 1))
    np.testing.assert_array_equal(first, again)
    assert (np.abs(first - other).max() > 0.01) == predictor.card.seeded
    assert predictor.card.seeded == (layout != "lotus-d")


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("layout", ["marigold-depth", "marigold-normals"])
def test_one_row_equals_the_stock_pipeline(tmp_path: Path, layout: str, steps: int) -> None:
    folder = build_predictor(tmp_path / "p", layout)
    ours = predict(load(folder, steps=steps), 1, [7])[0]
    np.testing.assert_allclose(ours, stock_prediction(folder, layout, steps), atol=1e-4)


def stock_prediction(folder: Path, layout: str, steps: int) -> np.ndarray:
    kind = MarigoldDepthPipeline if layout == "marigold-depth" else MarigoldNormalsPipeline
    pipeline = kind.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(7)
    found = pipeline(
        torch.from_numpy(photographs(1)).movedim(-1, 1) / 255,
        num_inference_steps=steps,
        processing_resolution=0,
        latents=torch.randn(4, HEIGHT_PX // 8, WIDTH_PX // 8, generator=generator)[None],
    ).prediction[0]
    return found[..., 0] if layout == "marigold-depth" else found


def test_normals_with_half_of_the_z_range_equal_the_stock_pipeline(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "marigold-normals")
    edit_index(folder, use_full_z_range=False)
    ours = predict(load(folder), 1, [7])[0]
    assert ours[..., 2].min() >= 0
    np.testing.assert_allclose(ours, stock_prediction(folder, "marigold-normals", 1), atol=1e-4)


def test_noise_that_a_scheduler_draws_at_every_step_belongs_to_the_row(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "marigold-depth")
    use_lcm(folder)
    predictor = load(folder, steps=3)
    batch = predict(predictor, 2, [1, 2])
    alone = predictor.predict(photographs(2)[1:], ("depth",), [2])[0].depth
    assert alone is not None
    np.testing.assert_allclose(batch[1], alone, atol=1e-5)


def test_few_steps_from_the_wrong_end_are_refused(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "marigold-depth")
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace('"trailing"', '"leading"'))
    with pytest.raises(ValueError, match='"leading", with which 4 steps do not begin at noise'):
        load(folder, steps=4)
    assert load(folder, steps=10).card.steps == 10


@pytest.mark.parametrize("layout", ["lotus-g", "lotus-d"])
def test_lotus_is_one_call_of_its_unet(tmp_path: Path, layout: str) -> None:
    """As EnVision-Research/Lotus calls it, with (1, 0) for "annotate" and the last timestep."""
    predictor = load(build_predictor(tmp_path / "p", layout))
    parts, prompt = predictor.parts, predictor._prompt  # type: ignore[attr-defined]
    images = torch.from_numpy(photographs(1)).movedim(-1, 1) / 127.5 - 1
    task = torch.tensor([1.0, 0.0]).unsqueeze(0)
    task = torch.cat([torch.sin(task), torch.cos(task)], dim=-1)
    with torch.no_grad():
        latents = parts.vae.encode(images).latent_dist.mode() * parts.vae.config.scaling_factor
        if layout == "lotus-g":
            noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(7))
            latents = torch.cat([latents, noise[None]], dim=1)
        x0 = parts.unet(latents, 999, encoder_hidden_states=prompt, class_labels=task).sample
        painted = parts.vae.decode(x0 / parts.vae.config.scaling_factor).sample
    expected = (painted / 2 + 0.5).clamp(0, 1).mean(dim=1).numpy()
    np.testing.assert_allclose(predict(predictor, 1, [7]), expected, atol=1e-5)


class PaintsAPicture:
    """An autoencoder that decodes everything to one picture (3, H, W), -1..1."""

    def __init__(self, vae: torch.nn.Module, picture: np.ndarray) -> None:
        self.vae, self.picture = vae, torch.from_numpy(picture)
        self.config, self.dtype, self.encode = vae.config, vae.dtype, vae.encode

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        return (self.picture.expand(len(latents), -1, -1, -1),)


def sphere() -> tuple[np.ndarray, np.ndarray]:
    """Normals of a sphere that fills the picture, (H, W, 3) in our axes, and where it is."""
    x = (np.arange(WIDTH_PX) + 0.5) / WIDTH_PX * 2 - 1  # to the right
    y = 1 - (np.arange(HEIGHT_PX) + 0.5) / HEIGHT_PX * 2  # up
    across, up = np.meshgrid(x, y)
    squared = across**2 + up**2
    towards = np.sqrt(np.clip(1 - squared, 0, None))
    return np.stack([across, up, towards], axis=-1).astype(np.float32), squared < 1


def test_normals_of_a_sphere_come_out_in_our_axes(tmp_path: Path) -> None:
    """Marigold paints +x right, +y up, +z to the camera; Lotus +x left."""
    truth, on_sphere = sphere()
    for layout, axes in (("marigold-normals", (1, 1, 1)), ("lotus-d", (-1, 1, 1))):
        stated = {"output": "normal"} if layout == "lotus-d" else {}
        predictor = load(build_predictor(tmp_path / layout, layout, **stated))
        painted = (truth * np.float32(axes)).transpose(2, 0, 1)
        predictor.parts = replace(  # type: ignore[attr-defined]
            predictor.parts,  # type: ignore[attr-defined]
            vae=PaintsAPicture(predictor.parts.vae, painted),  # type: ignore[attr-defined]
        )
        found = predict(predictor, 1, [0])[0]
        np.testing.assert_allclose(found[on_sphere], truth[on_sphere], atol=1e-5)


def test_marigold_s_axes_are_those_that_diffusers_documents() -> None:
    text = " ".join((MarigoldImageProcessor.visualize_normals.__doc__ or "").split())
    for axis, direction in (("X", "right"), ("Y", "top"), ("Z", "facing the observer")):
        described = text.partition(f"Flips the {axis} axis of the normals frame of reference.")[2]
        assert described.startswith(f" Default direction is {direction}.")


def test_bfloat16_predicts_nearly_the_same(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "marigold-depth")
    full, half = (predict(load(folder, dtype=d), 1, [1]) for d in ("float32", "bfloat16"))
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).mean() < 0.05


def test_the_card_follows_from_the_folder(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "marigold-tiny", "marigold-depth")
    card = open_teacher(folder).card
    assert (card.name, card.tasks, card.depth_kind) == ("marigold-tiny", ("depth",), "affine")
    assert (card.resolution_px, card.resolution_side, card.multiple_px) == (32, "long", 8)
    assert card.identity()["licence"] is None
    (folder / "README.md").write_text("---\nlicense: openrail++\ntags: [a]\n---\n# Marigold\n")
    assert open_teacher(folder).card.licence == "openrail++"
    state(folder, licence="Apache-2.0", name="mine", resolution_px=64)
    card = open_teacher(folder).card
    assert (card.licence, card.name, card.resolution_px) == ("Apache-2.0", "mine", 64)
    assert open_teacher(folder, steps=4).card.steps == 4


def test_the_empty_prompt_may_lie_in_a_file(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "lotus-d")
    predictor = load(folder)
    expected = predict(predictor, 1, [0])
    embedding = predictor._prompt  # type: ignore[attr-defined]
    assert embedding.shape == (1, 2, 16)
    save_file({"prompt_embeds": embedding.contiguous()}, folder / "empty_prompt.safetensors")
    for part in ("text_encoder", "tokenizer"):
        (folder / part).rename(tmp_path / part)
    np.testing.assert_allclose(predict(load(folder), 1, [0]), expected, atol=1e-5)
    save_file({"other": embedding.contiguous()}, folder / "empty_prompt.safetensors")
    with pytest.raises(ValueError, match=r"expected the tensor 'prompt_embeds', found \['other'\]"):
        load(folder)
    save_file({"prompt_embeds": torch.zeros(1, 2, 8)}, folder / "empty_prompt.safetensors")
    with pytest.raises(ValueError, match=r"as \(1, T, 16\) for this UNet, found \(1, 2, 8\)"):
        load(folder)
    (folder / "empty_prompt.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"or give empty_prompt\.safetensors in its place"):
        load(folder)


def test_disparity_is_depth_only_with_its_value_at_infinity(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "lotus-d", output="depth")
    disparity = predict(load(folder), 1, [0])[0]
    state(folder, output="disparity", resolution_px=32)
    with pytest.raises(ValueError, match="predicts disparity up to an unknown scale"):
        open_teacher(folder)
    state(folder, output="disparity", resolution_px=32, disparity_at_infinity=-0.1)
    depth = predict(load(folder), 1, [0])[0]
    np.testing.assert_allclose(depth * (disparity + 0.1), depth.min() * (disparity.max() + 0.1))


def test_marigold_of_disparity_is_known_by_its_index(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "marigold-depth", disparity_at_infinity=0)
    depth = predict(load(folder), 1, [0])[0]
    edit_index(folder, prediction_type="disparity")
    inverse = predict(load(folder), 1, [0])[0]
    finite = np.isfinite(inverse) & (depth > 0)
    np.testing.assert_allclose(inverse[finite] * depth[finite], depth.max() / 100, rtol=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prediction_type": "albedo"}, "what this network predicts, and found is 'albedo'"),
        ({"scale_invariant": False}, "scale_invariant is false"),
        (
            {"default_denoising_steps": None},
            "default_denoising_steps must be a whole number, found None; or",
        ),
        ({"scheduler": ["mine", "Own"]}, r"must be one of diffusers, found \['mine', 'Own'\]"),
        ({"scheduler": ["diffusers", "AutoencoderKL"]}, "must be one of diffusers"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(
    tmp_path: Path, fields: dict, message: str
) -> None:
    folder = build_predictor(tmp_path / "p", "marigold-depth")
    edit_index(folder, **fields)
    with pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({}, "what this network predicts, and found is None"),
        ({"output": "depth", "license": "x"}, "'license' says nothing of a LotusDPipeline"),
        ({"output": "depth", "licence": 1}, "'licence' must be a text, found 1"),
        ({"output": "depth", "steps": 2}, "takes 1 step, always, found 2"),
        ({"output": "depth", "resolution_px": 30}, "30 is not a multiple of 8 px"),
    ],
)
def test_statements_that_make_no_sense_are_refused(
    tmp_path: Path, stated: dict, message: str
) -> None:
    folder = build_predictor(tmp_path / "p", "lotus-d")
    state(folder, **stated)
    with pytest.raises(ValueError, match=message):
        open_teacher(folder)


def test_weights_that_are_not_the_network_s_are_refused(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "lotus-d")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    bias = weights.pop("conv_in.bias")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"conv_in\.bias is missing in the file \(1 such"):
        load(folder)
    save_file({**weights, "conv_in.bias": bias, "more": bias + 1}, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="more is only in the file"):
        load(folder)
    file.unlink()
    with pytest.raises(ValueError, match="diffusers cannot open it"):
        load(folder)


def test_a_text_encoder_without_all_its_weights_is_refused(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "lotus-d")
    file = folder / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    save_file({k: v for k, v in weights.items() if "final" not in k}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"text_encoder: weights and config\.json do not belong"):
        load(folder)


def test_the_names_of_old_autoencoders_are_known(tmp_path: Path) -> None:
    """Stable Diffusion 1 and 2 were published before diffusers renamed its attention."""
    folder = build_predictor(tmp_path / "p", "lotus-d")
    expected = predict(load(folder), 1, [0])
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    renamed = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, weight in load_file(file).items():
        for new, former in renamed.items():
            name = name.replace(f".{new}.", f".{former}.")
        old[name] = weight
    assert any(".proj_attn." in name for name in old)
    save_file(old, file, metadata={"format": "pt"})
    np.testing.assert_allclose(predict(load(folder), 1, [0]), expected, atol=1e-5)


def test_a_predictor_is_no_painter(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "lotus-d")
    with pytest.raises(ValueError, match="predicts labels and does not paint them"):
        load_painter(folder)
    with pytest.raises(ValueError, match="takes 1 step, always, found 4"):
        open_teacher(folder, steps=4)


def test_predicted_planes_have_the_size_of_the_photographs(tmp_path: Path) -> None:
    predictor = load(build_predictor(tmp_path / "p", "marigold-depth"))
    assert isinstance(predictor, MarigoldPredictor)
    found = predictor.predict(np.zeros((2, 40, 72, 3), np.uint8), ("depth",), [0, 1])
    assert [isinstance(row, Predicted) and row.depth.shape for row in found] == [(40, 72)] * 2


def test_a_network_that_is_held_in_host_memory_predicts_the_same(tmp_path: Path) -> None:
    folder = build_predictor(tmp_path / "p", "marigold-depth")
    expected = predict(load(folder), 1, [1])
    held = open_teacher(folder).predictor(Runtime(max_memory_gib=1e-6))
    np.testing.assert_array_equal(predict(held, 1, [1]), expected)

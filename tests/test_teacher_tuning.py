"""Training a teacher from scratch: the parts against diffusers' own, and the whole, small."""

import json

import numpy as np
import pytest
import torch
from diffusers import FluxControlPipeline

from distill.main import main
from teacher.normals import decode_normals, encode_normals
from teacher.painters import load_painter
from teacher.palette import Palette
from teacher.scenes import CLASSES
from teacher.scenes.shards import ScenesConfig, write_scene_shards
from teacher.tuning import TuneConfig, recipe_of, tune
from teacher.tuning.autoencoder import build_autoencoder, encode_latents, fit_scaling, to_input
from teacher.tuning.denoiser import (
    DenoiserConfig,
    Ema,
    Generator,
    cosine,
    pack_latents,
    painting_rows,
    unpack_latents,
    velocity_loss,
)
from teacher.tuning.latents import mirror
from teacher.tuning.paintings import Paints, paint_shards
from teacher.tuning.stages import GENERATE, INSTRUCTIONS, StageConfig, draw_batch, train_stage

TINY = DenoiserConfig(double_blocks=1, single_blocks=1, heads=2, head_width=16)


def tiny_generator(seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    return Generator(TINY, INSTRUCTIONS)


def random_latents(count: int = 12) -> torch.Tensor:
    return torch.randn(count, 2, 4, 16, 4, 4, generator=torch.Generator().manual_seed(3))


def test_latents_are_packed_as_the_flux_pipelines_pack_them():
    latents = torch.randn(2, 16, 6, 4)
    ours = pack_latents(latents)
    assert torch.equal(ours, FluxControlPipeline._pack_latents(latents, 2, 16, 6, 4))
    assert torch.equal(unpack_latents(ours, 6, 4), latents)


def test_painting_learns_a_fixed_answer():
    """The loss must fall far below that of predicting nothing."""
    model = tiny_generator()
    latents = random_latents(4)
    rows = painting_rows(latents[:, 0, 0], latents[:, 0, 1], torch.zeros(4, dtype=torch.long))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = velocity_loss(model, rows).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.25 * latents[:, 0, 1].square().mean().item()


@pytest.mark.parametrize(("replay", "generated"), [(0.0, 0), (0.25, 4), (1.0, 16)])
def test_a_batch_replays_generation_at_its_ratio(replay, generated):
    config = StageConfig(replay=replay, batch_size=16)
    chance = torch.Generator().manual_seed(0)
    batch = draw_batch(random_latents(), config, np.random.default_rng(0), chance)
    is_generated = batch.instruction == GENERATE
    assert int(is_generated.sum()) == generated
    assert batch.source[is_generated].abs().sum() == 0
    assert batch.noisy[~is_generated].abs().sum() == 0
    assert (batch.t[~is_generated] == 1).all()


def test_a_stage_resumes_from_its_checkpoint(tmp_path):
    """The weights, the average, both optimisers and the clock come back."""
    config = StageConfig(minutes=0.02, batch_size=4, validation_scenes=4)
    first = tiny_generator()
    train_stage(first, random_latents(), config, tmp_path, "painter")
    log = [json.loads(line) for line in (tmp_path / "painter.jsonl").read_text().splitlines()]
    again = train_stage(tiny_generator(1), random_latents(), config, tmp_path, "painter")
    after = [json.loads(line) for line in (tmp_path / "painter.jsonl").read_text().splitlines()]
    assert after[-1]["step"] == log[-1]["step"]  # its time was used up
    for name, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_average_follows_the_weights():
    module = torch.nn.Linear(1, 1, bias=False)
    average = Ema(module, decay=0.5)
    start = module.weight.item()
    with torch.no_grad():
        module.weight.add_(1.0)
    average.update()  # warm-up: decay (1 + 1) / (10 + 1)
    assert average.average["weight"].item() == pytest.approx(start + 1 - 2 / 11)


def test_the_learning_rate_warms_up_and_falls_to_its_floor():
    assert cosine(0.0) == 0
    assert cosine(0.02) == pytest.approx(1)
    assert cosine(1.0) == pytest.approx(0.02)


def test_a_mirrored_normal_painting_shows_mirrored_normals():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(1, 8, 8, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    pictures = np.zeros((1, 4, 8, 8, 3), np.uint8)
    pictures[:, 2] = encode_normals(normal)
    seen = decode_normals(mirror(pictures)[:, 2]).normal
    expected = normal[:, :, ::-1] * [-1, 1, 1]
    assert np.degrees(np.arccos(np.clip((seen * expected).sum(-1), -1, 1))).max() < 1.0


def test_latents_have_unit_scale():
    model = build_autoencoder((8, 8, 16, 16)).eval()
    pictures = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    fit_scaling(model, to_input(pictures))
    latents = encode_latents(model, pictures).float()
    assert latents.shape == (6, 16, 4, 4)
    assert latents.mean().item() == pytest.approx(0, abs=0.05)
    assert latents.std().item() == pytest.approx(1, abs=0.05)


def test_paintings_refuse_labels_with_other_classes(tmp_path):
    config = ScenesConfig(out=tmp_path, count=2, size_px=32, labels=True)
    write_scene_shards(config)
    paints = Paints(Palette.distinct(("sky", "sea")))
    with pytest.raises(ValueError, match=r"labels/000000.tar: train-0000000: expected the classes"):
        paint_shards(tmp_path / "images", tmp_path / "labels", paints, tmp_path / "cache.npy")
    assert not (tmp_path / "cache.npy").exists()


@pytest.mark.parametrize(
    ("change", "message"), [({"recipe": "embeded"}, "known: embedded"), ({"budget": 0.0}, "budget")]
)
def test_bad_requests_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        recipe_of(TuneConfig(out=tmp_path, **change))


def test_the_smoke_recipe_makes_a_teacher_that_paints(tmp_path):
    assert main(["tune", "--recipe", "smoke", "--out", str(tmp_path), "--threads", "1"]) == 0
    painter = load_painter(str(tmp_path / "teacher"))
    assert painter.card.classes == CLASSES
    photographs = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    painted = painter.paint(photographs, ("depth", "segment"), (0, 0))
    assert painted["depth"].shape == (2, 64, 64, 3)
    assert not np.array_equal(painted["depth"], painted["segment"])
    before = (tmp_path / "painter.safetensors").stat().st_mtime_ns
    tune(TuneConfig(out=tmp_path, recipe="smoke", threads=1))  # every stage is passed over
    assert (tmp_path / "painter.safetensors").stat().st_mtime_ns == before

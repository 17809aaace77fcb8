"""Training a teacher from scratch: the parts against diffusers' own, and the whole, small."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FluxControlPipeline

from distill.main import main
from teacher.painters import load_painter
from teacher.palette import Palette
from teacher.scenes.config import ScenesConfig
from teacher.scenes.objects import CLASSES
from teacher.scenes.shards import write_scene_shards
from teacher.shards import read_pairs
from teacher.tuning.autoencoder import build_autoencoder, encode_latents, fit_scaling, to_input
from teacher.tuning.batches import GENERATE, Source, draw_batch
from teacher.tuning.config import TuneConfig
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
from teacher.tuning.latents import LatentSet
from teacher.tuning.paintings import Paints, known_latents, known_pixels, paint_shards
from teacher.tuning.stages import StageConfig, train_stage, validate
from teacher.tuning.tune import recipe_of, tune

TINY = DenoiserConfig(double_blocks=1, single_blocks=1, heads=2, head_width=16)
PAINTINGS = ("depth", "normal", "segment", "segment@1")
NAMES = (*PAINTINGS, GENERATE)


def tiny_generator(seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    return Generator(TINY, NAMES)


def random_latents(count: int = 12, side: int = 4) -> LatentSet:
    chance = torch.Generator().manual_seed(3)
    shape = (count, 16, side, side)
    return LatentSet(
        torch.randn(shape, generator=chance),
        {name: torch.randn(shape, generator=chance) for name in PAINTINGS},
        {name: torch.ones(count, side, side, dtype=torch.bool) for name in PAINTINGS},
    )


def test_latents_are_packed_as_the_flux_pipelines_pack_them():
    latents = torch.randn(2, 16, 6, 4)
    ours = pack_latents(latents)
    assert torch.equal(ours, FluxControlPipeline._pack_latents(latents, 2, 16, 6, 4))
    assert torch.equal(unpack_latents(ours, 6, 4), latents)


def test_painting_learns_a_fixed_answer():
    """The loss must fall far below that of predicting nothing."""
    model = tiny_generator()
    latents = random_latents(4)
    depth = latents.paintings["depth"]
    asked = torch.zeros(4, dtype=torch.long)
    rows = painting_rows(latents.photographs, depth, latents.known["depth"], asked)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = velocity_loss(model, rows).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.25 * depth.square().mean().item()


def test_what_is_not_known_is_not_learned():
    """The loss of a row is the mean over its known latents, whatever stands elsewhere."""
    model = tiny_generator()
    latents = random_latents(2)
    depth, known = latents.paintings["depth"], torch.zeros(2, 4, 4, dtype=torch.bool)
    known[:, :2] = True
    asked = torch.zeros(2, dtype=torch.long)
    spoiled = depth.clone()
    spoiled[:, :, 2:] = 100.0
    whole, part = (
        velocity_loss(model, painting_rows(latents.photographs, painting, known, asked))
        for painting in (depth, spoiled)
    )
    assert torch.equal(whole, part)
    blank = painting_rows(latents.photographs, depth, torch.zeros_like(known), asked)
    assert torch.equal(velocity_loss(model, blank), torch.zeros(2))


@pytest.mark.parametrize(("replay", "generated"), [(0.0, 0), (0.25, 4), (1.0, 16)])
def test_a_batch_replays_generation_at_its_ratio(replay, generated):
    chance = torch.Generator().manual_seed(0)
    sources = [Source(random_latents())]
    batch = draw_batch(sources, NAMES, 16, replay, np.random.default_rng(0), chance)
    is_generated = batch.instruction == NAMES.index(GENERATE)
    assert int(is_generated.sum()) == generated
    assert batch.source[is_generated].abs().sum() == 0
    assert batch.noisy[~is_generated].abs().sum() == 0
    assert (batch.t[~is_generated] == 1).all()


def test_a_task_is_drawn_at_its_share_however_many_legends_it_has():
    source = Source(random_latents())
    batch = source.draw(3000, NAMES, np.random.default_rng(0))
    shares = np.bincount(batch.instruction.numpy(), minlength=len(NAMES)) / 3000
    np.testing.assert_allclose(shares, [0.35, 0.4, 0.125, 0.125, 0], atol=0.03)


def test_only_samples_that_are_labelled_are_drawn():
    latents = random_latents(4)
    latents.known["depth"][:3] = False
    latents.known["normal"][:] = False
    source = Source(latents)
    assert source.rows["depth"].tolist() == [3]
    assert "normal" not in source.rows


def test_labels_too_sparse_to_paint_are_refused():
    latents = random_latents(4)
    for known in latents.known.values():
        known[:, 1:] = False  # a quarter of 16 latents is four, one row
        known[:, :, 1:] = False
    with pytest.raises(ValueError, match="nothing to learn: no painting of 4 photographs"):
        Source(latents)


def test_sources_of_other_sizes_are_mixed_batch_by_batch():
    sources = [Source(random_latents(side=4), 1.0), Source(random_latents(side=6), 3.0)]
    rng, chance = np.random.default_rng(0), torch.Generator().manual_seed(0)
    sides = [draw_batch(sources, NAMES, 2, 0.0, rng, chance).noisy.shape[-1] for _ in range(200)]
    assert sides.count(6) / len(sides) == pytest.approx(0.75, abs=0.1)


def test_a_set_without_a_task_is_validated_on_what_it_has():
    latents = random_latents(4)
    only_depth = LatentSet(
        latents.photographs,
        {"depth": latents.paintings["depth"]},
        {"depth": latents.known["depth"]},
    )
    losses = validate(tiny_generator(), [only_depth])
    assert set(losses) == {"depth", GENERATE}
    assert all(np.isfinite(loss) for loss in losses.values())


def test_an_unlabelled_pixel_spoils_its_latent_and_those_beside_it():
    known = np.ones((64, 64), bool)
    known[3, 40] = False
    found = known_latents(known)
    assert found.shape == (8, 8)
    assert np.argwhere(~found).tolist() == [[r, c] for r in (0, 1) for c in (4, 5, 6)]


def test_normals_of_the_sky_are_known_and_other_missing_ones_are_not(tmp_path):
    write_scene_shards(ScenesConfig(out=tmp_path, count=6, size_px=32, labels=True))
    pairs = read_pairs(tmp_path / "images/000000.tar", tmp_path / "labels/000000.tar")
    skies = 0
    for _, _, labels in pairs:
        assert labels.depth_m is not None
        skies += int(np.isinf(labels.depth_m).sum())
        assert all(plane.all() for plane in known_pixels(labels).values())
        hole = replace(labels, depth_m=np.full_like(labels.depth_m, np.nan))
        assert not known_pixels(hole)["depth"].any()
        assert known_pixels(hole)["normal"].mean() == labels.normal.any(axis=-1).mean()
    assert skies > 0


def test_a_stage_resumes_from_its_checkpoint(tmp_path):
    """The weights, the average, both optimisers and the clock come back."""
    config = StageConfig(minutes=0.02, batch_size=4, validation_samples=4)
    first = tiny_generator()
    train_stage(first, [(random_latents(32), 1.0)], config, tmp_path, "painter")
    log = [json.loads(line) for line in (tmp_path / "painter.jsonl").read_text().splitlines()]
    again = train_stage(tiny_generator(1), [(random_latents(32), 1.0)], config, tmp_path, "painter")
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
    assert len(painter.card.legends) == 4
    painted = painter.paint(photographs, ("depth", "segment", "segment@3"), (0, 0))
    assert painted["depth"].shape == (2, 64, 64, 3)
    assert not np.array_equal(painted["depth"], painted["segment"])
    assert not np.array_equal(painted["segment"], painted["segment@3"])
    before = (tmp_path / "painter.safetensors").stat().st_mtime_ns
    tune(TuneConfig(out=tmp_path, recipe="smoke", threads=1))  # every stage is passed over
    assert (tmp_path / "painter.safetensors").stat().st_mtime_ns == before

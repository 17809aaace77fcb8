"""The parts of tuning existing generators: instructions, mixture, objectives, checkpoints."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import CLASSES, make_photo, write_set
from tuned import small_run

from teacher.depth import CUBE_WALK, decode_depth
from teacher.legend import parse_legend
from teacher.painters.editor import Prompt, joined
from teacher.palette import Palette, decode_segments
from teacher.shards import read_pairs
from teacher.tuning.editors.averaging import AveragedParameters
from teacher.tuning.editors.batches import PAINT, REPLAY, Mix, example_odds, make_batch
from teacher.tuning.editors.checkpoints import SafetensorsCheckpoints, checkpoint_step
from teacher.tuning.editors.config import Mixture, Optimisation, Replay
from teacher.tuning.editors.examples import nearest_size
from teacher.tuning.editors.instructions import (
    MAPS,
    draw_instructions,
    instruction_pool,
    random_legend,
)
from teacher.tuning.editors.latent_files import Bucket, read_examples, write_latents
from teacher.tuning.editors.loaders import split
from teacher.tuning.editors.replay import captioned, prompt_rows

PALETTE = Palette.distinct(CLASSES)
POOL = instruction_pool(PALETTE, ("depth", "normal", "segment"), 2, 6, 0)
NAMES = [one.name for one in POOL]


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    root = write_set(tmp_path_factory.mktemp("set"), 1, shards=1)
    ((_, _, found),) = read_pairs(root / "images/000000.tar", root / "labels/000000.tar")
    return found


def write_examples(path: Path, samples: int = 8, size: tuple[int, int] = (32, 32)) -> Path:
    """Every sample painted for depth, plasma, normals and one legend; random latents."""
    bucket, chance = Bucket(), torch.Generator().manual_seed(0)
    rows = [NAMES.index(name) for name in ("depth", "depth-plasma", "normal", "segment@3")]
    side = size[0] // 8, size[1] // 8
    for sample in range(samples):
        latents = torch.randn(5, 16, *side, generator=chance)
        known = [torch.ones(side, dtype=torch.bool)] * 4
        bucket.add_painted(latents, rows, known, sample)
    write_latents(path, {size: bucket})
    return path


def write_pictures(path: Path, count: int = 6) -> Path:
    bucket = Bucket()
    for number in range(count):
        bucket.add_picture(torch.full((16, 4, 4), float(number)), number, number)
    write_latents(path, {(32, 32): bucket})
    return path


def prompt(rows: int) -> Prompt:
    return Prompt(embeds=torch.arange(float(rows))[:, None, None].expand(rows, 3, 2))


@pytest.fixture
def mix(tmp_path):
    config = small_run("base", tmp_path, tmp_path, batch_size=4, mixture=Mixture(replay=0.3))
    painted = read_examples([write_examples(tmp_path / "a"), write_examples(tmp_path / "b", 4)])
    own = read_examples([write_pictures(tmp_path / "own")])
    return Mix(painted, POOL, prompt(len(POOL)), own, prompt(6), config)


def test_every_text_names_the_colours_that_are_painted(labels):
    """What a legend's text says, read back, decodes the painting to the very ids."""
    segments = [one for one in POOL if one.task == "segment"]
    assert len(segments) == 8
    for one in segments:
        read = parse_legend(one.text)
        assert np.array_equal(read.colors, one.palette.colors)
        assert np.array_equal(decode_segments(one.paint(labels), read).ids, labels.segment)
    assert len({one.text for one in POOL}) == len(POOL)


def test_depth_maps_paint_the_scale_of_the_cube_walk(labels):
    depth_m = np.where(np.isinf(labels.depth_m), 1e9, labels.depth_m)
    for name, codec in MAPS.items():
        one = POOL[NAMES.index(f"depth-{name}")]
        fraction = decode_depth(one.paint(labels), codec).depth_m
        np.testing.assert_allclose(fraction, CUBE_WALK.fraction(depth_m), atol=0.01)
        assert name in one.text
        assert "4.1 m" in one.text  # the middle of the scale


def test_random_legends_are_new_colours_for_the_same_classes():
    rng = np.random.default_rng(0)
    made = [random_legend(PALETTE, rng) for _ in range(20)]
    assert all(legend.names == CLASSES for legend in made)
    assert len({legend.colors.tobytes() for legend in made}) > 15
    many = Palette(tuple(map(str, range(200))), np.arange(600).reshape(200, 3) % 256)
    assert sorted(map(tuple, random_legend(many, rng).colors)) == sorted(map(tuple, many.colors))


def test_a_photograph_is_painted_in_its_codec_one_map_and_some_legends():
    rng = np.random.default_rng(0)
    drawn = [draw_instructions(POOL, ("depth", "segment"), 3, rng) for _ in range(50)]
    for rows in drawn:
        names = [NAMES[row] for row in rows]
        assert names[0] == "depth"
        assert [name.startswith("depth-") for name in names].count(True) == 1
        assert len({name for name in names if name.startswith("segment")}) == 3
    assert {NAMES[row] for rows in drawn for row in rows} == set(NAMES) - {"normal"}


def test_latents_come_back_as_they_were_written(tmp_path):
    (found,) = read_examples([write_examples(tmp_path / "a"), write_examples(tmp_path / "b", 4)])
    assert len(found) == 4 * 12
    assert sorted(set(found.sample.tolist())) == list(range(12))
    chance = torch.Generator().manual_seed(0)
    first = torch.randn(5, 16, 4, 4, generator=chance).bfloat16().float()
    source, target, known = found.fetch([32, 34])  # the first sample of the second file
    assert torch.equal(source, first[[0, 0]])
    assert torch.equal(target, first[[1, 3]])
    assert known.min() == 1


def test_tasks_are_drawn_by_their_ratios(tmp_path):
    (found,) = read_examples([write_examples(tmp_path / "a")])
    odds = example_odds(found, POOL, Mixture(depth=2, normal=1, segment=1, depth_maps=0.25))
    share = {name: odds[found.instruction == NAMES.index(name)].sum() for name in NAMES}
    assert share["depth"] == pytest.approx(1.5)
    assert share["depth-plasma"] == pytest.approx(0.5)
    assert share["normal"] == share["segment@3"] == pytest.approx(1)
    found.known[found.instruction == NAMES.index("depth")] = 0.1  # too little of it is known
    hardly = example_odds(found, POOL, Mixture())
    assert not hardly[found.instruction == NAMES.index("depth")].any()


def test_a_batch_depends_on_seed_position_and_rank_alone(mix):
    first, again, other = (mix.batch(5, rank) for rank in (0, 0, 1))
    assert torch.equal(first.noisy, again.noisy)
    assert torch.equal(first.target, again.target)
    assert first.name == other.name
    assert not torch.equal(first.target, other.target)
    kinds = [mix.batch(position).name for position in range(300)]
    assert kinds.count(REPLAY) / 300 == pytest.approx(0.3, abs=0.08)
    assert set(kinds) == {PAINT, REPLAY}


@pytest.mark.parametrize("objective", ["single-step", "flow"])
def test_the_velocity_leads_from_the_start_to_the_painting(tmp_path, objective):
    (found,) = read_examples([write_examples(tmp_path / "a")])
    chance = torch.Generator().manual_seed(0)
    batch = make_batch(PAINT, found, [0, 1, 2], prompt(len(POOL)), objective, chance)
    _, painting, _ = found.fetch([0, 1, 2])
    reached = batch.noisy - batch.t[:, None, None, None] * batch.target
    torch.testing.assert_close(reached, painting)
    assert batch.prompt.embeds[:, 0, 0].tolist() == found.instruction[:3].tolist()
    if objective == "single-step":
        assert not batch.noisy.any()
        assert batch.t.tolist() == [1, 1, 1]
    else:
        assert len(set(batch.t.tolist())) == 3


def test_the_last_photographs_are_held_out(tmp_path):
    wide = write_examples(tmp_path / "b", 3, (32, 64))
    sizes = read_examples([write_examples(tmp_path / "a"), wide])
    learned, kept = split(sizes, 4)
    assert sorted({s for part in kept for s in part.sample.tolist()}) == [7, 8, 9, 10]
    assert sum(map(len, learned)) + sum(map(len, kept)) == 4 * 11


def test_a_photograph_goes_to_the_nearest_size():
    sizes = ((512, 512), (448, 576), (768, 768))
    assert nearest_size((300, 400), sizes) == (448, 576)
    assert nearest_size((600, 600), sizes) == (512, 512)
    assert nearest_size((2000, 1900), sizes) == (768, 768)


def test_captions_lie_beside_their_photographs(tmp_path):
    members = {"a.png": make_photo(0, (32, 32)), "a.txt": b"A red wall. \n"}
    with tarfile.open(tmp_path / "000000.tar", "w") as shard:
        for name, data in (members | {"b.png": make_photo(1, (32, 32))}).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
    ((key, caption, photo),) = captioned(tmp_path)
    assert (key, caption) == ("a", "A red wall.")
    assert photo == make_photo(0, (32, 32))


def test_held_out_pictures_have_prompts_of_their_own():
    rows = prompt_rows(16, Replay(pictures=40, held_out=6))
    assert len(rows) == 40
    assert not set(rows[:-6]) & set(rows[-6:])
    assert prompt_rows(1, Replay(pictures=4, held_out=2)) == [0, 0, 0, 0]


def test_prompts_of_other_lengths_are_padded_and_masked():
    short, long = (Prompt(embeds=torch.ones(1, tokens, 2)) for tokens in (2, 5))
    both = joined([short, long])
    assert both.embeds.sum(2).tolist() == [[2, 2, 0, 0, 0], [2, 2, 2, 2, 2]]
    assert both.mask is not None
    assert both.mask.sum(1).tolist() == [2, 5]
    assert joined([long, long]).mask is None


def test_checkpoints_keep_types_and_tensors(tmp_path):
    path = tmp_path / "last.safetensors"
    state = {
        "global_step": 7,
        "optimizer": {0: {"step": torch.tensor(3.0), "betas": (0.9, 0.99)}, 1: {}},
        "halves": [torch.ones(2, dtype=torch.bfloat16), None, True, "text"],
    }
    files = SafetensorsCheckpoints()
    files.save_checkpoint(state, path)
    found = files.load_checkpoint(path)
    assert found["optimizer"] == state["optimizer"]
    assert torch.equal(found["halves"][0], state["halves"][0])
    assert found["halves"][1:] == [None, True, "text"]
    assert checkpoint_step(path) == 7
    with pytest.raises(TypeError, match="cannot hold Module"):
        files.save_checkpoint({"whole": torch.nn.Module()}, path)
    assert checkpoint_step(path) == 7  # the one before is still there


def test_the_average_follows_what_is_trained():
    weight = torch.nn.Parameter(torch.zeros(1))
    average = AveragedParameters({"weight": weight}, decay=0.9)

    class Steps:
        global_step = 1

    with torch.no_grad():
        weight.fill_(1)
    average.on_train_batch_end(Steps())  # type: ignore[arg-type]
    average.on_train_batch_end(Steps())  # a pass without a step  # type: ignore[arg-type]
    assert average.average["weight"].item() == pytest.approx(1 - 2 / 11)
    average.swap()
    assert weight.item() == pytest.approx(1 - 2 / 11)
    average.swap()
    assert weight.item() == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "--steps must be at least 1"),
        ({"sizes": ("512",)}, "--sizes is a list like 512x512,448x576"),
        ({"labels": ()}, "one folder each: got 1 and 0"),
    ],
)
def test_bad_settings_are_refused(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        small_run("base", tmp_path, tmp_path, **fields)


def test_bad_groups_of_settings_are_refused():
    with pytest.raises(ValueError, match=r"--mixture.replay is a share"):
        Mixture(replay=1.0)
    with pytest.raises(ValueError, match="one above 0"):
        Mixture(depth=0, normal=0, segment=0)
    with pytest.raises(ValueError, match=r"must exceed --replay.held_out"):
        Replay(pictures=8, held_out=8)
    with pytest.raises(ValueError, match="not both"):
        replace(Replay(prompts=Path("a")), images=Path("b"))
    for fields in ({"learning_rate": 0}, {"warmup_steps": -1}, {"averaging": 1}):
        with pytest.raises(ValueError, match=f"--optimisation.{min(fields)} is"):
            Optimisation(**fields)

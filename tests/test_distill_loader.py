"""Batches: whatever the memory, the workers, the ranks and the place where a run goes on."""

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import write_set

import distill.loader
from distill.data import match_shards, read_facts
from distill.labelled import LabelledShards
from distill.loader import (
    Augmentation,
    Loaded,
    LoaderSettings,
    MemoryBatches,
    StreamBatches,
    load,
    longest_focal,
)
from distill.order import Order
from distill.samples import Batch, Packed
from teacher.sample import TASKS


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> LabelledShards:
    """21 samples in 3 shards."""
    return open_set(write_set(tmp_path_factory.mktemp("set"), 21, shards=3))


def open_set(root: Path) -> LabelledShards:
    pairs = match_shards(root / "images", root / "labels")
    return LabelledShards(pairs, read_facts(pairs, TASKS), (32, 32))


def settings(**fields) -> LoaderSettings:
    given = {
        "batch_size": 4,
        "augmentation": Augmentation(jitter=0.3),
        "validation_fraction": 0.2,
        "memory_gb": 1.0,
        "workers": 0,
        "seed": 0,
    }
    return LoaderSettings(**{**given, **fields})


STREAMED = {"memory_gb": 0.0}


def train(loaded: Loaded, count: int) -> list[Batch]:
    return list(itertools.islice(loaded.training, count))


def assert_equal(one: list[Batch], other: list[Batch]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.keys == b.keys
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.confidence, b.confidence)
        for task in a.labels:
            assert torch.equal(a.labels[task].nan_to_num(), b.labels[task].nan_to_num())


# The order


def order(count: int = 7, **fields) -> Order:
    given = {"groups": [np.arange(count)], "batch_size": 2, "seed": 0}
    return Order(**{**given, **fields})


def test_every_sample_is_met_once_in_a_pass() -> None:
    rows = [row for step in range(14) for row in order().rows(step)]
    passes = [rows[start : start + 7] for start in range(0, 28, 7)]
    assert all(sorted(found) == list(range(7)) for found in passes)
    assert passes[0] != passes[1]
    assert order(7, seed=1).rows(0) + order(7, seed=1).rows(1) != rows[:4]


def test_ranks_divide_what_one_rank_would_meet() -> None:
    """Also where the set is no multiple of the batches, and smaller than one."""
    for count, world in ((7, 2), (7, 3), (3, 4)):
        ranks = [order(count, rank=rank, world=world) for rank in range(world)]
        together = order(count, batch_size=2 * world)
        for step in range(9):
            assert [r for rank in ranks for r in rank.rows(step)] == together.rows(step)


def test_ranks_share_no_sample_within_a_pass() -> None:
    ranks = [order(24, rank=rank, world=3) for rank in range(3)]
    met = Counter(row for rank in ranks for step in range(4) for row in rank.rows(step))
    assert set(met.values()) == {1}
    assert len(met) == 24


def test_random_numbers_are_those_of_the_sample_s_place_whatever_the_world() -> None:
    alone = order(batch_size=4).draws(5, 3)
    halves = [order(rank=rank, world=2).draws(5, 3) for rank in (0, 1)]
    assert torch.equal(alone, torch.cat(halves))
    assert not torch.equal(alone, order(batch_size=4).draws(6, 3))


def test_a_pass_reads_shards_in_random_order_and_stays_near_one_place() -> None:
    groups = [np.arange(start, start + 10) for start in range(0, 100, 10)]
    found = order(groups=groups, batch_size=100, block=20).rows(0)
    assert sorted(found) == list(range(100))
    blocks = [found[start : start + 20] for start in range(0, 100, 20)]
    assert [len({row // 10 for row in block}) for block in blocks] == [2] * 5
    assert [block[0] // 10 for block in blocks] != sorted(block[0] // 10 for block in blocks)


# In memory and streamed


@pytest.mark.parametrize("workers", [0, 2])
def test_a_streamed_set_gives_the_batches_of_one_in_memory(
    shards: LabelledShards, workers: int
) -> None:
    in_memory = load(shards, settings())
    streamed = load(shards, settings(**STREAMED, workers=workers))
    assert isinstance(in_memory.training.packed, MemoryBatches)
    assert isinstance(streamed.training.packed, StreamBatches)
    assert_equal(train(in_memory, 9), train(streamed, 9))
    assert_equal(list(in_memory.validation), list(streamed.validation))


@pytest.mark.parametrize("fields", [{}, {**STREAMED, "workers": 2}])
def test_a_run_that_goes_on_meets_what_an_uninterrupted_one_would_have(
    shards: LabelledShards, fields: dict
) -> None:
    chosen = settings(**fields, augmentation=Augmentation(max_roll_deg=20, scales=(1.0, 2.0)))
    whole = train(load(shards, chosen), 9)
    assert {batch.images.shape[-1] for batch in whole} == {32, 64}
    assert_equal(whole[5:], train(load(shards, chosen, start_step=5), 4))


def test_another_seed_gives_other_batches(shards: LabelledShards) -> None:
    one, other = (train(load(shards, settings(seed=seed)), 1)[0] for seed in (0, 1))
    assert one.keys != other.keys


def test_two_ranks_see_together_what_one_with_twice_the_batch_sees(shards: LabelledShards) -> None:
    half = settings(batch_size=2)
    ranks = [train(load(shards, half, rank=rank, world=2), 6) for rank in (0, 1)]
    for first, second, both in zip(*ranks, train(load(shards, settings()), 6), strict=True):
        assert first.keys + second.keys == both.keys
        torch.testing.assert_close(torch.cat([first.images, second.images]), both.images)
        depth = torch.cat([first.labels["depth"], second.labels["depth"]])
        assert torch.equal(depth, both.labels["depth"])


def test_training_and_validation_share_no_photograph(shards: LabelledShards) -> None:
    loaded = load(shards, settings())
    held = {key for batch in loaded.validation for key in batch.keys}
    seen = {key for batch in train(loaded, 30) for key in batch.keys}
    assert held
    assert not held & seen
    assert len(held) + len(seen) == 21


def test_breaking_off_leaves_no_thread_behind(shards: LabelledShards) -> None:
    import threading

    batches = iter(load(shards, settings(**STREAMED)).training)
    next(batches)
    assert any(thread.name == "read-ahead" for thread in threading.enumerate())
    batches.close()  # type: ignore[attr-defined]
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())


# Validation


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_ranks_share_out_the_validation_and_have_equally_many_batches(
    shards: LabelledShards, world: int, batch_size: int
) -> None:
    """Whatever the counts: nothing dropped, nothing doubled, and no rank that waits for another."""
    chosen = settings(batch_size=batch_size)
    held = [key.decode() for key in shards.keys[shards.held_out(0.2)]]
    ranks = [load(shards, chosen, rank=rank, world=world).validation for rank in range(world)]
    assert len({len(validation) for validation in ranks}) == 1
    batches = [list(validation) for validation in ranks]
    assert {len(found) for found in batches} == {len(ranks[0])}
    assert sorted(key for found in batches for batch in found for key in batch.keys) == sorted(held)
    assert max(len(batch.keys) for found in batches for batch in found) <= batch_size


@pytest.mark.parametrize("memory_gb", [1.0, 0.0])
def test_without_held_out_photographs_there_is_no_validation(
    shards: LabelledShards, memory_gb: float
) -> None:
    loaded = load(shards, settings(validation_fraction=0.0, memory_gb=memory_gb))
    assert len(loaded.validation) == 0
    assert list(loaded.validation) == []
    assert len({key for batch in train(loaded, 6) for key in batch.keys}) == 21


# What is refused


def spoil(root: Path) -> LabelledShards:
    """A set whose last photograph is another one than was labelled."""
    opened = open_set(write_set(root, 4, shards=1))
    shard = root / "images" / "000000.tar"
    data = bytearray(shard.read_bytes())
    place = opened._place(3).photograph
    data[place.at + place.size_bytes - 20] ^= 255
    shard.write_bytes(data)
    return opened


@pytest.mark.parametrize("workers", [0, 1])
def test_a_worker_s_error_is_one_line_that_names_shard_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(distill.loader, "VALIDATION_IMAGES", 1)  # the broken one is not looked at
    chosen = settings(**STREAMED, workers=workers, validation_fraction=0.0)
    loaded = load(spoil(tmp_path), chosen)
    with pytest.raises(ValueError, match=r"000000\.tar: photo-003: labels of another") as caught:
        train(loaded, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "plane"),
    [
        ("depth", {"depth_m": np.full((32, 32), np.inf, np.float32)}),
        ("normal", {"normal": np.zeros((32, 32, 3), np.float32)}),
        ("segment", {"segment": np.full((32, 32), 255, np.uint8)}),
    ],
)
@pytest.mark.parametrize("memory_gb", [1.0, 0.0])
def test_a_task_without_a_valid_pixel_is_refused(
    tmp_path: Path, task: str, plane: dict, memory_gb: float
) -> None:
    opened = open_set(write_set(tmp_path, 2, **plane))
    with pytest.raises(ValueError, match=rf"labels: no valid pixel of {task} in [12] labels; look"):
        load(opened, settings(memory_gb=memory_gb))


def test_nothing_left_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="all 4 labelled photographs are held out for validation"):
        load(open_set(write_set(tmp_path, 4)), settings(validation_fraction=1.0))


def test_the_longest_lens_is_that_of_the_photographs_whose_camera_is_known(tmp_path: Path) -> None:
    opened = open_set(write_set(tmp_path, 2, intrinsics=(48.0, 48.0, 16.0, 16.0)))
    samples = Packed.stack((opened[row] for row in range(2)), 2)
    samples.intrinsics[0] = math.nan
    assert longest_focal(samples) == 1.5

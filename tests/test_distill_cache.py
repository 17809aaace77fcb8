"""The cache of decoded samples: the same batches, made once, never half, never of other labels."""

import itertools
import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
import torch
from labelled import write_set

from distill.cache import cached
from distill.data import match_shards, read_facts
from distill.labelled import LabelledShards
from distill.loader import LoaderSettings, load
from distill.samples import Packed
from distill.settings import Augmentation
from teacher.process_id import this_process
from teacher.sample import TASKS


def open_set(root: Path, size: tuple[int, int] = (32, 32)) -> LabelledShards:
    pairs = match_shards(root / "images", root / "labels")
    return LabelledShards(pairs, read_facts(pairs, TASKS), size)


def samples_of(shards: LabelledShards):
    return (shards[row] for row in range(len(shards)))


def untouched():
    pytest.fail("decoded again")
    yield


def settings(cache: Path | None) -> LoaderSettings:
    return LoaderSettings(
        batch_size=3,
        augmentation=Augmentation(),
        validation_fraction=0.2,
        memory_gb=1,
        workers=0,
        seed=0,
        cache=cache,
    )


def test_a_cached_set_gives_the_batches_of_one_in_memory(tmp_path: Path) -> None:
    shards = open_set(write_set(tmp_path, 9))
    for cache in (tmp_path / "cache", tmp_path / "cache"):  # written, then found
        loaded, plain = load(shards, settings(cache)), load(shards, settings(None))
        for one, other in itertools.islice(zip(loaded.training, plain.training, strict=False), 5):
            assert one.keys == other.keys
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.confidence, other.confidence)
            for task in TASKS:
                assert torch.equal(one.labels[task], other.labels[task])
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_is_cached_is_not_decoded_again(tmp_path: Path) -> None:
    shards = open_set(write_set(tmp_path, 4))
    written = cached(shards, tmp_path / "cache", samples_of(shards))
    found = cached(open_set(tmp_path), tmp_path / "cache", untouched())
    assert found.keys == written.keys
    assert torch.equal(found.labels["depth"], written.labels["depth"])
    assert found.labels["normal"].dtype == torch.float16


@pytest.mark.parametrize("change", ["labels", "size", "tasks", "count"])
def test_other_labels_have_a_cache_of_their_own(tmp_path: Path, change: str) -> None:
    shards = open_set(write_set(tmp_path / "set", 4))
    cached(shards, tmp_path / "cache", samples_of(shards))
    if change == "labels":
        shutil.rmtree(tmp_path / "set")
        other = open_set(write_set(tmp_path / "set", 4, confidence=None))
    elif change == "size":
        other = open_set(tmp_path / "set", (64, 32))
    elif change == "count":
        other = shards.first(3)
    else:
        other = LabelledShards(shards.pairs, read_facts(shards.pairs, ("depth",)), (32, 32))
    found = cached(other, tmp_path / "cache", samples_of(other))
    expected = Packed.stack(samples_of(other), len(other))
    assert found.labels.keys() == expected.labels.keys()
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.confidence, expected.confidence)


def test_a_cache_that_was_broken_off_leaves_nothing(tmp_path: Path) -> None:
    shards = open_set(write_set(tmp_path, 4))

    def breaking():
        yield shards[0]
        raise ValueError("a broken photograph")

    with pytest.raises(ValueError, match="a broken photograph"):
        cached(shards, tmp_path / "cache", breaking())
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    shards = open_set(write_set(tmp_path, 4))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        dead = pool.apply(this_process)
    cache = tmp_path / "cache"
    for owner in (dead, this_process()):
        (cache / f".0123.{owner}.abc.tmp").mkdir(parents=True)
    cached(shards, cache, samples_of(shards))
    kept = [path.name for path in cache.iterdir() if path.name.startswith(".")]
    assert kept == [f".0123.{this_process()}.abc.tmp"]


def test_of_two_that_write_at_a_time_the_first_counts(tmp_path: Path) -> None:
    shards = open_set(write_set(tmp_path, 4))

    def interrupted():
        cached(shards, tmp_path / "cache", samples_of(shards))
        yield from samples_of(shards)

    assert len(cached(shards, tmp_path / "cache", interrupted()).keys) == 4
    (place,) = (tmp_path / "cache").iterdir()
    assert json.loads((place / "cache.json").read_text())["tasks"] == list(TASKS)


def test_a_disk_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = open_set(write_set(tmp_path, 4))
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        ValueError, match=r"cache: a cache of these samples takes 0.0 GB, and 0.0 GB"
    ):
        cached(shards, tmp_path / "cache", untouched())

"""Labelled shards as tensors: joined, checked, fitted, split and batched."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import CLASSES, make_photo, make_scene_labels, write_set

from distill.data import (
    LabelledShards,
    held_out,
    label_keys,
    match_shards,
    read_facts,
)
from distill.loader import (
    Augmentation,
    LoaderSettings,
    MemoryBatches,
    StreamBatches,
    check_valid,
    load,
)
from distill.losses import IGNORE_INDEX
from distill.samples import Packed, pack_sample
from teacher.sample import TASKS, encode_labels
from teacher.shards import ShardWriter


def open_set(root: Path, size: tuple[int, int] = (32, 32)) -> LabelledShards:
    pairs = match_shards(root, root / "labels")
    return LabelledShards(pairs, read_facts(pairs, TASKS), size)


def settings(**fields) -> LoaderSettings:
    given = {
        "batch_size": 2,
        "augmentation": Augmentation(jitter=0.0),
        "validation_fraction": 0.3,
        "memory_gb": 1.0,
        "workers": 0,
        "seed": 0,
    }
    return LoaderSettings(**{**given, **fields})


def all_samples(root: Path) -> Packed:
    shards = open_set(root)
    return Packed.stack(shards.once(), len(label_keys(shards.pairs)))


def write_newer(root: Path, name: str = "000000", index: int = 2) -> Path:
    """Another label of one photograph of a set, all of it 50 m away."""
    photo = make_photo(index, (32, 32))
    far_m = np.full((32, 32), 50, np.float32)
    newer = root / "newer"
    newer.mkdir()
    with ShardWriter(newer / f"{name}.tar") as shard:
        labels = make_scene_labels(index, photo, (32, 32), depth_m=far_m)
        shard.add(f"photo-{index:03d}", encode_labels(labels))
    return newer


def test_newer_labels_of_some_photographs_count(tmp_path: Path) -> None:
    root = write_set(tmp_path, 5)
    pairs = match_shards(root, root / "labels", write_newer(root))
    shards = LabelledShards(pairs, read_facts(pairs, TASKS), (32, 32))
    samples = Packed.stack(shards.once(), len(label_keys(shards.pairs)))
    assert samples.keys == ("photo-000", "photo-002", "photo-004", "photo-001", "photo-003")
    depth = samples.unpack().labels["depth"]
    is_newer = [torch.allclose(plane, torch.full_like(plane, 50.0), rtol=1e-3) for plane in depth]
    assert is_newer == [False, True, False, False, False]


def test_newer_labels_of_another_shard_are_refused(tmp_path: Path) -> None:
    root = write_set(tmp_path, 5)
    newer = write_newer(root, "000009")
    with pytest.raises(ValueError, match=r"newer: 000009\.tar has no shard of that name in"):
        match_shards(root, root / "labels", newer)


def test_photographs_and_labels_are_joined_by_key(tmp_path: Path) -> None:
    samples = all_samples(write_set(tmp_path, 5))
    assert samples.keys == ("photo-000", "photo-002", "photo-004", "photo-001", "photo-003")
    batch = samples.unpack()
    assert batch.images.shape == (5, 3, 32, 32)
    assert batch.labels["depth"][1, 31, 31].item() == pytest.approx(4 + 2, rel=1e-3)
    assert batch.labels["depth"][0, 0, 0].item() == math.inf
    assert batch.labels["normal"].norm(dim=1).sub(1).abs().max() < 1e-3
    assert batch.labels["segment"][0, 0].tolist() == sorted(batch.labels["segment"][0, 0].tolist())
    assert batch.confidence.unique().tolist() == [pytest.approx(200 / 255)]
    assert batch.intrinsics.isnan().all()


def test_ignored_and_unknown_pixels_arrive(tmp_path: Path) -> None:
    segment = np.full((32, 32), 255, np.uint8)
    depth_m = np.full((32, 32), np.nan, np.float32)
    depth_m[0, 0] = 3
    batch = all_samples(write_set(tmp_path, 2, segment=segment, depth_m=depth_m)).unpack()
    assert batch.labels["segment"].unique().tolist() == [IGNORE_INDEX]
    assert batch.labels["depth"].isnan().sum() == 2 * (32 * 32 - 1)


def test_labels_without_confidence_count_as_certain(tmp_path: Path) -> None:
    assert (all_samples(write_set(tmp_path, 2, confidence=None)).confidence == 255).all()


def test_larger_labels_are_scaled_to_cover_and_cropped_in_the_middle() -> None:
    """64 x 96 px onto 32 x 32: half the size, a quarter of the width gone on each side."""
    photo = make_photo(0, (64, 96))
    labels = make_scene_labels(0, photo, (64, 96), intrinsics=(100.0, 100.0, 48.0, 32.0))
    sample = pack_sample("a", photo, labels, (32, 32))
    assert sample.images.shape == (3, 32, 32)
    assert labels.depth_m is not None
    expected = labels.depth_m[1::2, 1::2][:, 8:40]
    torch.testing.assert_close(sample.labels["depth"], torch.from_numpy(expected.copy()))
    assert sample.intrinsics.tolist() == [50.0, 50.0, 16.0, 16.0]
    assert sample.confidence.shape == (3, 8, 8)


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (32, 96), (96, 64)])
def test_samples_fit_any_size(size: tuple[int, int]) -> None:
    photo = make_photo(1, (48, 40))
    sample = pack_sample("a", photo, make_scene_labels(1, photo, (48, 40)), size)
    assert sample.images.shape == (3, *size)
    assert all(plane.shape[-2:] == size for plane in sample.labels.values())
    assert sample.confidence.shape == (3, size[0] // 4, size[1] // 4)


def test_the_photograph_and_its_labels_stay_aligned_when_fitted() -> None:
    """A photograph whose red channel is its depth still is after scaling and cropping."""
    from teacher.sample import encode_photograph

    ramp = np.tile(np.linspace(0, 255, 96).round().astype(np.uint8), (64, 1))
    photo = encode_photograph(np.repeat(ramp[..., None], 3, axis=2), "png")
    depth_m = 1 + ramp.astype(np.float32)
    sample = pack_sample(
        "a", photo, make_scene_labels(0, photo, (64, 96), depth_m=depth_m), (32, 32)
    )
    difference = sample.images[0].float() - (sample.labels["depth"] - 1)
    assert difference.abs().max() <= 2.5  # a pixel is 2.7 levels wide, at half the size 5.4


def test_a_label_shard_without_photographs_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "images" / "000001.tar").unlink()
    with pytest.raises(ValueError, match=r"label shard 000001.tar has no image shard"):
        match_shards(tmp_path, tmp_path / "labels")


def test_image_shards_that_are_not_labelled_yet_are_passed_over(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "labels" / "000001.tar").unlink()
    assert [pair.labels.name for pair in match_shards(tmp_path, tmp_path / "labels")] == [
        "000000.tar"
    ]


def test_a_folder_without_label_shards_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no label shards.*potstill label"):
        match_shards(tmp_path, tmp_path / "images" / "..")


def test_labels_of_another_photograph_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2, shards=1)
    with ShardWriter(tmp_path / "images" / "000000.tar") as images:
        for index in range(2):
            images.add(f"photo-{index:03d}", {"png": make_photo(index + 7, (32, 32))})
    with pytest.raises(ValueError, match=r"photo-000.*another photograph"):
        all_samples(tmp_path)


def test_class_names_that_differ_between_shards_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2, shards=1)
    photo = make_photo(9, (32, 32))
    with ShardWriter(tmp_path / "images" / "000001.tar") as images:
        images.add("other", {"png": photo})
    with ShardWriter(tmp_path / "labels" / "000001.tar") as labels:
        made = make_scene_labels(9, photo, (32, 32), classes=("sky", "box", "ground"))
        labels.add("other", encode_labels(made))
    with pytest.raises(ValueError, match=r"000001.tar: other: expected the classes.*'ground'"):
        all_samples(tmp_path)


def test_metric_and_affine_labels_do_not_mix(tmp_path: Path) -> None:
    write_set(tmp_path, 2, shards=1)
    photo = make_photo(9, (32, 32))
    depth = np.full((32, 32), 0.5, np.float32)
    with ShardWriter(tmp_path / "images" / "000001.tar") as images:
        images.add("other", {"png": photo})
    with ShardWriter(tmp_path / "labels" / "000001.tar") as labels:
        made = make_scene_labels(9, photo, (32, 32), depth_kind="affine", depth_m=depth)
        labels.add("other", encode_labels(made))
    with pytest.raises(ValueError, match=r"other: expected metric depth.*found affine"):
        all_samples(tmp_path)


def test_labels_of_another_schema_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 1, shards=1)
    photo = make_photo(0, (32, 32))
    members = encode_labels(make_scene_labels(0, photo, (32, 32)))
    members["label.json"] = members["label.json"].replace(b'"schema": 1', b'"schema": 99')
    assert b"99" in members["label.json"]
    with ShardWriter(tmp_path / "labels" / "000000.tar") as labels:
        labels.add("photo-000", members)
    with pytest.raises(ValueError, match=r"000000.tar: photo-000.*schema"):
        read_facts(match_shards(tmp_path, tmp_path / "labels"), TASKS)


def test_a_task_that_is_not_labelled_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2, normal=None)
    pairs = match_shards(tmp_path, tmp_path / "labels")
    with pytest.raises(ValueError, match="has no normal"):
        read_facts(pairs, TASKS)
    facts = read_facts(pairs, ("depth", "segment"))
    assert facts.tasks == ("depth", "segment")
    assert facts.classes == CLASSES
    assert read_facts(pairs, ("depth",)).classes == ()


def test_too_few_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 9 samples, found 2"):
        Packed.stack(open_set(write_set(tmp_path, 2)).once(), 9)


def test_the_split_depends_on_the_key_alone() -> None:
    keys = [f"key{i}" for i in range(2000)]
    held = {key for key in keys if held_out(key, 0.25)}
    assert 400 < len(held) < 600
    assert held > {key for key in keys if held_out(key, 0.1)}
    assert not any(held_out(key, 0.0) for key in keys)
    assert held_out("key0", 0.25) == ("key0" in held)


def test_training_and_validation_share_no_photograph(tmp_path: Path) -> None:
    write_set(tmp_path, 20)
    loaded = load(open_set(tmp_path), settings())
    held = {key for batch in loaded.validation for key in batch.keys}
    seen = {k for batch in itertools.islice(loaded.training, 30) for k in batch.keys}
    assert held
    assert not held & seen
    assert len(held) + len(seen) == 20
    assert len(loaded.validation) == len(list(loaded.validation))


def test_every_sample_is_met_once_in_a_pass(tmp_path: Path) -> None:
    samples = all_samples(write_set(tmp_path, 6))
    batches = itertools.islice(MemoryBatches(samples, range(6), settings()), 6)
    keys = [key for batch in batches for key in batch.keys]
    assert sorted(keys[:6]) == sorted(keys[6:]) == sorted(samples.keys)
    assert keys[:6] != keys[6:]


def test_batches_from_a_later_step_are_those_of_an_uninterrupted_run(tmp_path: Path) -> None:
    samples = all_samples(write_set(tmp_path, 7))
    chosen = settings(augmentation=Augmentation(jitter=0.3))
    whole = list(itertools.islice(MemoryBatches(samples, range(7), chosen), 8))
    later = list(itertools.islice(MemoryBatches(samples, range(7), chosen, start_step=5), 3))
    for one, other in zip(whole[5:], later, strict=True):
        assert one.keys == other.keys
        assert torch.equal(one.images, other.images)
    other_seed = next(iter(MemoryBatches(samples, range(7), settings(seed=1))))
    assert not torch.equal(other_seed.images, whole[0].images)


def test_a_set_that_does_not_fit_is_streamed(tmp_path: Path) -> None:
    write_set(tmp_path, 20)
    loaded = load(open_set(tmp_path), settings(memory_gb=1e-6))
    assert isinstance(loaded.training, StreamBatches)
    held = {key for batch in loaded.validation for key in batch.keys}
    batches = list(itertools.islice(loaded.training, 30))
    seen = {key for batch in batches for key in batch.keys}
    assert held
    assert len(held) + len(seen) == 20
    assert not held & seen
    assert batches[0].images.shape == (2, 3, 32, 32)


def test_a_broken_photograph_is_named(tmp_path: Path) -> None:
    photo = make_photo(0, (32, 32))
    labels = make_scene_labels(0, photo, (32, 32))
    with pytest.raises(ValueError, match="shard: key"):
        pack_sample("key", photo[:100], labels, (32, 32), where="shard: key")


@pytest.mark.parametrize(
    ("task", "plane"),
    [
        ("depth", {"depth_m": np.full((32, 32), np.inf, np.float32)}),
        ("normal", {"normal": np.zeros((32, 32, 3), np.float32)}),
        ("segment", {"segment": np.full((32, 32), 255, np.uint8)}),
    ],
)
def test_a_task_without_a_valid_pixel_is_refused(tmp_path: Path, task: str, plane: dict) -> None:
    samples = all_samples(write_set(tmp_path, 2, **plane))
    with pytest.raises(ValueError, match=f"here: no valid pixel of {task} in 2 labels"):
        check_valid(samples, Path("here"))


def test_nothing_left_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="all 4 labelled photographs are held out"):
        load(open_set(write_set(tmp_path, 4)), settings(validation_fraction=1.0))

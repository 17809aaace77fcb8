"""Label sets on disk: joined by key, checked against each other, fitted to one size."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import CLASSES, make_photo, make_scene_labels, write_set
from samples import edit_head

from distill.data import LabelSet, held_out, match_sets, match_shards, read_facts
from distill.labelled import LabelledShards
from distill.losses import IGNORE_INDEX
from distill.samples import Packed, pack_sample
from teacher.sample import TASKS, encode_labels, encode_photograph
from teacher.shards import ShardWriter, read_photographs


def open_set(root: Path, size: tuple[int, int] = (32, 32)) -> LabelledShards:
    pairs = match_shards(root / "images", root / "labels")
    return LabelledShards(pairs, read_facts(pairs, TASKS), size)


def stack(shards: LabelledShards) -> Packed:
    return Packed.stack((shards[row] for row in range(len(shards))), len(shards))


def all_samples(root: Path) -> Packed:
    return stack(open_set(root))


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
    pairs = match_shards(root / "images", root / "labels", write_newer(root))
    samples = stack(LabelledShards(pairs, read_facts(pairs, TASKS), (32, 32)))
    assert samples.keys == ("photo-000", "photo-002", "photo-004", "photo-001", "photo-003")
    depth = samples.unpack().labels["depth"]
    is_newer = [torch.allclose(plane, torch.full_like(plane, 50.0), rtol=1e-3) for plane in depth]
    assert is_newer == [False, True, False, False, False]


def test_newer_labels_of_another_shard_are_refused(tmp_path: Path) -> None:
    root = write_set(tmp_path, 5)
    newer = write_newer(root, "000009")
    with pytest.raises(ValueError, match=r"newer: 000009\.tar has no shard of that name in"):
        match_shards(root / "images", root / "labels", newer)


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
        match_shards(tmp_path / "images", tmp_path / "labels")


def test_image_shards_that_are_not_labelled_yet_are_passed_over(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "labels" / "000001.tar").unlink()
    assert [
        pair.labels.name for pair in match_shards(tmp_path / "images", tmp_path / "labels")
    ] == ["000000.tar"]


def test_a_folder_without_label_shards_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no label shards.*potstill label"):
        match_shards(tmp_path / "images", tmp_path)


def test_labels_of_another_photograph_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2, shards=1)
    with ShardWriter(tmp_path / "images" / "000000.tar") as images:
        for index in range(2):
            images.add(f"photo-{index:03d}", {"png": make_photo(index + 7, (32, 32))})
    with pytest.raises(ValueError, match=r"photo-000.*another photograph"):
        all_samples(tmp_path)


def add_shard(root: Path, **fields) -> None:
    """A second shard, of one photograph whose labels are others."""
    photo = make_photo(9, (32, 32))
    with ShardWriter(root / "images" / "000001.tar") as images:
        images.add("other", {"png": photo})
    with ShardWriter(root / "labels" / "000001.tar") as labels:
        labels.add("other", encode_labels(make_scene_labels(9, photo, (32, 32), **fields)))


@pytest.mark.parametrize(
    ("classes", "difference"),
    [
        (("sky", "box", "ground"), "class 1 is 'box' here, 'ground' there"),
        (("sky", "ground", "box", "tree"), "class 3 is 'tree' here, None there"),
    ],
)
def test_class_names_that_differ_between_shards_are_refused(
    tmp_path: Path, classes: tuple[str, ...], difference: str
) -> None:
    write_set(tmp_path, 2, shards=1)
    add_shard(tmp_path, classes=classes)
    message = (
        rf"labels/000001\.tar: other: expected the classes of .*labels/000000\.tar in their order; "
        rf"{difference}; train on label sets of the same classes, or without segment"
    )
    with pytest.raises(ValueError, match=message):
        all_samples(tmp_path)


def test_metric_and_affine_labels_do_not_mix(tmp_path: Path) -> None:
    write_set(tmp_path, 2, shards=1)
    add_shard(tmp_path, depth_kind="affine", depth_m=np.full((32, 32), 0.5, np.float32))
    message = r"other: expected metric depth as in .*000000\.tar, found affine; train on label sets"
    with pytest.raises(ValueError, match=message):
        all_samples(tmp_path)


def rewrite_labels(root: Path, change) -> None:
    """The first label shard anew: `change` takes and gives a list of (key, photograph)."""
    photos = change(list(read_photographs(root / "images" / "000000.tar")))
    with ShardWriter(root / "labels" / "000000.tar") as labels:
        for key, photo in photos:
            labels.add(key, encode_labels(make_scene_labels(0, photo, (32, 32))))


def test_labels_of_another_schema_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 1, shards=1)
    photo = make_photo(0, (32, 32))
    members = edit_head(encode_labels(make_scene_labels(0, photo, (32, 32))), schema=99)
    with ShardWriter(tmp_path / "labels" / "000000.tar") as labels:
        labels.add("photo-000", members)
    with pytest.raises(ValueError, match=r"000000.tar: photo-000: label.json: .*schema.*99"):
        open_set(tmp_path)


def test_a_label_without_its_photograph_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2, shards=1)
    rewrite_labels(tmp_path, lambda photos: [*photos, ("stray", b"photo")])
    message = r"labels/000000\.tar: stray: no such photograph in .*images/000000\.tar"
    with pytest.raises(ValueError, match=message):
        open_set(tmp_path)


def test_labels_in_another_order_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 3, shards=1)
    rewrite_labels(tmp_path, lambda photos: photos[::-1])
    message = r"labels/000000\.tar: photo-001: in another order than the photographs of .*images"
    with pytest.raises(ValueError, match=message):
        open_set(tmp_path)


def test_photographs_without_labels_are_passed_over(tmp_path: Path) -> None:
    write_set(tmp_path, 3, shards=1)
    rewrite_labels(tmp_path, lambda photos: photos[1:])
    assert all_samples(tmp_path).keys == ("photo-001", "photo-002")


def test_a_shard_that_changes_while_it_is_read_is_named(tmp_path: Path) -> None:
    shards = open_set(write_set(tmp_path, 3, shards=1))
    rewrite_labels(tmp_path, lambda photos: photos[1:])
    with pytest.raises(ValueError, match=r"labels/000000\.tar: changed while it was read; start"):
        shards[0]


def test_a_task_that_is_not_labelled_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 2, normal=None)
    pairs = match_shards(tmp_path / "images", tmp_path / "labels")
    with pytest.raises(ValueError, match="has no normal"):
        read_facts(pairs, TASKS)
    facts = read_facts(pairs, ("depth", "segment"))
    assert facts.tasks == ("depth", "segment")
    assert facts.classes == CLASSES
    assert read_facts(pairs, ("depth",)).classes == ()


def test_too_few_samples_are_refused(tmp_path: Path) -> None:
    shards = open_set(write_set(tmp_path, 2))
    with pytest.raises(ValueError, match="expected 9 samples, found 2"):
        Packed.stack((shards[row] for row in range(2)), 9)


def test_the_split_depends_on_the_key_alone() -> None:
    keys = [f"key{i}" for i in range(2000)]
    held = {key for key in keys if held_out(key, 0.25)}
    assert 400 < len(held) < 600
    assert held > {key for key in keys if held_out(key, 0.1)}
    assert not any(held_out(key, 0.0) for key in keys)
    assert held_out("key0", 0.25) == ("key0" in held)


def test_a_broken_photograph_is_named(tmp_path: Path) -> None:
    photo = make_photo(0, (32, 32))
    labels = make_scene_labels(0, photo, (32, 32))
    with pytest.raises(ValueError, match="shard: key"):
        pack_sample("key", photo[:100], labels, (32, 32), where="shard: key")


def test_empty_label_shards_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 1, shards=1)
    rewrite_labels(tmp_path, lambda photos: [])
    with pytest.raises(ValueError, match="labels: the label shards are empty; label photographs"):
        open_set(tmp_path)


def mixed(root: Path, *weights: int, **fields) -> LabelledShards:
    """Photographs labelled by two teachers: one says 2 m everywhere, the other 8 m."""
    for name, depth_m in (("near", 2), ("far", 8)):
        plane = np.full((32, 32), depth_m, np.float32)
        write_set(root / name, 6, depth_m=plane, **(fields if name == "far" else {}))
    sets = [
        LabelSet(images=root / name / "images", labels=root / name / "labels", weight=weight)
        for name, weight in zip(("near", "far"), weights, strict=True)
    ]
    pairs = match_sets(sets)
    return LabelledShards(pairs, read_facts(pairs, TASKS), (32, 32))


def test_two_teachers_of_the_same_photographs_are_sampled_never_averaged(tmp_path: Path) -> None:
    samples = stack(mixed(tmp_path, 1, 1)).unpack()
    found = dict.fromkeys(samples.keys, ())
    for key, depth in zip(samples.keys, samples.labels["depth"], strict=True):
        (metres,) = depth.unique().tolist()
        found[key] = (*found[key], round(metres, 2))
    assert len(found) == 6
    assert set(found.values()) == {(2.0, 8.0)}


def test_a_sample_of_a_heavier_set_stands_more_often_in_a_pass(tmp_path: Path) -> None:
    shards = mixed(tmp_path, 3, 1)
    rows = np.concatenate(shards.groups(np.ones(len(shards), bool)))
    assert np.bincount(rows).tolist() == [3] * 6 + [1] * 6


def test_sets_of_other_classes_are_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    message = (
        r"far/labels/000000\.tar: photo-000: expected the classes of .*near/labels/000000\.tar"
    )
    with pytest.raises(ValueError, match=message):
        mixed(tmp_path, 1, 1, classes=("sky", "ground", "tree"))


def test_a_set_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, 1)
    given = LabelSet(images=tmp_path / "images", labels=tmp_path / "labels")
    with pytest.raises(ValueError, match="labels: given twice; give it once, with a larger weight"):
        match_sets([given, given])


def test_a_weight_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weight: expected a whole number of at least 1, found 0"):
        LabelSet(images=tmp_path, labels=tmp_path, weight=0)

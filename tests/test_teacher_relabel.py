"""Labelling again what a label set is unsure of: which photographs, how, and who counts."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from jobs import label, photograph, shard_bytes, write_image_shards, write_images
from samples import make_labels, make_record
from tiny import build_teacher

from teacher.certainty import mean_confidence, task_confidence
from teacher.jobs.job import run_label_job
from teacher.jobs.job_config import LabelConfig
from teacher.jobs.relabel import unsure_keys
from teacher.jobs.status import job_status
from teacher.jobs.verify import VerifyConfig, verify
from teacher.sample import confidence_size
from teacher.shards import read_errors, read_manifest, read_pairs


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job: `images`, `labels`, `teacher`; one photograph is quarantined."""
    root = tmp_path_factory.mktemp("job")
    write_image_shards(root / "images")
    write_images(root / "images" / "000001.tar", {"bad": b"no image", "good": photograph(0)})
    build_teacher(root / "teacher", start="noise")
    label(root / "images", root / "labels", root / "teacher", max_bad_fraction=1)
    return root


def confidences(root: Path, labels: Path) -> dict[str, float]:
    """Shard and key -> mean confidence."""
    found = {}
    for tar in sorted(labels.glob("*.tar")):
        for key, _, labelled in read_pairs(root / "images" / tar.name, tar):
            found[f"{tar.stem}/{key}"] = mean_confidence(labelled)
    return found


def threshold(job: Path, share: float) -> float:
    """Below it lies this share of the labels."""
    return float(np.quantile(list(confidences(job, job / "labels").values()), share))


def relabel(job: Path, out: Path, below: float, **options: object):
    settings = {"votes": 2, "batch_size": 2, "teacher": str(job / "teacher"), **options}
    return run_label_job(
        LabelConfig(
            images=job / "images",
            out=out,
            parent=job / "labels",
            only_below_confidence=below,
            **settings,  # type: ignore[arg-type]
        )
    )


# Which photographs


def test_confidence_is_that_of_known_pixels() -> None:
    rows, columns = confidence_size((8, 10))
    depth_m = np.full((8, 10), 2.0, np.float32)
    depth_m[:4] = np.nan
    confidence = np.zeros((rows, columns, 3), np.uint8)
    confidence[1, :, 0] = 204  # the known half
    confidence[..., 2] = [51, 102, 255]  # of 4, 4 and 2 columns
    labels = make_labels(
        record=make_record(width_px=10, height_px=8),
        depth_m=depth_m,
        normal=np.zeros((8, 10, 3), np.float32),
        segment=np.zeros((8, 10), np.uint8),
        instance=None,
        confidence=confidence,
    )
    found = task_confidence(labels)
    assert found["depth"] == pytest.approx(0.8)
    assert found["normal"] == 0
    assert found["segment"] == pytest.approx((4 * 0.2 + 4 * 0.4 + 2 * 1.0) / 10)
    assert mean_confidence(labels) == pytest.approx(np.mean(list(found.values())))


def test_a_label_without_confidence_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match=r"the label has no confidence\.png"):
        task_confidence(make_labels(confidence=None))


def test_only_what_is_below_the_bound_is_labelled_again(job: Path, tmp_path: Path) -> None:
    below = threshold(job, 0.3)
    unsure = {name for name, sure in confidences(job, job / "labels").items() if sure < below}
    report = relabel(job, tmp_path / "better", below)
    assert report.labelled == len(unsure) > 0
    assert report.quarantined == 0
    assert set(confidences(job, tmp_path / "better")) == unsure


def test_the_new_set_names_its_parent_and_how_it_was_made(job: Path, tmp_path: Path) -> None:
    below = threshold(job, 0.3)
    relabel(job, tmp_path / "better", below, votes=3)
    parent, manifest = read_manifest(job / "labels"), read_manifest(tmp_path / "better")
    assert manifest.config["parent"] == {
        "job_id": parent.job_id,
        "only_below_confidence": below,
    }
    assert manifest.job_id != parent.job_id
    for shard in manifest.inputs:
        assert shard.keys == unsure_keys(job / "labels" / f"{shard.name}.tar", below)
        tar = f"{shard.name}.tar"
        for _, _, found in read_pairs(job / "images" / tar, tmp_path / "better" / tar):
            assert found.record.votes == 3
    assert "parent" not in parent.config
    assert all(shard.keys is None for shard in parent.inputs)


def test_it_resumes_and_ends_with_the_same_bytes(job: Path, tmp_path: Path) -> None:
    below = threshold(job, 0.5)
    relabel(job, tmp_path / "whole", below)
    first = relabel(job, tmp_path / "parts", below, shards="0")
    status = job_status(tmp_path / "parts")
    assert (first.shards_done, status.labelled) == (1, first.labelled)
    assert status.remaining > 0
    second = relabel(job, tmp_path / "parts", below)
    assert second.labelled_now == second.labelled - first.labelled
    assert job_status(tmp_path / "parts").remaining == 0
    assert shard_bytes(tmp_path / "parts") == shard_bytes(tmp_path / "whole")


def test_the_new_set_is_verified_by_its_own_plan(job: Path, tmp_path: Path) -> None:
    relabel(job, tmp_path / "better", threshold(job, 0.3))
    found: list[object] = []
    verify(VerifyConfig(labels=tmp_path / "better", images=job / "images"), found.append)
    assert found == []


# Who counts


def test_where_both_have_a_label_the_new_one_counts(job: Path, tmp_path: Path) -> None:
    relabel(job, tmp_path / "better", threshold(job, 0.5))
    newer = confidences(job, tmp_path / "better")
    for tar in sorted((job / "labels").glob("*.tar")):
        new = tmp_path / "better" / tar.name
        old_pairs = list(read_pairs(job / "images" / tar.name, tar))
        pairs = list(read_pairs(job / "images" / tar.name, tar, new if new.exists() else None))
        assert [key for key, _, _ in pairs] == [key for key, _, _ in old_pairs]
        for key, _, found in pairs:
            assert found.record.votes == (2 if f"{tar.stem}/{key}" in newer else 1)


def test_new_labels_of_another_set_are_refused(job: Path, tmp_path: Path) -> None:
    images = {"a": photograph(1), "b": photograph(2)}
    write_images(tmp_path / "images.tar", images)
    label(tmp_path / "images.tar", tmp_path / "other", job / "teacher")
    tars = (job / "labels" / "000000.tar", tmp_path / "other" / "images.tar")
    with pytest.raises(ValueError, match=r"images\.tar: a: not in .*000000\.tar$"):
        list(read_pairs(job / "images" / "000000.tar", *tars))


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"votes": 1}, "was labelled in just this way: give more --steps or --votes"),
        ({"tasks": "depth"}, "--tasks must be those of .*labels, depth,normal,segment"),
        ({"below": 0.0}, "no label has a mean confidence below 0"),
        ({"images": "000000"}, "--images has no shard 00000[123], which .*labels has labels of"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_planned(
    job: Path, tmp_path: Path, options: dict, message: str
) -> None:
    below = options.pop("below", threshold(job, 0.9))
    here = tmp_path / "copy"
    shutil.copytree(job, here)
    if options.pop("images", None):
        for name in ("000001", "000002", "000003"):
            (here / "images" / f"{name}.tar").unlink()
    with pytest.raises(ValueError, match=message):
        relabel(here, tmp_path / "better", below, **options)
    assert not (tmp_path / "better" / "manifest.json").exists()


def test_a_parent_that_is_not_complete_is_refused(job: Path, tmp_path: Path) -> None:
    shutil.copytree(job, tmp_path / "copy")
    (tmp_path / "copy" / "labels" / "000002.done.json").unlink()
    with pytest.raises(ValueError, match="1 shards, such as 000002, are not labelled yet"):
        relabel(tmp_path / "copy", tmp_path / "better", 0.9)


def test_another_bound_is_another_job(job: Path, tmp_path: Path) -> None:
    relabel(job, tmp_path / "better", threshold(job, 0.3))
    with pytest.raises(ValueError, match=r"parent\.only_below_confidence was 0\.\d+ and is now 1"):
        relabel(job, tmp_path / "better", 1.0)


def test_a_parent_needs_a_bound() -> None:
    with pytest.raises(ValueError, match="--parent and --only_below_confidence belong together"):
        LabelConfig(images=Path("images"), out=Path("labels"), parent=Path("labels"))


def test_the_quarantine_of_the_parent_is_left_alone(job: Path, tmp_path: Path) -> None:
    assert [error.key for error in read_errors(job / "labels", "000001")] == ["bad"]
    relabel(job, tmp_path / "better", 1.0)
    assert read_errors(tmp_path / "better", "000001") == []

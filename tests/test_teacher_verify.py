"""`potstill verify`: every kind of damage is found, named, and repaired by the next run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from jobs import label, photograph, shard_bytes, write_image_shards, write_images
from labelled import write_set
from samples import edit_head, make_label_members, make_labels, make_record
from tiny import build_teacher

from distill.main import main
from teacher.jobs.verify import VerifyConfig, VerifyReport, verify
from teacher.manifest import sample_seed
from teacher.members import LABEL_SUFFIXES
from teacher.planes import encode_classes, encode_confidence
from teacher.sample import encode_labels
from teacher.shards import (
    Marker,
    ShardWriter,
    is_committed,
    read_manifest,
    read_marker,
    read_photographs,
    read_shard,
    write_marker,
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job: `images`, `labels`, `teacher`; one photograph is quarantined."""
    root = tmp_path_factory.mktemp("job")
    write_image_shards(root / "images")
    write_images(root / "images" / "000001.tar", {"good": photograph(0), "bad": b"no image"})
    label(root / "images", root / "labels", build_teacher(root / "teacher"), max_bad_fraction=1)
    return root


@pytest.fixture
def data(job: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    for name in ("images", "labels"):
        shutil.copytree(job / name, tmp_path / name)
    return tmp_path


def check(data: Path, *, images: bool = True, **options: object) -> tuple[VerifyReport, list[str]]:
    found: list[str] = []
    photographs = data / "images" if images else None
    config = VerifyConfig(labels=data / "labels", images=photographs, **options)  # type: ignore[arg-type]
    report = verify(config, lambda defect: found.append(str(defect)))
    assert report.defects == len(found)
    return report, found


def samples_of(data: Path, shard: str) -> dict[str, dict[str, bytes]]:
    tar = data / "labels" / f"{shard}.tar"
    return {sample.key: sample.members for sample in read_shard(tar, suffixes=LABEL_SUFFIXES)}


def rewrite(data: Path, shard: str, samples: dict[str, dict[str, bytes]], **marker: object) -> None:
    """Write a label shard anew, with a marker that fits it, so that only its content is wrong."""
    folder = data / "labels"
    with ShardWriter(folder / f"{shard}.tar") as writer:
        for key, members in samples.items():
            writer.add(key, members)
    before = read_marker(folder, shard)
    assert before is not None
    fields = vars(before) | {"size_bytes": writer.size_bytes, "sha256": writer.sha256}
    write_marker(folder, Marker(**{**fields, "ok": len(samples), **marker}))


def spoil_member(data: Path, suffix: str, change: Callable[[bytes], bytes]) -> None:
    samples = samples_of(data, "000002")
    samples["s2p3"][suffix] = change(samples["s2p3"][suffix])
    rewrite(data, "000002", samples)


def test_a_sound_set_is_sound(data: Path) -> None:
    report, found = check(data)
    assert found == []
    assert (report.shards, report.missing, report.samples) == (4, 0, 22)
    tars = (data / "labels").glob("*.tar")
    assert report.size_bytes == sum(tar.stat().st_size for tar in tars)


def test_shards_that_are_not_labelled_yet_are_no_defect(data: Path) -> None:
    for file in (data / "labels").glob("000003.*"):
        file.unlink()
    report, found = check(data)
    assert found == []
    assert (report.shards, report.missing, report.samples) == (3, 1, 15)


def flip_a_byte(data: Path) -> None:
    path = data / "labels" / "000002.tar"
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 40] ^= 1
    path.write_bytes(content)


def cut(data: Path) -> None:
    path = data / "labels" / "000002.tar"
    path.write_bytes(path.read_bytes()[:3000])


def lose(data: Path) -> None:
    (data / "labels" / "000002.tar").unlink()


def spoil_marker(data: Path) -> None:
    (data / "labels" / "000002.done.json").write_text("{}")


def of_another_job(data: Path) -> None:
    marker = read_marker(data / "labels", "000002")
    assert marker is not None
    write_marker(data / "labels", Marker(**{**vars(marker), "job_id": "0" * 16}))


def drop_a_label(data: Path) -> None:
    samples = samples_of(data, "000002")
    del samples["s2p3"]
    rewrite(data, "000002", samples, ok=7)


def swap_labels(data: Path) -> None:
    samples = samples_of(data, "000002")
    rewrite(data, "000002", {key: samples[key] for key in sorted(samples, reverse=True)})


def add_a_stranger(data: Path) -> None:
    job_id = read_manifest(data / "labels").job_id
    record = make_record(b"x", seed=sample_seed(job_id, "zz"))
    stranger = encode_labels(make_labels(record=record))
    rewrite(data, "000002", {**samples_of(data, "000002"), "zz": stranger})


def of_another_photograph(data: Path) -> None:
    spoil_member(data, "label.json", lambda _: edited(data, photo_sha256="0" * 64))


def of_another_seed(data: Path) -> None:
    spoil_member(data, "label.json", lambda _: edited(data, seed=1))


def edited(data: Path, **fields: object) -> bytes:
    return edit_head(samples_of(data, "000002")["s2p3"], **fields)["label.json"]


def no_class(data: Path) -> None:
    spoil_member(data, "segment.png", lambda _: other_labels(data, "segment.png"))


def other_labels(data: Path, suffix: str) -> bytes:
    """The plane of a label of the same size with an id that no class has."""
    import numpy as np

    size = json.loads(samples_of(data, "000002")["s2p3"]["label.json"])
    shape = (size["height_px"], size["width_px"])
    if suffix == "segment.png":
        return encode_classes(np.full(shape, 99, np.uint8))
    return encode_confidence(np.full((2, 2, 3), 9, np.uint8))


def small_confidence(data: Path) -> None:
    spoil_member(data, "confidence.png", lambda _: other_labels(data, "confidence.png"))


def short_normals(data: Path) -> None:
    import numpy as np

    def dark(_: bytes) -> bytes:
        size = json.loads(samples_of(data, "000002")["s2p3"]["label.json"])
        return encode_confidence(np.full((size["height_px"], size["width_px"], 3), 130, np.uint8))

    spoil_member(data, "normal.png", dark)


def cut_a_plane(data: Path) -> None:
    spoil_member(data, "depth.png", lambda plane: plane[:-20])


def lose_a_plane(data: Path) -> None:
    samples = samples_of(data, "000002")
    del samples["s2p3"]["normal.png"]
    rewrite(data, "000002", samples)


def lose_the_quarantine(data: Path) -> None:
    (data / "labels" / "000001.errors.jsonl").unlink()


def spoil_the_quarantine(data: Path) -> None:
    (data / "labels" / "000001.errors.jsonl").write_text("{}\n")


DAMAGE = [
    (flip_a_byte, "000002: sha256 "),
    (cut, "000002: 3000 bytes, its marker says "),
    (lose, "000002: the shard is missing"),
    (spoil_marker, "000002: its marker cannot be read: "),
    (of_another_job, "000002: written by the job 0000000000000000, but the folder's is "),
    (drop_a_label, "000002: 6 labels, its marker says 7"),
    (drop_a_label, "000002/s2p3: neither labelled nor quarantined"),
    (swap_labels, "000002: labels in another order than the photographs"),
    (add_a_stranger, "000002/zz: labels of a photograph that is not in the image shard"),
    (of_another_photograph, "000002/s2p3: labels of another photograph than that"),
    (of_another_seed, "000002/s2p3: label.json: the seed is not that of this job and key"),
    (no_class, "000002/s2p3: segment: expected ids from 0 to 2, or 255 for ignore; found 99"),
    (small_confidence, "000002/s2p3: confidence.png: expected 12 x 8 pixels"),
    (short_normals, "000002/s2p3: normal.png: normals: expected vectors of length 1"),
    (cut_a_plane, "000002/s2p3: depth.png: the PNG file is truncated"),
    (lose_a_plane, "000002/s2p3: normal.png: missing"),
    (lose_the_quarantine, "000001: 0 quarantined, its marker says 1"),
    (spoil_the_quarantine, "000001: its quarantine cannot be read: "),
]


@pytest.mark.parametrize(("damage", "line"), DAMAGE)
def test_damage_is_named_with_the_way_out(
    data: Path, damage: Callable[[Path], None], line: str
) -> None:
    damage(data)
    report, found = check(data)
    assert report.broken == 1
    assert any(defect.startswith(line) for defect in found), found
    assert all(
        defect.endswith("delete the shard with --repair and label again") for defect in found
    )


@pytest.mark.parametrize("damage", [flip_a_byte, cut, lose, spoil_marker, lose_the_quarantine])
def test_what_is_broken_is_deleted_and_the_next_run_writes_it_again(
    job: Path, data: Path, damage: Callable[[Path], None]
) -> None:
    whole = shard_bytes(data / "labels")
    damage(data)
    report, _ = check(data, repair=True)
    assert report.deleted == 1
    assert len(list((data / "labels").glob("*.done.json"))) == 3
    again = label(data / "images", data / "labels", job / "teacher", max_bad_fraction=1)
    assert again.labelled_now in (1, 7)
    assert shard_bytes(data / "labels") == whole
    assert check(data)[1] == []


def test_photographs_that_changed_are_no_fault_of_the_labels(data: Path) -> None:
    photographs = dict(read_photographs(data / "images" / "000002.tar"))
    write_images(data / "images" / "000002.tar", {**photographs, "s2p3": photograph(9)})
    report, found = check(data, repair=True)
    assert [defect.split(":")[0] for defect in found] == ["000002", "000002/s2p3"]
    assert all(d.endswith("bring back the photographs that were labelled") for d in found)
    assert report.deleted == 0
    assert is_committed(data / "labels", "000002")
    assert check(data, images=False)[1] == []


def test_what_the_disk_does_not_give_is_no_reason_to_delete(data: Path) -> None:
    (data / "labels" / "000002.errors.jsonl").mkdir()
    report, (found,) = check(data, repair=True)
    assert found.startswith("000002: cannot be read: ")
    assert found.endswith("; mend the disk, or the rights to read it")
    assert report.deleted == 0


def test_ground_truth_is_checked_without_a_plan(tmp_path: Path) -> None:
    write_set(tmp_path, 4)
    report, found = check(tmp_path)
    assert (found, report.shards, report.samples) == ([], 2, 4)
    photographs = dict(read_photographs(tmp_path / "images" / "000000.tar"))
    with ShardWriter(tmp_path / "labels" / "000000.tar") as writer:
        for key, photo in photographs.items():
            writer.add(key, make_label_members(photo + b"other"))
    _, found = check(tmp_path)
    assert found[0].startswith("000000/photo-000: labels of another photograph")
    with pytest.raises(ValueError, match="--repair is for the labels of a labelling job"):
        check(tmp_path, repair=True)


def test_confidence_of_a_task_that_is_not_there_is_a_defect(tmp_path: Path) -> None:
    labels = make_labels(record=make_record(b"photo"))
    members = encode_labels(labels)
    tar = tmp_path / "labels" / "0.tar"
    tar.parent.mkdir()
    del members["depth.png"]
    head = json.loads(members["label.json"])
    names = [name for name in head["members"] if name != "depth.png"]
    members = edit_head(members, tasks=["normal", "segment"], members=names, depth=None)
    with ShardWriter(tar) as writer:
        writer.add("a", members)
    _, (found,) = check(tmp_path, images=False)
    assert found.startswith("0/a: confidence.png: above 0 for a task that is not labelled")


def test_the_command_tells_by_its_exit_code(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["verify", f"--labels={data / 'labels'}", f"--images={data / 'images'}"]
    assert main(arguments) == 0
    assert "4 shards, 22 labels" in capsys.readouterr().out
    cut(data)
    assert main([*arguments, "--repair"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("000002: 3000 bytes, its marker says ")
    assert lines[-1] == "deleted 1 shards; `potstill label` writes them again"
    assert main(arguments) == 0
    assert "1 shards not labelled yet; sound" in capsys.readouterr().out
    assert main(["verify", f"--labels={data / 'nowhere'}"]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
    assert main([*arguments, "--threads", "0"]) == 2
    assert "--threads must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--labels=s3://b/labels"], ["--images=s3://b/labels"]])
def test_a_url_is_refused_as_one(
    data: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["verify", f"--labels={data / 'labels'}", *options]) == 2
    assert "error: s3://b/labels: a URL where only a folder of this" in capsys.readouterr().err


def test_loose_photographs_are_refused_with_the_folder_of_their_shards(
    data: Path, tmp_path: Path
) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "a.jpg").write_bytes(photograph(0))
    with pytest.raises(ValueError, match=r"found none; .* labelled lay in .*images$"):
        verify(VerifyConfig(labels=data / "labels", images=loose), print)


def test_photographs_of_another_set_are_refused(data: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "other.tar", {"a": photograph(0)})
    config = VerifyConfig(labels=data / "labels", images=tmp_path / "other.tar")
    with pytest.raises(FileNotFoundError, match=r"other\.tar: no shard 000000\.tar, which "):
        verify(config, print)

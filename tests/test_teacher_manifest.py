"""The plan of a job, its markers and its quarantine."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from teacher.atomic import write_atomically
from teacher.shards import (
    InputShard,
    Manifest,
    Marker,
    Quarantined,
    ShardWriter,
    image_shards,
    inspect_shard,
    is_committed,
    plan_job_id,
    read_errors,
    read_manifest,
    read_marker,
    sample_seed,
    write_errors,
    write_manifest,
    write_marker,
)

SHA = "0f" * 32
INPUT = InputShard("/data/000000.tar", 10240, SHA, 3)
CONFIG = {"teacher": "still", "tasks": ["depth"], "steps": 1, "votes": None}
MANIFEST = Manifest("job", (INPUT, replace(INPUT, path="/data/000001.tar")), CONFIG)
MARKER = Marker("000000", 10240, SHA, 2, 1, "job", {"torch": "2.15"})


def write_photos(path: Path, *keys: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ShardWriter(path) as shard:
        for key in keys:
            shard.add(key, {"jpg": key.encode()})
    return path


# Inputs


def test_shards_are_found_by_file_folder_and_root(tmp_path):
    shards = [write_photos(tmp_path / f"images/{name}.tar", "a") for name in ("000001", "000000")]
    (tmp_path / "images/.000002.tar.0123.tmp").write_bytes(b"left by a killed writer")
    for path in (tmp_path, tmp_path / "images"):
        assert image_shards(path) == sorted(shards)
    assert image_shards(shards[0]) == [shards[0]]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere: no such file or folder; expected shards"
    ):
        image_shards(tmp_path / "nowhere")


def test_a_folder_without_shards_is_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"expected shards \(\*\.tar or images/\*\.tar\), found none$"
    ):
        image_shards(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/IMG.JPG").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"pack loose photographs such as IMG\.JPG into shards"):
        image_shards(tmp_path)


def test_a_file_that_is_no_shard_is_named(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"a\.zip: expected a \.tar shard"):
        image_shards(tmp_path / "a.zip")


def test_an_input_is_measured(tmp_path):
    path = write_photos(tmp_path / "0.tar", "a", "b")
    shard = inspect_shard(path)
    assert shard.path == str(path.resolve())
    assert shard.name == "0"
    assert shard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (shard.size_bytes, shard.count) == (path.stat().st_size, 2)


def test_an_empty_shard_is_named(tmp_path):
    path = write_photos(tmp_path / "1.tar")
    with pytest.raises(ValueError, match=r"1\.tar: an empty shard: expected members KEY\.jpg"):
        inspect_shard(path)


# Job id and seeds


def test_the_job_id_follows_from_contents_not_from_places(tmp_path):
    write_photos(tmp_path / "x/0.tar", "a")
    shutil.copytree(tmp_path / "x", tmp_path / "y")
    ids = {plan_job_id([inspect_shard(tmp_path / name / "0.tar")], CONFIG) for name in "xy"}
    assert len(ids) == 1
    inputs = (inspect_shard(tmp_path / "x/0.tar"),)
    assert plan_job_id(inputs, {**CONFIG, "steps": 2}) not in ids
    assert plan_job_id(inputs, dict(reversed(CONFIG.items()))) in ids
    assert plan_job_id((replace(inputs[0], sha256=SHA),), CONFIG) not in ids


def test_seeds_are_fixed_64_bit_and_differ():
    assert sample_seed("job", "000000") == int(hashlib.sha256(b"job/000000").hexdigest()[:16], 16)
    seeds = {sample_seed(job, f"{key:06d}") for job in ("a", "b") for key in range(500)}
    assert len(seeds) == 1000
    assert 2**63 < max(seeds) < 2**64


# Manifest


def test_a_manifest_returns(tmp_path):
    path = write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    before = path.read_bytes()
    write_manifest(tmp_path, read_manifest(tmp_path))
    assert path.read_bytes() == before


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json: not found; expected the plan"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": 2}, "expected schema version 1, found 2: install a newer potstill"),
        ({"job_id": ""}, "job_id: expected a text"),
        ({"inputs": []}, "inputs: expected at least one shard"),
        ({"inputs": {}}, "inputs: expected a list of shards"),
        ({"inputs": [{"path": "x"}]}, "missing fields"),
        ({"inputs": [INPUT.__dict__ | {"sha256": "x"}]}, "sha256: expected 64 hex digits"),
        ({"inputs": [INPUT.__dict__ | {"count": 0}]}, "count: expected an integer from 1"),
        ({"config": None}, "config: expected an object"),
        ({"colour": 1}, r"unknown fields \['colour'\]"),
    ],
)
def test_a_manifest_with_a_wrong_field_is_refused(tmp_path, fields, message):
    path = write_manifest(tmp_path, MANIFEST)
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(ValueError, match=rf"manifest\.json: .*{message}"):
        read_manifest(tmp_path)


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json: "):
        read_manifest(tmp_path)


# Markers


@pytest.mark.parametrize("name", ["000000", "000000.tar"])
def test_a_marker_returns(tmp_path, name):
    assert read_marker(tmp_path, name) is None
    assert write_marker(tmp_path, MARKER).name == "000000.done.json"
    assert read_marker(tmp_path, name) == MARKER


def test_a_shard_is_committed_with_marker_size_and_job(tmp_path):
    shard = tmp_path / "000000.tar"
    assert not is_committed(tmp_path, "000000")
    shard.write_bytes(bytes(10240))
    assert not is_committed(tmp_path, "000000")
    write_marker(tmp_path, MARKER)
    assert is_committed(tmp_path, "000000")
    assert is_committed(tmp_path, "000000.tar", job_id="job")
    assert not is_committed(tmp_path, "000000", job_id="other")
    shard.write_bytes(bytes(10239))
    assert not is_committed(tmp_path, "000000")
    shard.unlink()
    assert not is_committed(tmp_path, "000000")


@pytest.mark.parametrize(
    "text", ["", "{}", '{"shard": 1}', json.dumps(MARKER.__dict__ | {"ok": -1})]
)
def test_a_damaged_marker_is_named(tmp_path, text):
    (tmp_path / "000000.done.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"000000\.done\.json: .*delete it to label the shard again"
    ):
        is_committed(tmp_path, "000000")


# Quarantine


def test_a_quarantine_returns(tmp_path):
    errors = [Quarantined("b", "decode", "truncated\u2028 image"), Quarantined("ä", "label", "NaN")]
    assert read_errors(tmp_path, "0") == []
    path = write_errors(tmp_path, "0.tar", errors)
    assert path == tmp_path / "0.errors.jsonl"
    assert read_errors(tmp_path, "0") == errors
    assert write_errors(tmp_path, "0", []) is None
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_quarantine_names_file_and_line(tmp_path):
    good = json.dumps({"key": "a", "stage": "s", "reason": "r"})
    (tmp_path / "0.errors.jsonl").write_text(f"{good}\n{{}}\n")
    with pytest.raises(ValueError, match=r"0\.errors\.jsonl, line 2: missing fields"):
        read_errors(tmp_path, "0")


# Atomic files


def test_a_failed_write_keeps_the_former_file(tmp_path, monkeypatch):
    write_atomically(tmp_path / "a.json", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "a.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"old"

"""Label shards behind a URL: who is first wins, and a marker is always about its own tar."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from samples import make_label_members, make_photograph

from teacher.jobs.marker_index import INDEX_NAME, WRITE_FROM
from teacher.jobs.place import LocalPlace, Place, open_place
from teacher.jobs.remote import RemoteFolder
from teacher.manifest import InputShard, Manifest
from teacher.markers import Marker, Quarantined, marker_to_json, write_errors, write_marker
from teacher.provenance import sha256_file
from teacher.shards import ShardWriter

SHA = "0f" * 32
INPUT = InputShard("/data/000000.tar", 10240, SHA, 3)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield f"memory://{tmp_path.name}"
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{tmp_path.name}"):
        memory.rm(f"/{tmp_path.name}", recursive=True)


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Place:
    if request.param == "memory":
        return open_place(url)
    (tmp_path / "labels").mkdir()
    return open_place(tmp_path / "labels")


def write_labels(place: Place, name: str = "0", keys: str = "ab", dtype: str = "float32") -> Marker:
    """A label shard as a worker writes it; another dtype stands for other bits of a GPU."""
    with ShardWriter(place.folder / f"{name}.tar") as shard:
        for key in keys:
            members = make_label_members(make_photograph())
            record = json.loads(members["label.json"])
            members["label.json"] = json.dumps({**record, "note": dtype}).encode()
            shard.add(key, members)
    write_errors(place.folder, name, [Quarantined("x", "decode", "broken")])
    marker = Marker(name, shard.size_bytes, shard.sha256, len(keys), 1, "job")
    write_marker(place.folder, marker)
    return marker


def test_a_published_shard_is_found_with_its_marker_and_quarantine(place: Place) -> None:
    assert place.markers(["0", "1"], "job") == {}
    marker = place.publish(write_labels(place))
    assert place.markers(["0", "1"], "job") == {"0": marker}
    assert place.marker("0", "job") == marker
    assert place.marker("0", "other job") is None
    assert place.marker("1", "job") is None
    assert [error.key for error in place.errors("0")] == ["x"]
    assert place.errors("1") == []
    assert place.tars() == ["0.tar"]


def test_a_plan_is_frozen_once(url: str) -> None:
    manifest = Manifest("job", (INPUT,), {"steps": 1})
    first, second = open_place(url), open_place(url)
    assert first.read_manifest() is None
    assert first.freeze(manifest)
    assert not second.freeze(replace(manifest, job_id="other"))
    assert second.read_manifest() == manifest


def test_the_faster_of_two_workers_wins(url: str) -> None:
    fast, slow = open_place(url), open_place(url)
    ours, theirs = write_labels(fast), write_labels(slow, dtype="bfloat16")
    assert ours.sha256 != theirs.sha256
    assert fast.publish(ours) == ours
    assert slow.publish(theirs) == ours
    assert open_place(url).marker("0", "job") == ours


def test_the_tar_of_a_dead_worker_is_adopted(url: str, tmp_path: Path) -> None:
    """It died between the tar and the marker, or only seems to: then its marker says the same."""
    dead, alive = open_place(url), open_place(url)
    theirs = write_labels(dead)
    remote = RemoteFolder(url)
    assert remote.create("0.tar", dead.folder / "0.tar")
    published = alive.publish(write_labels(alive, dtype="bfloat16"))
    remote.fetch("0.tar", tmp_path / "0.tar")
    assert published.sha256 == theirs.sha256 == sha256_file(tmp_path / "0.tar")
    assert dead.publish(theirs) == published


def test_a_tar_of_other_samples_is_not_adopted(url: str) -> None:
    place = open_place(url)
    other = open_place(url)
    write_labels(other, keys="abc")
    assert RemoteFolder(url).create("0.tar", other.folder / "0.tar")
    with pytest.raises(ValueError, match=r"0\.tar has no marker and holds other samples .* delete"):
        place.publish(write_labels(place))
    assert place.marker("0", "job") is None


def test_a_marker_that_is_not_about_its_tar_is_no_commit(url: str) -> None:
    place = open_place(url)
    place.publish(write_labels(place))
    RemoteFolder(url).write("0.tar", b"cut")
    assert place.markers(["0"], "job") == {}
    with pytest.raises(ValueError, match=r"0\.done\.json does not belong to .*0\.tar: delete both"):
        place.publish(write_labels(place))


def test_what_the_disk_lost_is_not_published(url: str) -> None:
    place = open_place(url)
    marker = write_labels(place)
    (place.folder / "0.tar").write_bytes(b"rotten")
    with pytest.raises(OSError, match=r"0\.tar: not what was written to it"):
        place.publish(marker)
    assert RemoteFolder(url).list() == {}


def test_processes_take_remote_shards_in_orders_of_their_own(url: str, tmp_path: Path) -> None:
    shards = [replace(INPUT, path=f"/{n}.tar") for n in range(100)]
    assert LocalPlace(tmp_path).in_turn(shards) == shards
    orders = [open_place(url).in_turn(shards) for _ in range(2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0], key=lambda shard: int(shard.name)) == shards


def test_a_file_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(b"")
    with pytest.raises(ValueError, match="labels is a file: --out names the folder"):
        open_place(tmp_path / "labels")


# The index


@pytest.fixture
def many(url: str) -> list[str]:
    """Tars and markers of more shards than are read one by one."""
    remote = RemoteFolder(url)
    names = [f"{number:06d}" for number in range(WRITE_FROM)]
    for name in names:
        remote.write(f"{name}.tar", b"labels")
        remote.write(f"{name}.done.json", marker_to_json(Marker(name, 6, SHA, 7, 1, "job")))
    return names


def test_many_markers_are_read_once(url: str, many: list[str]) -> None:
    markers = open_place(url).markers(many, "job")
    assert sum(marker.ok for marker in markers.values()) == 7 * WRITE_FROM
    assert len(RemoteFolder(url).read(INDEX_NAME).splitlines()) == WRITE_FROM
    for name in many[1:]:  # the listing would show it; what they say is not asked for again
        fsspec.filesystem("memory").store[f"/{url[9:]}/{name}.done.json"].truncate(0)
    assert open_place(url).markers(many, "job") == markers


def test_the_index_is_never_trusted(url: str, many: list[str]) -> None:
    place, remote = open_place(url), RemoteFolder(url)
    place.markers(many, "job")
    newer = Marker(many[0], 6, SHA, 8, 0, "job")
    remote.write(f"{many[0]}.done.json", marker_to_json(newer))
    fsspec.filesystem("memory").rm(f"/{url[9:]}/{many[1]}.tar")
    found = place.markers(many, "job")
    assert found[many[0]] == newer
    assert many[1] not in found
    for damaged in (b"{}\n", b"text", b'{"stamp": 1, "marker": 2}\n'):
        remote.write(INDEX_NAME, damaged)
        assert place.markers(many, "job") == found

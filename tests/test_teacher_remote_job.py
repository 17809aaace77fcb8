"""A labelling job whose photographs and labels lie behind URLs: the same bytes, or nothing."""

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from buckets import Network, new_bucket, s3_server
from jobs import label, shard_bytes, write_image_shards
from tiny import build_teacher

from teacher.jobs.place import open_place
from teacher.jobs.remote import RemoteFolder
from teacher.markers import Marker
from teacher.shards import ShardWriter


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny", start="noise")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image_shards(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="module")
def whole(
    images: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What a local run leaves."""
    out = tmp_path_factory.mktemp("whole") / "labels"
    label(images, out, teacher, tasks="depth")
    return labels_only(shard_bytes(out))


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with s3_server() as network:
        yield network


@pytest.fixture
def s3(network: Network, tmp_path: Path) -> str:
    return new_bucket(tmp_path.name.replace("_", "-").lower())


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    yield f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


def upload(folder: Path, url: str) -> str:
    remote = RemoteFolder(url)
    for path in sorted(folder.glob("*.tar")):
        assert remote.create(path.name, path)
    return url


def labels_only(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without the manifest, which names places, and the cache."""
    return {n: data for n, data in files.items() if n.endswith((".tar", ".done.json", ".jsonl"))}


def remote_bytes(url: str) -> dict[str, bytes]:
    remote = RemoteFolder(url)
    return labels_only({name: remote.read(name) for name in remote.list()})


def test_the_same_bytes_as_locally(
    images: Path, teacher: Path, whole: dict[str, bytes], bucket: str
) -> None:
    shards = upload(images, f"{bucket}/shards")
    report = label(shards, f"{bucket}/labels", teacher, tasks="depth", shards="0-1")
    assert (report.labelled, report.shards_done) == (14, 2)
    report = label(shards, f"{bucket}/labels", teacher, tasks="depth")
    assert (report.labelled, report.labelled_now) == (28, 14)
    assert remote_bytes(f"{bucket}/labels") == whole
    assert "run.json" in RemoteFolder(f"{bucket}/labels").list()


def test_labels_go_to_a_url_from_a_local_folder_and_back(
    images: Path, teacher: Path, whole: dict[str, bytes], memory: str, tmp_path: Path
) -> None:
    label(images, f"{memory}/labels", teacher, tasks="depth")
    assert remote_bytes(f"{memory}/labels") == whole
    pattern = f"{upload(images, f'{memory}/shards')}/{{000000..000003}}.tar"
    label(pattern, tmp_path / "labels", teacher, tasks="depth")
    assert labels_only(shard_bytes(tmp_path / "labels")) == whole


@pytest.mark.parametrize("size_bytes", [200_000, pytest.param(120 * 2**20, marks=pytest.mark.slow)])
def test_an_upload_that_breaks_publishes_nothing(
    network: Network, s3: str, size_bytes: int
) -> None:
    """The connection is cut in the middle of the tar, as often as the client tries again; a large
    tar goes up in parts."""
    place = open_place(s3)
    with ShardWriter(place.folder / "0.tar") as shard:
        shard.add("a", {"jpg": bytes(size_bytes)})
    marker = Marker("0", shard.size_bytes, shard.sha256, 1, 0, "job")
    network.cut_after = size_bytes // 6
    with pytest.raises(OSError, match=rf"{s3}/0\.tar"):
        place.publish(marker)
    network.cut_after = None
    assert network.cuts
    assert RemoteFolder(s3).list() == {}


@pytest.mark.slow
def test_a_job_whose_uploads_break_goes_on_from_what_was_published(
    images: Path, teacher: Path, whole: dict[str, bytes], network: Network, s3: str
) -> None:
    out = f"{s3}/labels"
    label(images, out, teacher, tasks="depth", shards="0")
    network.cut_after = len(whole["000001.tar"]) // 2
    with pytest.raises(OSError, match=rf"{out}/00000[123]\.tar"):
        label(images, out, teacher, tasks="depth")
    network.cut_after = None
    assert network.cuts
    assert set(remote_bytes(out)) == {"000000.tar", "000000.done.json"}
    assert label(images, out, teacher, tasks="depth").labelled_now == 21
    assert remote_bytes(out) == whole


def test_a_shard_that_changed_behind_its_url_is_refused(
    images: Path, teacher: Path, memory: str
) -> None:
    shards, out = upload(images, f"{memory}/shards"), f"{memory}/labels"
    label(shards, out, teacher, tasks="depth", shards="0-2")
    data = bytearray((images / "000003.tar").read_bytes())
    data[700] ^= 1
    RemoteFolder(shards).write("000003.tar", bytes(data))
    with pytest.raises(ValueError, match=rf"{shards}/000003\.tar changed since the job was"):
        label(shards, out, teacher, tasks="depth")
    RemoteFolder(shards).write("000003.tar", bytes(data[:-512]))
    with pytest.raises(ValueError, match=r"shard 000003 had \d+ bytes and has \d+"):
        label(shards, out, teacher, tasks="depth")


def test_another_configuration_is_refused_behind_a_url_too(
    images: Path, teacher: Path, memory: str
) -> None:
    out = f"{memory}/labels"
    label(images, out, teacher, tasks="depth", shards="0")
    with pytest.raises(ValueError, match=rf"{out} belongs to another job \(tasks was \['depth'\]"):
        label(images, out, teacher, tasks="normal", shards="0")


def test_nothing_stays_on_this_machine(
    images: Path, teacher: Path, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    shards = upload(images, f"{memory}/shards")
    label(shards, f"{memory}/labels", teacher, tasks="depth", shards="0-1")
    gc.collect()
    assert list(scratch.iterdir()) == []

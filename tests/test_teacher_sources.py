"""What --images may name: files, folders, patterns, URLs, several of them."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from rich.console import Console

from teacher.jobs.plan import photograph_shards
from teacher.jobs.remote import RemoteFolder, is_url
from teacher.jobs.sources import find_sources, split_patterns
from teacher.measure import measure_shards
from teacher.shards import ShardWriter, inspect_shard


def write_shard(path: Path, *keys: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ShardWriter(path) as shard:
        for key in keys:
            shard.add(key, {"jpg": key.encode()})
    return path


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    return [write_shard(tmp_path / f"shards/{n:06d}.tar", f"k{n}") for n in range(3)]


@pytest.fixture
def bucket(shards: list[Path], tmp_path: Path) -> Iterator[str]:
    """The same shards in memory."""
    url = f"memory://{tmp_path.name}"
    for path in shards:
        RemoteFolder(f"{url}/shards").create(path.name, path)
    yield url
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def places(images: str | Path) -> list[str]:
    return [source.place for source in find_sources(images)]


def test_local_shards_are_found(shards: list[Path], tmp_path: Path) -> None:
    every = [str(path) for path in shards]
    folder = tmp_path / "shards"
    assert places(folder) == places(str(folder)) == places(f"file://{folder}") == every
    assert places(f"{folder}/{{000000..000002}}.tar") == every
    assert places(f"file://{folder}/{{000002..000001}}.tar") == every[:0:-1]
    assert places(f"{every[2]}, {folder}/00000{{0,1}}.tar") == [every[2], *every[:2]]
    (source,) = find_sources(every[1])
    assert (source.name, source.size_bytes) == ("000001", shards[1].stat().st_size)


def test_remote_shards_are_found(bucket: str) -> None:
    every = [f"{bucket}/shards/00000{n}.tar" for n in range(3)]
    assert places(f"{bucket}/shards") == places(f"{bucket}/shards/") == every
    assert places(f"{bucket}/shards/{{000000..000002}}.tar") == every
    assert places(every[1]) == [every[1]]
    assert [source.size_bytes for source in find_sources(f"{bucket}/shards")] == [10240] * 3


def test_remote_images_are_found_below_their_root(bucket: str, shards: list[Path]) -> None:
    RemoteFolder(f"{bucket}/set/images").create("0.tar", shards[0])
    assert places(f"{bucket}/set") == [f"{bucket}/set/images/0.tar"]


def test_a_folder_may_have_a_comma(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a,b" / "0.tar", "k")
    assert places(str(path.parent)) == [str(path)]
    assert split_patterns("a/{0,1}.tar,b.tar, c") == ["a/{0,1}.tar", "b.tar", "c"]


def test_missing_shards_of_a_pattern_are_named(shards: list[Path], bucket: str) -> None:
    folder = shards[0].parent
    for root in (str(folder), f"{bucket}/shards"):
        with pytest.raises(FileNotFoundError, match=r"2 of 4 shards are missing, such as .*000003"):
            find_sources(f"{root}/{{000001..000004}}.tar")
        with pytest.raises(FileNotFoundError, match=r"nowhere"):
            find_sources(f"{root}/nowhere.tar")


def test_an_unbalanced_pattern_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\{000000\.\.000002\.tar: "):
        find_sources(f"{tmp_path}/{{000000..000002.tar")


def test_a_remote_folder_without_shards_says_what_is_there(bucket: str) -> None:
    with pytest.raises(ValueError, match=r"nowhere: expected shards .*, found none$"):
        find_sources(f"{bucket}/nowhere")
    RemoteFolder(f"{bucket}/loose").write("IMG.JPG", b"x")
    with pytest.raises(ValueError, match=r"photographs such as IMG\.JPG must be packed into"):
        find_sources(f"{bucket}/loose")


def test_two_shards_of_one_name_are_refused(shards: list[Path], tmp_path: Path) -> None:
    other = write_shard(tmp_path / "other/000001.tar", "x")
    with pytest.raises(ValueError, match=r"other/000001\.tar: same shard name as .*shards/000001"):
        find_sources(f"{shards[0].parent},{other}")


def test_a_protocol_without_its_package_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(ValueError, match=r"s3://b/x: needs the package s3fs: pip install 'pot"):
        RemoteFolder("s3://b/x")
    with pytest.raises(ValueError, match="foo://x: Protocol not known"):
        RemoteFolder("foo://x")


def test_what_is_a_url() -> None:
    assert is_url("s3://bucket/x")
    assert not is_url("file:///x")
    assert not is_url("folder/x")
    assert not is_url(Path("s3://bucket"))


def test_loose_photographs_need_a_folder_for_their_shards(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match="name a folder for their shards with --packed"):
        photograph_shards(tmp_path, None)


# Measuring


def test_shards_are_measured_in_order_wherever_they_lie(
    shards: list[Path], bucket: str, tmp_path: Path
) -> None:
    local = measure_shards(find_sources(shards[0].parent), tmp_path / "notes")
    remote = measure_shards(find_sources(f"{bucket}/shards"), tmp_path / "notes")
    assert local == tuple(inspect_shard(path) for path in shards)
    assert [(s.name, s.sha256, s.count) for s in local] == [
        (s.name, s.sha256, s.count) for s in remote
    ]
    assert remote[0].path == f"{bucket}/shards/000000.tar"


def test_a_planning_that_was_killed_goes_on(shards: list[Path], tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    sources = find_sources(shards[0].parent)
    whole = measure_shards(sources, notes)
    known = notes.read_bytes()
    assert len(known.splitlines()) == 3
    assert measure_shards(sources, notes) == whole
    assert notes.read_bytes() == known  # nothing was measured again
    notes.write_bytes(known[:-9])  # killed while it wrote the last line
    assert measure_shards(sources, notes) == whole
    write_shard(shards[1], "k1", "k2")
    assert [s.count for s in measure_shards(find_sources(shards[0].parent), notes)] == [1, 2, 1]


def test_empty_shards_are_named_all_at_once(shards: list[Path], tmp_path: Path) -> None:
    write_shard(shards[0])
    shards[2].write_bytes(b"\x1f\x8bcompressed")
    with pytest.raises(ValueError, match=r"000000\.tar: an empty shard: .*found none; .*") as error:
        measure_shards(find_sources(shards[0].parent), tmp_path / "notes")
    assert "000002.tar: an empty shard" in str(error.value)
    assert "compressed with gzip: unpack it first" in str(error.value)


def test_broken_members_are_named_before_anything_is_labelled(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=io.StringIO(), width=400)
    monkeypatch.setattr("teacher.measure.console", console)
    shards[1].write_bytes(shards[1].read_bytes()[:2000])
    found = measure_shards(find_sources(shards[0].parent), tmp_path / "notes")
    assert [shard.count for shard in found] == [1, 2, 1]
    said = console.file.getvalue()
    assert "000001.tar: will be labelled without 000001.tar at byte 1024: cut or damaged" in said

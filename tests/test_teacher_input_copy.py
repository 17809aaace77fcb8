"""Shards from behind a URL lie on this machine while they are used, and no longer."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from teacher.jobs.input_copy import local_copies, local_copy
from teacher.jobs.remote import RemoteFolder
from teacher.manifest import InputShard
from teacher.provenance import sha256_file
from teacher.shards import ShardWriter


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[list[InputShard]]:
    """Four shards in memory."""
    url = f"memory://{tmp_path.name}"
    shards = []
    for number in range(4):
        path = tmp_path / f"{number}.tar"
        with ShardWriter(path) as shard:
            shard.add(f"k{number}", {"jpg": b"x"})
        RemoteFolder(url).create(path.name, path)
        shards.append(InputShard(f"{url}/{path.name}", shard.size_bytes, shard.sha256, 1))
    yield shards
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def test_one_shard_is_here_and_the_next_one_comes(scratch: Path, sources: list[InputShard]) -> None:
    for number, copy in enumerate(local_copies(sources)):
        assert sha256_file(Path(copy.path)) == sources[number].sha256
        assert copy.name == sources[number].name
        expected = {f"{n}.tar" for n in range(number, min(number + 2, 4))}
        for _ in range(200):
            if {path.name for path in scratch.glob("*/*.tar")} == expected:
                break
            time.sleep(0.01)
        else:
            pytest.fail(f"expected {expected}, found {list(scratch.glob('*/*'))}")
    assert list(scratch.iterdir()) == []


def test_who_stops_early_leaves_nothing(scratch: Path, sources: list[InputShard]) -> None:
    copies = local_copies(sources)
    next(copies)
    copies.close()
    assert list(scratch.iterdir()) == []


def test_local_shards_are_neither_copied_nor_asked_for_ahead(tmp_path: Path) -> None:
    asked = []

    def local() -> Iterator[InputShard]:
        for number in range(3):
            asked.append(number)
            yield InputShard(f"/data/{number}.tar", 1, "0" * 64, 1)

    for number, shard in enumerate(local_copies(local())):
        assert asked == list(range(number + 1))
        assert shard.path == f"/data/{number}.tar"


def test_a_shard_that_changed_is_refused_in_its_turn(
    scratch: Path, sources: list[InputShard]
) -> None:
    folder, _, name = sources[1].path.rpartition("/")
    RemoteFolder(folder).write(name, b"other bytes")
    copies = local_copies(sources)
    assert next(copies).name == "0"
    with pytest.raises(ValueError, match=rf"{sources[1].path} changed since the job was planned"):
        next(copies)
    with (
        pytest.raises(FileNotFoundError, match="nowhere"),
        local_copy(InputShard(f"{folder}/nowhere.tar", 1, "0" * 64, 1)),
    ):
        pass
    assert list(scratch.iterdir()) == []

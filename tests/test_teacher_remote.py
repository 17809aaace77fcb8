"""Files behind a URL are created once, whole or not at all, whatever the store answers."""

import errno
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from teacher.jobs.remote import CREATE_ATTEMPTS, MOST_LISTINGS, RemoteFolder, common_stems


class Answer(Exception):
    """What botocore raises, as s3fs keeps it."""

    def __init__(self, status: int) -> None:
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class Moody(MemoryFileSystem):
    """A store that answers creates with errors first; it stands for S3 ones, which moto cannot."""

    protocol = "moody"
    errors: tuple[OSError, ...] = ()

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if mode == "create" and type(self).errors:
            error, *rest = type(self).errors
            type(self).errors = tuple(rest)
            raise error
        super().pipe_file(path, value, mode=mode, **kwargs)


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteFolder:
    fsspec.register_implementation("moody", Moody, clobber=True)
    monkeypatch.setattr(Moody, "errors", ())
    monkeypatch.setattr("time.sleep", lambda _: None)
    return RemoteFolder(f"moody://{tmp_path.name}")


def conflict() -> OSError:
    error = OSError(errno.EIO, "ConditionalRequestConflict")
    error.__cause__ = Answer(409)
    return error


def test_a_conflict_is_tried_again(moody: RemoteFolder) -> None:
    Moody.errors = (conflict(), conflict())
    assert moody.create("a", b"one")
    assert not moody.create("a", b"two")
    assert moody.read("a") == b"one"


def test_a_conflict_that_never_ends_is_an_error(moody: RemoteFolder) -> None:
    Moody.errors = tuple(conflict() for _ in range(CREATE_ATTEMPTS))
    with pytest.raises(OSError, match=r"ConditionalRequestConflict.*/a'"):
        moody.create("a", b"one")
    assert moody.list() == {}


def test_another_ones_file_is_seen_whatever_the_error_is(moody: RemoteFolder) -> None:
    moody.write("a", b"theirs")
    Moody.errors = (OSError(errno.EINVAL, "At least one of the pre-conditions did not hold"),)
    assert not moody.create("a", b"ours")
    assert moody.read("a") == b"theirs"


def test_a_store_without_conditional_writes_takes_the_file(moody: RemoteFolder) -> None:
    Moody.errors = (OSError(errno.ENOSYS, "NotImplemented"),)
    assert moody.create("a", b"one")
    assert moody.read("a") == b"one"


def test_no_access_is_an_error_that_names_the_file(moody: RemoteFolder) -> None:
    Moody.errors = (PermissionError("Access Denied"),)
    with pytest.raises(OSError, match=r"PermissionError: Access Denied.*moody://.*/a'"):
        moody.create("a", b"one")


def test_a_missing_file_is_named(moody: RemoteFolder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        moody.read("nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        moody.fetch("nowhere", tmp_path / "x")
    assert moody.size_bytes("nowhere") is None
    assert moody.list() == {}


def test_a_listing_has_files_and_no_folders(moody: RemoteFolder) -> None:
    for name in ("b.tar", "a.tar", "deeper/c.tar"):
        moody.write(name, b"12345")
    assert [(name, file.size_bytes) for name, file in moody.list().items()] == [
        ("a.tar", 5),
        ("b.tar", 5),
    ]
    assert moody.list_like(["a"])["a.tar"] == moody.list()["a.tar"]


def test_stems_cover_all_names_and_are_few() -> None:
    assert common_stems([]) == [""]
    assert common_stems(["000007"]) == ["000007"]
    assert common_stems([f"{n:06d}" for n in range(10_000)]) == [f"00{n}" for n in range(10)]
    names = [f"{chr(65 + n)}{n}" for n in range(26)]
    assert common_stems(names) == [""]
    few = common_stems([f"{n:03d}" for n in range(MOST_LISTINGS)])
    assert len(few) == MOST_LISTINGS

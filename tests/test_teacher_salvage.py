"""Shards that nobody vouches for: no sound photograph is lost, and what is not used is named."""

import gzip
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from teacher.markers import Quarantined, read_errors, write_errors
from teacher.salvage import (
    MAX_PHOTO_BYTES,
    list_photographs,
    salvage_photographs,
    sound_photographs,
)
from teacher.shards import inspect_shard, read_photographs

SOUND = {"a": b"one" * 300, "b": b"two" * 300, "c": b"three" * 300}
END = bytes(1024)


def member(name: str, data: bytes = b"x", **fields: object) -> bytes:
    """Header and padded data of one member, GNU style."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    kind = fields.get("type")
    body = data if kind in (None, tarfile.REGTYPE) else b""
    return info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % 512)


def photo(key: str) -> bytes:
    return member(f"{key}.jpg", SOUND[key])


def with_pax(headers: dict[str, str], following: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    records = b"".join(_pax_record(name, value) for name, value in headers.items())
    return member("pax", records, type=kind)[:512] + _padded(records) + following


def _pax_record(name: str, value: str) -> bytes:
    body = f" {name}={value}\n".encode()
    length = len(body) + 2
    return f"{length}".encode() + body


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def lying(name: str, size_bytes: int, data: bytes = b"") -> bytes:
    """A member whose header claims another size than its data has."""
    header = bytearray(member(name))[:512]
    header[124:136] = b"\x80" + size_bytes.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + _padded(data)


def damaged(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[dict[str, bytes], list[Quarantined]]:
    items = list(salvage_photographs(path))
    bad = [item for item in items if isinstance(item, Quarantined)]
    return dict(item for item in items if not isinstance(item, Quarantined)), bad


BAD_MEMBERS: dict[str, tuple[bytes, str, str]] = {
    # between two sound members: bytes, the name that is reported, the reason
    "absolute path": (member("/etc/x.jpg"), "/etc/x.jpg", "leaves the shard"),
    "parent": (member("../x.jpg"), "../x.jpg", "leaves the shard"),
    "inner parent": (member("x/../../y.txt"), "x/../../y.txt", "leaves the shard"),
    "symbolic link": (
        member("x.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "x.jpg",
        "a link, device or sparse file",
    ),
    "hard link": (member("x.jpg", type=tarfile.LNKTYPE, linkname="a.jpg"), "x.jpg", "a link"),
    "character device": (member("x.jpg", type=tarfile.CHRTYPE), "x.jpg", "a link, device"),
    "block device": (member("x.jpg", type=tarfile.BLKTYPE), "x.jpg", "a link, device"),
    "fifo": (member("x.jpg", type=tarfile.FIFOTYPE), "x.jpg", "a link, device"),
    "sparse": (member("x.jpg", b"", type=tarfile.GNUTYPE_SPARSE), "x.jpg", "sparse"),
    "key twice": (photo("a"), "a.jpg", "a second photograph of key 'a'"),
    "key twice, other suffix": (member("a.PNG"), "a.PNG", "a second photograph of key 'a'"),
    "dot in key": (member("x.v2.jpg"), "x.v2.jpg", "a key with a dot"),
    "folder in key": (member("f/x.jpg"), "f/x.jpg", "without a dot or a slash"),
    "no key": (member(".jpg"), ".jpg", "expected printable text"),
    "line feed": (member("x\ny.jpg"), "'x\\ny.jpg'", "expected printable text"),
    "terminal escape": (member("\x1b[2Jx.jpg"), "'\\x1b[2Jx.jpg'", "expected printable text"),
    "broken encoding": (member("x\udcff.jpg"), "'x\\udcff.jpg'", "expected printable text"),
    "long GNU name": (member("x" * 300 + ".jpg"), "x" * 300 + ".jpg", "at most 80 bytes"),
    "PAX path that leaves": (
        with_pax({"path": "../../x.jpg"}, member("x.jpg")),
        "../../x.jpg",
        "leaves the shard",
    ),
    "PAX sparse": (
        with_pax({"GNU.sparse.major": "0", "GNU.sparse.size": "9"}, member("x.jpg")),
        "x.jpg",
        "sparse",
    ),
    "a terabyte": (lying("x.jpg", 2**40, b"data"), "x.jpg", f"claims {2**40} bytes, the file has"),
    "a little too much": (lying("x.jpg", 9999), "x.jpg", "claims 9999 bytes, the file has"),
    "PAX size": (with_pax({"size": "99999999"}, member("x.jpg")), "x.jpg", "claims 99999999 bytes"),
    "damaged header": (damaged(member("x.jpg")), "s.tar at byte 1536", "cut or damaged"),
    "overwritten blocks": (b"\xaa" * 5120, "s.tar at byte 1536", "cut or damaged"),
    "lost bytes": (member("x.txt", b"x" * 700)[:-300], "s.tar at byte 3072", "cut or damaged"),
    "lone zero block": (bytes(512), "s.tar at byte 1536", "cut or damaged"),
}


@pytest.mark.parametrize("kind", BAD_MEMBERS)
def test_a_bad_member_is_named_and_its_neighbours_are_kept(tmp_path: Path, kind: str) -> None:
    bad, name, reason = BAD_MEMBERS[kind]
    path = write(tmp_path / "s.tar", photo("a") + bad + photo("b") + photo("c") + END)
    found, (entry,) = read(path)
    assert found == SOUND
    assert (entry.key, entry.stage) == (name, "read")
    assert reason in entry.reason
    assert inspect_shard(path).count == 4
    write_errors(tmp_path, "s", [entry])
    assert read_errors(tmp_path, "s") == [entry]


PASSED_OVER: dict[str, bytes] = {
    "folder": member("folder", b"", type=tarfile.DIRTYPE),
    "pickle": member("a.pyd", b"cos\nsystem\n(S'true'\ntR.") + member("x.pkl", b"cos\nsystem\n"),
    "text": member("a.txt") + member("README"),
    "other picture of a key": member("a.seg.png"),
    "its own PAX path": with_pax({"path": "notes.txt"}, member("x.jpg")),
    "PAX that is nonsense": with_pax({"mtime": "nan", "uid": "9" * 60}, member("x.txt")),
}


@pytest.mark.parametrize("kind", PASSED_OVER)
def test_what_is_no_photograph_is_passed_over(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "s.tar", photo("a") + PASSED_OVER[kind] + photo("b") + photo("c") + END)
    assert read(path) == (SOUND, [])


WHOLE = b"".join(photo(key) for key in SOUND)
STARTS = {key: WHOLE.index(photo(key)) for key in SOUND}


def test_a_shard_that_is_cut_gives_what_stands_before_the_cut(tmp_path: Path) -> None:
    for length in sorted({*range(0, len(WHOLE + END), 97), *range(0, len(WHOLE + END), 512)}):
        found, (entry,) = read(write(tmp_path / "s.tar", (WHOLE + END)[:length]))
        ends = {key: STARTS[key] + 512 + len(data) for key, data in SOUND.items()}
        assert list(found) == [key for key, end in ends.items() if end <= length]
        assert entry.reason.startswith("no tar file") or "is lost" in entry.reason


def test_a_header_that_is_damaged_costs_its_member_alone(tmp_path: Path) -> None:
    for key, start in STARTS.items():
        path = write(tmp_path / "s.tar", damaged(WHOLE + END, start))
        found, (entry,) = read(path)
        assert found == {k: data for k, data in SOUND.items() if k != key}
        assert entry.key == f"s.tar at byte {start}"


def test_several_tars_in_one_file_are_read_to_the_end(tmp_path: Path) -> None:
    parts = [photo(key) + bytes(10240) for key in SOUND]
    assert read(write(tmp_path / "s.tar", b"".join(parts))) == (SOUND, [])
    found, (entry,) = read(write(tmp_path / "s.tar", b"".join(parts) + b"text"))
    assert found == SOUND
    assert "bytes after the end mark" in entry.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no tar file"),
        (b"text" * 1000, "no tar file"),
        (gzip.compress(photo("a") + END), "compressed with gzip: unpack it first"),
        (b"PK\x03\x04" + bytes(2000), "compressed with zip: unpack it first"),
    ],
)
def test_what_is_no_tar_is_one_entry(tmp_path: Path, data: bytes, reason: str) -> None:
    path = write(tmp_path / "s.tar", data)
    found, (entry,) = read(path)
    assert (found, entry.key) == ({}, "s.tar")
    assert reason in entry.reason
    with pytest.raises(ValueError, match=rf"s\.tar: an empty shard: .*{reason}"):
        inspect_shard(path)


def test_global_pax_headers_cannot_rename_photographs_into_one(tmp_path: Path) -> None:
    """The second of one name is quarantined, as always; nothing is written over."""
    tricky = with_pax({"path": "z.jpg"}, b"", kind=tarfile.XGLTYPE)
    path = write(tmp_path / "s.tar", tricky + photo("a") + photo("b") + END)
    found, bad = read(path)
    assert found == {"z": SOUND["a"]}
    assert [entry.key for entry in bad] == ["z.jpg"]


def test_a_claim_is_not_believed_with_memory(tmp_path: Path) -> None:
    """Long names and PAX records that claim gigabytes; chains of them; a photograph too large."""
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
        header = bytearray(lying("x", 2**33))
        header[156:157] = kind
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        found, (entry,) = read(write(tmp_path / "s.tar", bytes(header) + photo("a") + END))
        assert list(found) == ["a"]
        assert "that claims 8589934592 bytes" in entry.reason
    chain = member("x" * 200, b"")[:1024] * 5000  # each renames the next, at last the photograph
    found, bad = read(write(tmp_path / "s.tar", chain + photo("b") + photo("c") + END))
    assert list(found) == ["c"]
    assert {entry.reason for entry in bad} == {"a chain of extended headers that has no end"}
    with (tmp_path / "s.tar").open("wb") as file:
        file.write(lying("huge.jpg", MAX_PHOTO_BYTES + 512))
        file.seek(MAX_PHOTO_BYTES + 512, os.SEEK_CUR)
        file.write(photo("c") + END)
    found, (entry,) = read(tmp_path / "s.tar")
    assert list(found) == ["c"]
    assert f"too large: {MAX_PHOTO_BYTES + 512} bytes" in entry.reason


READ_ALL = """
import sys, tracemalloc
from pathlib import Path
from teacher.salvage import salvage_photographs

tracemalloc.start()
print(*[key for key, _ in salvage_photographs(Path(sys.argv[1]))])
print(tracemalloc.get_traced_memory()[1])
"""


def test_a_tar_of_very_many_empty_members_is_read_in_little_memory(tmp_path: Path) -> None:
    """In a process of its own, as threads that other tests left behind take memory too."""
    path = write(tmp_path / "s.tar", photo("a") + member("x.txt", b"") * 4_000 + photo("b") + END)
    command = [sys.executable, "-c", READ_ALL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    keys, peak = done.stdout.splitlines()
    assert keys == "a b"
    assert int(peak) < 2**21


def test_random_damage_never_raises_and_never_invents(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(400):
        data = bytearray(WHOLE + END)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            at = rng.randrange(len(data))
            del data[at : at + rng.randint(1, 600)]
        path = write(tmp_path / "s.tar", bytes(data))
        found, bad = read(path)
        assert len(found) + len(bad) == len(list_photographs(path))
        assert len(found) <= 3


def test_the_same_bytes_give_the_same_photographs_without_reading_them(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tar", photo("a") + member("/x.jpg") + photo("b") + END)
    listed = list_photographs(path)
    assert [getattr(item, "key", "") for item in listed] == ["a", "/x.jpg", "b"]
    assert dict(sound_photographs(path)) == {"a": SOUND["a"], "b": SOUND["b"]}


def test_sound_shards_are_read_as_the_strict_reader_does(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tar", WHOLE + END)
    assert list(sound_photographs(path)) == list(read_photographs(path))

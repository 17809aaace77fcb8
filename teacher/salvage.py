"""The photographs of a shard that nobody vouches for: what is sound is read, what is not is named.

A corpus of millions holds broken tars, and one bad member must not cost its neighbours. So nothing
here stops at damage: the walk goes on at the next header that can be found, and every member that
is not used becomes one entry of the quarantine, with the stage "read". The same bytes always give
the same photographs and entries. What our own labeller wrote is read strictly: teacher/shard_tar.py
"""

import tarfile
from collections.abc import Generator, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, cast

from teacher.markers import Quarantined
from teacher.members import PHOTO_SUFFIXES, split_member
from teacher.shard_tar import END_OF_TAR, check_safe

MAX_PHOTO_BYTES = 256 * 2**20
"""A larger file is no photograph that this program decodes, and is not read into memory."""

MAX_EXTENSION_BYTES = 2**20
"""Long names and PAX records of one member; tarfile would allocate whatever a header claims."""

BLOCK, MAGIC, MAGIC_AT = tarfile.BLOCKSIZE, b"ustar", 257
SCAN_BYTES = 2**20

COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}

BROKEN_HEADER = (tarfile.TarError, ValueError, OverflowError, LookupError)
"""What tarfile raises on hostile headers."""

TRAILING = "bytes after the end mark that are no tar"


class _Member(NamedTuple):
    """A file in a tar, and where its bytes lie."""

    name: str
    at: int
    size_bytes: int


class _Stop(NamedTuple):
    """Where a walk ended, and why unless at a proper end."""

    at: int
    scan_from: int
    """Where the next header may stand: the bytes of the last member may be fewer than it says."""
    reason: str
    name: str = ""
    """Of the member, where the damage is that of one."""


class PhotographMember(NamedTuple):
    """A sound photograph in a tar, and where its bytes lie."""

    key: str
    at: int
    size_bytes: int


def salvage_photographs(path: Path) -> Iterator[tuple[str, bytes] | Quarantined]:
    """Key and bytes of each sound photograph, and an entry for each unsafe or broken member.

    Refused by name, whatever their suffix: absolute paths, `..`, links, devices, sparse files, and
    members that reach past the end of the file. Of photographs also: keys with a dot or a slash,
    the second of one key, and files above MAX_PHOTO_BYTES. A damaged header, a cut end and bytes
    after the end mark are named by their position. Other members and folders are passed over, and
    nothing is ever unpacked or unpickled.
    """
    with path.open("rb") as file:
        for member in _photographs(file, path):
            if isinstance(member, Quarantined):
                yield member
            else:
                file.seek(member.at)
                yield member.key, file.read(member.size_bytes)


def sound_photographs(path: Path) -> Iterator[tuple[str, bytes]]:
    """Those of salvage_photographs that are sound."""
    return (item for item in salvage_photographs(path) if not isinstance(item, Quarantined))


def list_photographs(path: Path) -> list[PhotographMember | Quarantined]:
    """What salvage_photographs would give, in its order, from the headers alone."""
    with path.open("rb") as file:
        return list(_photographs(file, path))


def _photographs(file: BinaryIO, path: Path) -> Iterator[PhotographMember | Quarantined]:
    keys: set[str] = set()
    dotted: dict[str, str] = {}
    for member in _walk(file, path):
        if isinstance(member, Quarantined):
            yield member
            continue
        suffix = PurePosixPath(member.name).name.partition(".")[2].lower()
        if suffix not in PHOTO_SUFFIXES:
            if suffix.endswith(tuple(f".{wanted}" for wanted in PHOTO_SUFFIXES)):
                dotted[member.name] = member.name.partition(".")[0]
            continue
        try:
            key, _ = split_member(member.name)
            _check_photograph(key, keys, member.size_bytes)
        except ValueError as error:
            yield _entry(member.name, str(error))
            continue
        keys.add(key)
        yield PhotographMember(key, member.at, member.size_bytes)
    # KEY.seg.png belongs to KEY.jpg; without one it is a photograph whose name has a dot too many.
    lost = [name for name, key in dotted.items() if key not in keys]
    yield from (_entry(name, "a key with a dot; rename the file") for name in lost)


def _check_photograph(key: str, keys: set[str], size_bytes: int) -> None:
    if key in keys:
        raise ValueError(f"a second photograph of key {key!r}; the first is used")
    if size_bytes > MAX_PHOTO_BYTES:
        raise ValueError(f"too large: {size_bytes} bytes, expected at most {MAX_PHOTO_BYTES}")


def _walk(file: BinaryIO, path: Path) -> Iterator[_Member | Quarantined]:
    """The safe files of a tar in their order, and an entry for whatever is not one."""
    end = path.stat().st_size
    at: int | None = 0
    while at is not None:
        stop = yield from _walk_from(file, at, end)
        if not stop.reason:
            return
        at = _find_header(file, stop.scan_from, end)
        if stop.reason == TRAILING and at is not None:
            continue  # several tars in one file, as `cat` makes them: nothing is lost
        if stop.at == 0 and at is None and not stop.name:
            yield _entry(path.name, f"no tar file{_compression(file)}")
        else:
            lost = "" if at is not None else "; what may have followed is lost"
            yield _entry(stop.name or f"{path.name} at byte {stop.at}", stop.reason + lost)


def _walk_from(
    file: BinaryIO, start: int, end: int
) -> Generator[_Member | Quarantined, None, _Stop]:
    """Walk from a header on, for as long as one follows the other."""
    at, scan_from = start, start + BLOCK
    try:
        window = cast(BinaryIO, _Window(file, start))
        with tarfile.open(fileobj=window, mode="r:", encoding="utf-8") as tar:
            while info := tar.next():
                member = _Member(info.name, start + info.offset_data, info.size)
                scan_from = member.at
                if member.size_bytes < 0 or member.at + member.size_bytes > end:
                    left = f"claims {member.size_bytes} bytes, the file has {end - member.at} left"
                    return _Stop(at, scan_from, left, info.name)
                try:
                    check_safe(info)
                    if not info.isdir():
                        yield member
                except ValueError as error:
                    yield _entry(info.name, str(error))
                at = start + tar.offset
                # tarfile keeps them all: a million empty ones would fill the memory.
                tar.members.clear()  # type: ignore[attr-defined]
    except RecursionError:  # go on where it gave up: to try each link would take a square of time
        return _Stop(at, file.tell(), "a chain of extended headers that has no end")
    except BROKEN_HEADER as error:
        return _Stop(at, scan_from, f"damaged header: {' '.join(str(error).split())}")
    problem = _end_problem(file, at, end)
    return _Stop(at, at if problem == TRAILING else scan_from, problem)


def _end_problem(file: BinaryIO, at: int, end: int) -> str:
    """tarfile takes a file that ends between two members for a whole one; the end mark tells."""
    file.seek(at)
    if file.read(len(END_OF_TAR)) != END_OF_TAR:
        return "cut or damaged: neither a header nor the end mark stands here"
    while chunk := file.read(SCAN_BYTES):
        if chunk.strip(b"\0"):
            return TRAILING
    return ""


def _find_header(file: BinaryIO, start: int, end: int) -> int | None:
    """Place of the next header, from `start` on, whose checksum is right."""
    for chunk_at in range(start, end, SCAN_BYTES):
        file.seek(chunk_at)
        chunk = file.read(SCAN_BYTES + BLOCK)  # a header may lie across two chunks
        found = chunk.find(MAGIC, MAGIC_AT)
        while 0 <= found < SCAN_BYTES + MAGIC_AT:
            if _is_header(chunk[found - MAGIC_AT :][:BLOCK]):
                return chunk_at + found - MAGIC_AT
            found = chunk.find(MAGIC, found + 1)
    return None


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except BROKEN_HEADER:
        return False
    return True


class _Window:
    """A file from one header on, as tarfile wants it; refuses to read as much as a liar claims."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start
        file.seek(start)

    def read(self, size_bytes: int) -> bytes:
        if size_bytes > MAX_EXTENSION_BYTES:
            raise tarfile.HeaderError(f"a name or PAX record that claims {size_bytes} bytes")
        return self._file.read(size_bytes)

    def seek(self, place: int) -> None:
        self._file.seek(self._start + place)

    def tell(self) -> int:
        return self._file.tell() - self._start


def _compression(file: BinaryIO) -> str:
    """What to say of a file that begins like a compressed one."""
    file.seek(0)
    start = file.read(max(map(len, COMPRESSED)))
    kinds = [kind for magic, kind in COMPRESSED.items() if start.startswith(magic)]
    return f", but compressed with {kinds[0]}: unpack it first" if kinds else ""


def _entry(name: str, reason: str) -> Quarantined:
    """Control characters and broken encodings in a name must reach neither a terminal nor JSON."""
    shown = name if name and name.isprintable() else ascii(name)
    return Quarantined(shown, "read", reason)

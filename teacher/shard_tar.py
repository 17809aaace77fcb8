"""One shard as a tar file: reading that trusts nothing, writing that leaves nothing half done."""

import hashlib
import io
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self, cast

from teacher.atomic import atomic_file
from teacher.members import LABEL_SUFFIXES, PHOTO_SUFFIXES, member_name, split_member

END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
FILE_MODE = 0o644


@dataclass(frozen=True)
class RawSample:
    """The members of one key that a reader asked for."""

    key: str
    members: dict[str, bytes]
    """Suffix -> bytes; never empty."""


class SamplePlace(NamedTuple):
    """A sample in a shard, and where its members lie: a piece of the file that is a tar itself."""

    key: str
    at: int
    size_bytes: int


def read_shard(path: Path, *, suffixes: Collection[str]) -> Iterator[RawSample]:
    """The samples of a shard in the order of the file, with the members of these suffixes only.

    Members of other suffixes and folders are passed over; a sample without any of the suffixes is
    left out. Nothing is unpacked to disk. Raises ValueError naming the file (before or after the
    sound samples) when it is truncated or no plain tar, when a member is a link, a device or sparse
    or has an absolute path or `..`, and when members of one key are doubled or not adjacent, or a
    key has a dot or a slash.
    """
    with _open_shard(path) as tar:
        for key, members in _group(_plain_members(tar, suffixes)):
            yield RawSample(key, {suffix: _read(tar, info) for suffix, info in members.items()})
        _check_end(tar)


def list_samples(path: Path, *, suffixes: Collection[str]) -> list[SamplePlace]:
    """Where the samples of read_shard lie, from the headers alone. Raises ValueError as it does."""
    with _open_shard(path) as tar:
        places = [
            _place(key, tuple(members.values()))
            for key, members in _group(_plain_members(tar, suffixes))
        ]
        _check_end(tar)
    return places


def read_sample(path: Path, place: SamplePlace, *, suffixes: Collection[str]) -> RawSample:
    """One sample of a shard, from where list_samples found it.

    Raises ValueError naming the file when another sample lies there: the file has changed since.
    """
    with path.open("rb") as file:
        file.seek(place.at)
        piece = io.BytesIO(file.read(place.size_bytes))
    try:
        with tarfile.open(fileobj=piece, mode="r:", encoding="utf-8") as tar:
            for key, members in _group(_plain_members(tar, suffixes)):
                if key == place.key:
                    return RawSample(key, {s: _read(tar, info) for s, info in members.items()})
    except (tarfile.TarError, ValueError):
        pass
    raise ValueError(f"{path}: changed while it was read; start again")


@contextmanager
def _open_shard(path: Path) -> Iterator[tarfile.TarFile]:
    """A plain tar; what goes wrong within is told with its name."""
    try:
        with tarfile.open(path, "r:", encoding="utf-8") as tar:
            yield tar
    except (tarfile.TarError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _read(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    return cast(io.BufferedReader, tar.extractfile(info)).read()


def _place(key: str, members: Sequence[tarfile.TarInfo]) -> SamplePlace:
    """From the first header to the end of the last member's last block."""
    start, last = members[0].offset, members[-1]
    blocks = -(-last.size // tarfile.BLOCKSIZE)
    return SamplePlace(key, start, last.offset_data + blocks * tarfile.BLOCKSIZE - start)


def read_photographs(path: Path) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of each photograph of a shard. Raises ValueError as read_shard does, and when a
    key has two photographs."""
    for sample in read_shard(path, suffixes=PHOTO_SUFFIXES):
        if len(sample.members) > 1:
            found = sorted(sample.members)
            raise ValueError(f"{path}: key {sample.key!r} has several photographs: {found}")
        yield sample.key, next(iter(sample.members.values()))


def _plain_members(
    tar: tarfile.TarFile, suffixes: Collection[str]
) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Key, suffix and header of the members of these suffixes, in the order of the file."""
    keys: set[str] = set()
    dotted: dict[str, str] = {}
    for info in tar:
        check_safe(info)
        if info.isdir():
            continue
        suffix = PurePosixPath(info.name).name.partition(".")[2].lower()
        if suffix in suffixes:
            key, _ = split_member(info.name)
            keys.add(key)
            yield key, suffix, info
        elif suffix.endswith(tuple(f".{wanted}" for wanted in suffixes)):
            dotted[info.name.partition(".")[0]] = info.name
    if lost := [name for key, name in dotted.items() if key not in keys]:
        raise ValueError(f"member {lost[0]!r}: expected a key without a dot; rename the file")


def check_safe(info: tarfile.TarInfo) -> None:
    """Raise ValueError for a member that is no plain file or folder inside the shard."""
    path = PurePosixPath(info.name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"member {info.name!r}: a path that leaves the shard; refused")
    if not (info.isdir() or info.isreg()) or info.issparse() or info.size < 0:
        raise ValueError(f"member {info.name!r}: a link, device or sparse file; only plain files")


def _group(
    members: Iterator[tuple[str, str, tarfile.TarInfo]],
) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """Join adjacent members of one key: the key, and suffix -> header."""
    done: set[str] = set()
    for key, adjacent in groupby(members, itemgetter(0)):
        if key in done:
            raise ValueError(f"members of key {key!r} are not adjacent; sort the tar by name")
        done.add(key)
        joined: dict[str, tarfile.TarInfo] = {}
        for _, suffix, info in adjacent:
            if suffix in joined:
                raise ValueError(f"member {key}.{suffix} occurs twice")
            joined[suffix] = info
        yield key, joined


def _check_end(tar: tarfile.TarFile) -> None:
    """tarfile takes a file that ends between two members for a whole one; the end mark tells."""
    file = cast(BinaryIO, tar.fileobj)
    file.seek(tar.offset)
    if file.read(len(END_OF_TAR)) != END_OF_TAR:
        raise ValueError("the tar file is truncated or damaged: it has no end mark")


class ShardWriter:
    """A new shard: the same samples give the same bytes, and the file appears whole or not at all.

        with ShardWriter(folder / "000000.tar") as shard:
            shard.add("000042", {"jpg": photograph})

    An exception inside the block leaves nothing behind. After the block, size_bytes, sha256 and
    count describe the file.
    """

    size_bytes: int
    sha256: str

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._keys: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._file = _HashingFile(self._stack.enter_context(atomic_file(self.path)))
        self._tar = self._stack.enter_context(
            tarfile.open(
                fileobj=cast(BinaryIO, self._file),
                mode="w:",
                format=tarfile.USTAR_FORMAT,
                encoding="utf-8",
            )
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if error is None:
            self.size_bytes = self._file.size_bytes
            self.sha256 = self._file.digest.hexdigest()

    def add(self, key: str, members: Mapping[str, bytes]) -> None:
        """Append a sample: suffix -> bytes, written in the order of the suffixes' names.

        Raises ValueError when the key is unfit or was added before, or a suffix is not one of a
        photograph's or a label's.
        """
        if key in self._keys:
            raise ValueError(f"{self.path}: key {key!r} was added before")
        if not members or set(members) - {*PHOTO_SUFFIXES, *LABEL_SUFFIXES}:
            raise ValueError(f"{self.path}: key {key!r}: unexpected members {sorted(members)}")
        for suffix in sorted(members):
            info = tarfile.TarInfo(member_name(key, suffix))
            info.size, info.mode = len(members[suffix]), FILE_MODE
            self._tar.addfile(info, io.BytesIO(members[suffix]))
        self._keys.add(key)
        self.count += 1


class _HashingFile:
    """Passes writes on and keeps their sha256: that of the intended bytes, not of those on disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self.size_bytes

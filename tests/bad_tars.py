"""Tars as collections of photographs come in: hostile members, and files that are broken.

bad_members()  members that are quarantined, whatever stands around them
bad_shards()   tars that are cut or damaged, of which some photographs can be saved
no_shards()    files without a single photograph that could be read
"""

import gzip
import io
import pickle
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from samples import make_photograph

SIZE_PX = 40


@dataclass(frozen=True)
class BadMember:
    """A member that must not be used."""

    shown: str
    """Its name in the quarantine, or a part of it."""
    reason: str
    """A pattern."""
    write: Callable[[tarfile.TarFile], None]


def add(tar: tarfile.TarFile, name: str, data: bytes, **fields) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def odd(name: str, kind: bytes, target: str = "") -> Callable[[tarfile.TarFile], None]:
    """A member that is no plain file."""

    def write(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        tar.addfile(info)

    return write


def file(*names: str) -> Callable[[tarfile.TarFile], None]:
    """Sound photographs under these names."""

    def write(tar: tarfile.TarFile) -> None:
        for seed, name in enumerate(names):
            add(tar, name, make_photograph(seed, height_px=SIZE_PX, width_px=SIZE_PX))

    return write


def bad_members() -> dict[str, BadMember]:
    """Name of the kind -> what is written into a tar, and what the quarantine should say."""
    leaves, link = "a path that leaves the shard", "a link, device or sparse file"
    return {
        "absolute-path": BadMember("/etc/absolute.jpg", leaves, file("/etc/absolute.jpg")),
        "parent-path": BadMember("../parent.jpg", leaves, file("../parent.jpg")),
        "hidden-parent-path": BadMember("x/../../h.jpg", leaves, file("x/../../h.jpg")),
        "symbolic-link": BadMember("sym.jpg", link, odd("sym.jpg", tarfile.SYMTYPE, "/etc/passwd")),
        "hard-link": BadMember("hard.jpg", link, odd("hard.jpg", tarfile.LNKTYPE, "good-000.jpg")),
        "character-device": BadMember("char.jpg", link, odd("char.jpg", tarfile.CHRTYPE)),
        "block-device": BadMember("block.jpg", link, odd("block.jpg", tarfile.BLKTYPE)),
        "pipe": BadMember("fifo.jpg", link, odd("fifo.jpg", tarfile.FIFOTYPE)),
        "sparse-file": BadMember("sparse.jpg", link, odd("sparse.jpg", tarfile.GNUTYPE_SPARSE)),
        "link-that-is-no-photograph": BadMember("l.txt", link, odd("l.txt", tarfile.SYMTYPE, "x")),
        "dot-in-the-key": BadMember("img.v2.jpg", "dot", file("img.v2.jpg")),
        "folder-in-the-key": BadMember("folder/a.jpg", "dot or a slash", file("folder/a.jpg")),
        "back-slash-in-the-key": BadMember("a\\b.jpg", "dot or a slash", file("a\\b.jpg")),
        "no-key": BadMember(".jpg", "printable text", file(".jpg")),
        "line-break-in-the-key": BadMember("line", "printable text", file("line\nbreak.jpg")),
        "terminal-escape-in-the-key": BadMember("escape", "printable", file("escape\x1b[2J.jpg")),
        "endless-key": BadMember("x" * 81, "at most 80 bytes", file("x" * 81 + ".jpg")),
        "broken-utf-8": BadMember("caf", "printable", file("caf\udce9.jpg")),
        "doubled-member": BadMember("double.jpg", "second photograph", file(*["double.jpg"] * 2)),
        "two-formats-of-a-key": BadMember(
            "both.png", "second photograph", file("both.jpg", "both.png")
        ),
        "members-that-are-not-adjacent": BadMember(
            "apart.png", "second photograph", file("apart.jpg", "between.jpg", "apart.png")
        ),
    }  # fmt: skip


ALSO_GOOD = ("double", "both", "apart", "between")
"""Keys of sound photographs that come with bad members."""


def write_members(tar: tarfile.TarFile, kinds: Sequence[BadMember]) -> None:
    """Good photographs, good-000 and so on, a bad member after each, and what is passed over."""
    for number, kind in enumerate(kinds):
        file(f"good-{number:03d}.jpg")(tar)
        kind.write(tar)
    add(tar, "harmless.pkl", pickle.dumps("never loaded"))
    add(tar, "good-000.json", b"{}")
    odd("folder", tarfile.DIRTYPE)(tar)


# Tars that are broken as a whole


def sound_tar(prefix: str, count: int = 3, format: int = tarfile.GNU_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=format) as tar:
        file(*[f"{prefix}-{n}.jpg" for n in range(count)])(tar)
    return data.getvalue()


def spoiled(data: bytes, place: int) -> bytes:
    broken = bytearray(data)
    broken[place] ^= 0xFF
    return bytes(broken)


def claiming(data: bytes, place: int, size_bytes: int) -> bytes:
    """The tar with another size in the header at a place, its checksum made right."""
    header = bytearray(data[place : place + 512])
    header[124:136] = b"\x80" + size_bytes.to_bytes(11, "big", signed=True)
    if size_bytes < 0:
        header[124] = 0xFF
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:place] + bytes(header) + data[place + 512 :]


def member_at(data: bytes, number: int) -> int:
    """Place of a member's header."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmembers()[number].offset


def bad_shards() -> dict[str, tuple[bytes, int]]:
    """Name -> a tar that is broken, and how many of its three photographs can be saved.

    The photographs' keys are the name with -0, -1, -2.
    """

    def tar(name: str) -> bytes:
        return sound_tar(name)

    second = member_at(tar("any-name"), 1)
    return {
        "cut-in-a-photograph": (tar("cut-in-a-photograph")[: second + 700], 1),
        "cut-in-a-header": (tar("cut-in-a-header")[: second + 100], 1),
        "without-end-mark": (tar("without-end-mark")[:second], 1),
        "damaged-header": (spoiled(tar("damaged-header"), second + 5), 2),
        "huge-size": (claiming(tar("huge-size"), second, 2**60), 2),
        "negative-size": (claiming(tar("negative-size"), second, -1024), 2),
        "noise-after-the-end": (tar("noise-after-the-end") + b"noise" * 999, 3),
    }


def no_shards() -> dict[str, bytes]:
    """Name -> a file that is called a shard, and holds nothing."""
    only_text = io.BytesIO()
    with tarfile.open(fileobj=only_text, mode="w") as tar:
        add(tar, "README.txt", b"photographs will follow")
    return {
        "zero-bytes": b"",
        "empty-tar": bytes(10_240),
        "web-page": b"<!doctype html><title>404 Not Found</title>" * 100,
        "compressed": gzip.compress(sound_tar("compressed")),
        "without-photographs": only_text.getvalue(),
    }

"""Shards: what is written, what is read, and the tars that are refused."""

import hashlib
import io
import os
import signal
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from samples import make_label_members, make_labels, make_photograph, make_record

from teacher.sample import LABEL_SUFFIXES, PHOTO_SUFFIXES, encode_labels
from teacher.shard_tar import list_samples, read_sample
from teacher.shards import RawSample, ShardWriter, read_pairs, read_photographs, read_shard

FEW = {"a": {"jpg": b"one"}, "b": {"png": b"two"}, "c": {"jpg": b""}}
KEYS = st.text(st.characters(exclude_characters="./\\", codec="utf-8"), min_size=1, max_size=20)
KEYS = KEYS.filter(str.isprintable)


def write_shard(path: Path, samples: dict[str, dict[str, bytes]]) -> ShardWriter:
    with ShardWriter(path) as shard:
        for key, members in samples.items():
            shard.add(key, members)
    return shard


def write_tar(path: Path, *members: tuple[str, bytes] | tarfile.TarInfo, format: int = 0) -> Path:
    """A tar as other programs may write it."""
    with tarfile.open(path, "w", format=format or tarfile.PAX_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def odd_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def read_all(path: Path, suffixes=PHOTO_SUFFIXES) -> list[RawSample]:
    return list(read_shard(path, suffixes=suffixes))


# Writing


def test_a_shard_is_the_same_file_every_time(tmp_path, monkeypatch):
    one = write_shard(tmp_path / "one.tar", FEW)
    monkeypatch.setattr("time.time", lambda: 1e9)
    two = write_shard(tmp_path / "two.tar", FEW)
    data = (tmp_path / "one.tar").read_bytes()
    assert data == (tmp_path / "two.tar").read_bytes()
    assert one.sha256 == two.sha256 == hashlib.sha256(data).hexdigest()
    assert one.size_bytes == len(data)
    assert one.count == 3


def test_headers_tell_nothing_of_the_machine(tmp_path):
    write_shard(tmp_path / "s.tar", {"é": make_label_members(b"x")})
    with tarfile.open(tmp_path / "s.tar", encoding="utf-8") as tar:
        infos = tar.getmembers()
    assert [info.name for info in infos] == sorted(f"é.{suffix}" for suffix in LABEL_SUFFIXES)
    for info in infos:
        assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
        assert info.mode == 0o644
        assert info.isreg()
        assert not info.pax_headers
    assert (tmp_path / "s.tar").read_bytes()[257:263] == b"ustar\0"


def test_the_longest_key_fits_with_the_longest_suffix(tmp_path):
    write_shard(tmp_path / "s.tar", {"é" * 40: {"confidence.png": b"1"}})
    (sample,) = read_all(tmp_path / "s.tar", LABEL_SUFFIXES)
    assert sample.key == "é" * 40


def test_an_exception_leaves_nothing_behind(tmp_path):
    def write() -> None:
        with ShardWriter(tmp_path / "s.tar") as shard:
            shard.add("a", {"jpg": b"one"})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_the_former_shard(tmp_path):
    write_shard(tmp_path / "s.tar", FEW)
    before = (tmp_path / "s.tar").read_bytes()

    def write() -> None:
        with ShardWriter(tmp_path / "s.tar") as shard:
            shard.add("a", {"jpg": b"one"})
            shard.add("a", {"jpg": b"one"})

    with pytest.raises(ValueError, match=r"s\.tar: key 'a' was added before"):
        write()
    assert (tmp_path / "s.tar").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["s.tar"]


def test_a_killed_writer_leaves_no_shard(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from teacher.shards import ShardWriter\n"
        "with ShardWriter(Path(sys.argv[1])) as shard:\n"
        "    shard.add('a', {'jpg': bytes(100_000)})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "s.tar"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "s.tar").exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".s.tar.")
    assert left.name.endswith(".tmp")


@pytest.mark.parametrize(
    ("key", "members", "message"),
    [
        ("a.b", {"jpg": b""}, "expected printable text without a dot"),
        ("../a", {"jpg": b""}, "expected printable text without a dot"),
        ("a", {}, "unexpected members"),
        ("a", {"pkl": b""}, r"unexpected members \['pkl'\]"),
        ("a", {"jpg": b"", "depth.npy": b""}, "unexpected members"),
        ("x" * 81, {"jpg": b""}, "at most 80 bytes"),
    ],
)
def test_the_writer_refuses_what_no_reader_takes(tmp_path, key, members, message):
    with pytest.raises(ValueError, match=message), ShardWriter(tmp_path / "s.tar") as shard:
        shard.add(key, members)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"), ShardWriter(tmp_path / "nowhere/s.tar"):
        pass


# Reading


@given(
    samples=st.dictionaries(
        KEYS,
        st.dictionaries(st.sampled_from(LABEL_SUFFIXES), st.binary(max_size=1500), min_size=1),
        max_size=5,
    )
)
def test_a_shard_returns(tmp_path_factory, samples):
    path = tmp_path_factory.mktemp("shard") / "s.tar"
    write_shard(path, samples)
    found = {sample.key: sample.members for sample in read_all(path, LABEL_SUFFIXES)}
    assert found == samples
    assert list(found) == list(samples)


def test_only_members_that_were_asked_for_are_read(tmp_path):
    path = write_tar(
        tmp_path / "s.tar",
        odd_member("folder", tarfile.DIRTYPE),
        ("README", b"x"),
        ("a.json", b"{}"),
        ("a.JPG", b"one"),
        ("a.seg.png", b"other"),
        ("b.txt", b"no photograph"),
        ("folder/notes.txt", b"x"),
        ("c.webp", b"two"),
    )
    found = [RawSample("a", {"jpg": b"one"}), RawSample("c", {"webp": b"two"})]
    assert read_all(path) == found
    assert list(read_photographs(path)) == [("a", b"one"), ("c", b"two")]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_other_programs_are_read(tmp_path, format):
    long_name = "x" * 120 + ".txt"
    members = [("ü.jpg", b"one"), ("b.png", b"two")]
    members += [] if format == tarfile.USTAR_FORMAT else [(long_name, b"ignored")]
    path = write_tar(tmp_path / "s.tar", *members, format=format)
    assert [sample.key for sample in read_all(path)] == ["ü", "b"]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_each_sample_is_read_alone_from_where_it_lies(tmp_path, format):
    """Long and foreign names have headers before their own; other members may lie between."""
    long_key = "y" * 80 if format == tarfile.USTAR_FORMAT else "ü" * 40
    members = [("a.jpg", b"one" * 300), ("notes.txt", b"x"), (f"{long_key}.png", b"two")]
    members += [(f"{long_key}.webp", b""), ("c.jpg", b"four" * 128)]
    path = write_tar(tmp_path / "s.tar", *members, format=format)
    places = list_samples(path, suffixes=PHOTO_SUFFIXES)
    found = [read_sample(path, place, suffixes=PHOTO_SUFFIXES) for place in reversed(places)]
    assert found[::-1] == read_all(path)
    assert len(found) == 3


def test_an_empty_tar_has_no_samples(tmp_path):
    assert read_all(write_tar(tmp_path / "s.tar")) == []


def test_webdataset_reads_what_the_writer_wrote(tmp_path):
    write_shard(tmp_path / "s.tar", FEW)
    samples = list(webdataset.WebDataset(str(tmp_path / "s.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == list(FEW)
    assert samples[1]["png"] == b"two"


@pytest.mark.parametrize(
    "member",
    [
        odd_member("a.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        odd_member("a.jpg", tarfile.LNKTYPE, "b.jpg"),
        odd_member("a.txt", tarfile.SYMTYPE, "b.txt"),
        odd_member("a.jpg", tarfile.CHRTYPE),
        odd_member("a.jpg", tarfile.BLKTYPE),
        odd_member("a.jpg", tarfile.FIFOTYPE),
        odd_member("a.jpg", tarfile.GNUTYPE_SPARSE),
    ],
)
def test_links_and_devices_are_refused(tmp_path, member):
    path = write_tar(tmp_path / "s.tar", ("0.jpg", b"x"), member)
    with pytest.raises(ValueError, match=rf"^{path}: member 'a\..*: a link, device or sparse file"):
        read_all(path)


@pytest.mark.parametrize("name", ["/a.jpg", "../a.jpg", "x/../../a.jpg", "/etc/notes.txt", ".."])
def test_paths_that_leave_the_shard_are_refused(tmp_path, name):
    path = write_tar(tmp_path / "s.tar", (name, b"x"))
    with pytest.raises(ValueError, match=r"a path that leaves the shard; refused"):
        read_all(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.jpg", "a.jpg"], r"member a\.jpg occurs twice"),
        (["a.jpg", "a.JPG"], r"member a\.jpg occurs twice"),
        (["a.jpg", "b.jpg", "a.png"], "members of key 'a' are not adjacent; sort the tar by name"),
        (["a.jpg", "b.jpg", "a.jpg"], "members of key 'a' are not adjacent"),
        (["folder/a.jpg"], "key 'folder/a': expected printable text without a dot or a slash"),
        (["./a.jpg"], "expected printable text"),
        ([".jpg"], "expected printable text"),
        (["a.jpg", "img.v2.jpg"], r"member 'img\.v2\.jpg': expected a key without a dot"),
        (["x" * 81 + ".jpg"], "at most 80 bytes"),
    ],
)
def test_names_that_webdataset_would_misread_are_refused(tmp_path, names, message):
    path = write_tar(tmp_path / "s.tar", *[(name, b"x") for name in names])
    with pytest.raises(ValueError, match=rf"^{path}: .*{message}"):
        read_all(path)


def test_a_second_photograph_of_a_key_is_refused(tmp_path):
    path = write_tar(tmp_path / "s.tar", ("a.jpg", b"x"), ("a.png", b"x"))
    with pytest.raises(ValueError, match=r"key 'a' has several photographs: \['jpg', 'png'\]"):
        list(read_photographs(path))


def test_a_tar_that_is_cut_anywhere_is_refused(tmp_path):
    write_shard(tmp_path / "s.tar", {key: {"jpg": bytes(700)} for key in "abc"})
    data = (tmp_path / "s.tar").read_bytes()
    end = 3 * (512 + 1024) + 1024
    cut = tmp_path / "cut.tar"
    for length in [*range(0, end, 100), *range(0, end, 512), end - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(ValueError, match=rf"^{cut}: [^\n]+$"):
            read_all(cut)
    cut.write_bytes(data[:end])
    assert len(read_all(cut)) == 3


def test_a_damaged_header_is_refused(tmp_path):
    write_shard(tmp_path / "s.tar", {key: {"jpg": bytes(700)} for key in "abc"})
    data = bytearray((tmp_path / "s.tar").read_bytes())
    for place in (0, 1536, 3072):
        data[place] ^= 1
        (tmp_path / "s.tar").write_bytes(data)
        with pytest.raises(ValueError, match=r"s\.tar: "):
            read_all(tmp_path / "s.tar")
        data[place] ^= 1


def test_a_negative_size_ends_in_an_error_not_in_a_loop(tmp_path):
    info = tarfile.TarInfo("a.jpg")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 4 + struct.pack(">q", -1024)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "s.tar").write_bytes(bytes(header) + bytes(10_000))
    with pytest.raises(ValueError, match=r"s\.tar: "):
        read_all(tmp_path / "s.tar")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a tar file" * 100])
def test_what_is_no_tar_is_refused(tmp_path, data):
    (tmp_path / "s.tar").write_bytes(data)
    with pytest.raises(ValueError, match=r"s\.tar: "):
        read_all(tmp_path / "s.tar")


def test_a_compressed_tar_is_refused(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.jpg"))
    with pytest.raises(ValueError, match=r"s\.tar: "):
        read_all(tmp_path / "s.tar")


# Pairs


@pytest.fixture
def pair(tmp_path) -> tuple[Path, Path]:
    """Three photographs, and labels of the first and the last."""
    photos = {key: make_photograph(seed) for seed, key in enumerate("abc")}
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    images, labels = tmp_path / "images/0.tar", tmp_path / "labels/0.tar"
    write_shard(images, {key: {"jpg": photo} for key, photo in photos.items()})
    write_shard(labels, {key: make_label_members(photos[key]) for key in "ac"})
    return images, labels


def test_photographs_meet_their_labels(pair):
    images, labels = pair
    photos = dict(read_photographs(images))
    found = list(read_pairs(images, labels))
    assert [key for key, _, _ in found] == ["a", "c"]
    for key, photo, label in found:
        assert photo == photos[key]
        assert label.record.photo_sha256 == hashlib.sha256(photo).hexdigest()
        assert label.tasks == ("depth", "normal", "segment")
    (_, _, only), _ = read_pairs(images, labels, tasks=["normal"])
    assert only.tasks == ("normal",)
    expected = make_labels().normal
    assert only.normal is not None
    assert expected is not None
    assert np.abs(only.normal - expected).max() < 0.02


def swap_order(images: Path, labels: Path) -> None:
    photos = dict(read_photographs(images))
    write_shard(labels, {key: make_label_members(photos[key]) for key in "ca"})


def add_stranger(images: Path, labels: Path) -> None:
    photos = dict(read_photographs(images))
    write_shard(labels, {"a": make_label_members(photos["a"]), "z": make_label_members(b"z")})


def exchange_photograph(images: Path, labels: Path) -> None:
    photos = dict(read_photographs(images)) | {"c": make_photograph(99)}
    write_shard(images, {key: {"jpg": photo} for key, photo in photos.items()})


def lose_a_plane(images: Path, labels: Path) -> None:
    members = make_label_members(dict(read_photographs(images))["a"])
    del members["normal.png"]
    write_shard(labels, {"a": members})


def cut_labels(images: Path, labels: Path) -> None:
    os.truncate(labels, 1024)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (swap_order, r"labels/0\.tar: a: in another order than the photographs of .*images/0\.tar"),
        (add_stranger, r"labels/0\.tar: z: no such photograph in .*images/0\.tar"),
        (exchange_photograph, r"labels/0\.tar: c: labels of another photograph than that in"),
        (lose_a_plane, r"labels/0\.tar: a: normal\.png: missing"),
        (cut_labels, r"labels/0\.tar: "),
    ],
)
def test_pairs_that_do_not_match_are_refused(pair, spoil: Callable, message: str):
    spoil(*pair)
    with pytest.raises(ValueError, match=message):
        list(read_pairs(*pair))


def test_labels_of_some_tasks_pair_up(tmp_path):
    photo = make_photograph()
    labels = make_labels(record=make_record(photo), depth_m=None, depth_kind=None)
    write_shard(tmp_path / "i.tar", {"a": {"webp": photo}})
    write_shard(tmp_path / "l.tar", {"a": encode_labels(labels)})
    ((_, _, found),) = read_pairs(tmp_path / "i.tar", tmp_path / "l.tar")
    assert found.tasks == ("normal", "segment")
    with pytest.raises(ValueError, match=r"l\.tar: a: has no depth"):
        list(read_pairs(tmp_path / "i.tar", tmp_path / "l.tar", tasks=["depth"]))

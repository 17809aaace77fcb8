"""A folder of photographs becomes shards: the same ones, however often it runs."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacher.members import check_key
from teacher.packing import photo_keys
from teacher.shards import image_shards, inspect_shard, pack_photographs, read_photographs


def write_files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"bytes of {name}".encode())
    return folder


def contents(shards: list[Path]) -> list[tuple[str, bytes]]:
    return [pair for shard in shards for pair in read_photographs(shard)]


def test_photographs_are_copied_unchanged_in_order(tmp_path):
    folder = write_files(tmp_path / "in", "b.jpg", "sub/a.PNG", "a.webp", "notes.txt", ".b.jpg")
    write_files(folder, ".cache/c.jpg", "no-suffix", "z.jpeg")
    shards = pack_photographs(folder, tmp_path / "out/images", per_shard=3)
    assert [shard.name for shard in shards] == ["000000.tar", "000001.tar"]
    assert contents(shards) == [
        ("a", b"bytes of a.webp"),
        ("b", b"bytes of b.jpg"),
        ("sub_a", b"bytes of sub/a.PNG"),
        ("z", b"bytes of z.jpeg"),
    ]
    assert [inspect_shard(shard).count for shard in image_shards(tmp_path / "out")] == [3, 1]


def test_packing_again_changes_nothing(tmp_path):
    folder = write_files(tmp_path / "in", *[f"{n}.jpg" for n in range(7)])
    shards = pack_photographs(folder, tmp_path / "out", per_shard=2)
    before = {shard: (shard.read_bytes(), shard.stat().st_mtime_ns) for shard in shards}
    shards[1].unlink()
    assert pack_photographs(folder, tmp_path / "out", per_shard=2) == shards
    after = {shard: (shard.read_bytes(), shard.stat().st_mtime_ns) for shard in shards}
    assert {s: data for s, (data, _) in after.items()} == {s: d for s, (d, _) in before.items()}
    assert after[shards[0]] == before[shards[0]]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write_files(folder, "00.jpg"),
        lambda folder: (folder / "1.jpg").write_bytes(b"other"),
        lambda folder: (folder / "1.jpg").unlink(),
        lambda folder: [(folder / f"{n}.jpg").unlink() for n in (2, 3)],
    ],
)
def test_shards_of_other_photographs_are_never_overwritten(tmp_path, change):
    folder = write_files(tmp_path / "in", *[f"{n}.jpg" for n in range(4)])
    shards = pack_photographs(folder, tmp_path / "out", per_shard=2)
    before = [shard.read_bytes() for shard in shards]
    change(folder)
    with pytest.raises(ValueError, match=r"00000[01]\.tar: .*pack into an empty folder"):
        pack_photographs(folder, tmp_path / "out", per_shard=2)
    assert [shard.read_bytes() for shard in shards] == before


def test_files_that_would_share_a_key_get_a_hash(tmp_path):
    folder = write_files(tmp_path, "a.jpg", "a.png", "b/c.jpg", "b_c.jpg", "d.v2.jpg")
    keys = list(photo_keys(folder))
    assert keys[-1] == "d_v2"
    assert len(set(keys)) == 5
    for key, plain in zip(keys, ["a", "a", "b_c", "b_c"], strict=False):
        assert re.fullmatch(rf"{plain}_[0-9a-f]{{8}}", key)


def test_long_and_odd_names_get_fit_keys(tmp_path):
    folder = write_files(
        tmp_path, "é" * 60 + ".jpg", "new\nline.jpg", "back\\slash.jpg", "ok (1).jpg"
    )
    keys = list(photo_keys(folder))
    for key in keys:
        check_key(key)
    assert {"new_line", "back_slash", "ok (1)"} < set(keys)


NAMES = st.text("ab._/ é", max_size=8).filter(lambda name: "/." not in name)


@given(names=st.sets(NAMES.map(lambda name: Path(f"x{name}x.jpg").as_posix()), min_size=1))
@settings(max_examples=50)
def test_every_file_gets_a_key_of_its_own(tmp_path_factory, names):
    folder = write_files(tmp_path_factory.mktemp("photos"), *names)
    keys = photo_keys(folder)
    assert {path.relative_to(folder).as_posix() for path in keys.values()} == names
    for key in keys:
        check_key(key)


def test_bytes_that_are_no_image_are_not_judged(tmp_path):
    write_files(tmp_path / "in", "a.jpg")
    (tmp_path / "in/b.jpg").write_bytes(b"")
    shards = pack_photographs(tmp_path / "in", tmp_path / "out")
    assert contents(shards) == [("a", b"bytes of a.jpg"), ("b", b"")]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        pack_photographs(tmp_path / "nowhere", tmp_path / "out")


def test_a_folder_without_photographs_is_named(tmp_path):
    write_files(tmp_path / "in", "a.gif")
    with pytest.raises(ValueError, match=r"expected image files \(\.jpg, .*\), found none"):
        pack_photographs(tmp_path / "in", tmp_path / "out")


def test_shards_of_no_photographs_are_refused(tmp_path):
    write_files(tmp_path / "in", "a.jpg")
    with pytest.raises(ValueError, match="per_shard: expected at least 1, found 0"):
        pack_photographs(tmp_path / "in", tmp_path / "out", per_shard=0)

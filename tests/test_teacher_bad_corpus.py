"""A corpus of broken, odd and hostile files, through the real job: nothing crashes, nothing good is
lost, and every bad one is named."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import bad_corpus as corpus
import bad_tars as tars
import numpy as np
import pytest
from jobs import label
from samples import make_photograph
from tiny import build_teacher

from teacher.sample import decode_photograph
from teacher.shards import inspect_shard, read_errors, read_pairs

ODD, BAD, USELESS = corpus.odd_pictures(), corpus.bad_pictures(), corpus.useless_pictures()
MEMBERS, SHARDS = tars.bad_members(), tars.bad_shards()
MEAN_ERROR_LEVELS = 4.0
"""Of lossy compression, in levels of 255."""


def test_there_are_more_than_forty_kinds() -> None:
    assert len(BAD) + len(USELESS) + len(MEMBERS) + len(SHARDS) >= 60
    assert len(ODD) >= 30


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_are_used_correctly(name: str) -> None:
    _, data, expected = ODD[name]
    found = decode_photograph(data)
    assert (found.shape, found.dtype) == (expected.shape, np.uint8)
    assert np.abs(found.astype(int) - expected).mean() < MEAN_ERROR_LEVELS


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_have_a_reason_in_one_line(name: str) -> None:
    _, data, pattern = BAD[name]
    with pytest.raises(ValueError, match=pattern) as error:
        decode_photograph(data)
    assert "\n" not in str(error.value)


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """900 million pixels would take 0.9 to 3.6 GB; so would 200 MB of packed text."""
    bombs = ("bomb-png", "bomb-jpeg", "png-whose-text-is-a-bomb")
    for name in bombs:
        (tmp_path / name).write_bytes(BAD[name][1])
    (tmp_path / "photo").write_bytes(make_photograph())
    done = subprocess.run(
        [sys.executable, "-c", PEAK_MEMORY, tmp_path, *bombs], capture_output=True, check=True
    )
    assert int(done.stdout) < 32 * 1024


PEAK_MEMORY = """
import resource, sys
from pathlib import Path
from teacher.sample import decode_photograph

folder, bombs = Path(sys.argv[1]), sys.argv[2:]
peak_kb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_photograph((folder / "photo").read_bytes())
before = peak_kb()
for name in bombs:
    try:
        decode_photograph((folder / name).read_bytes())
        sys.exit("decoded")
    except ValueError:
        pass
print(peak_kb() - before)
"""


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole corpus in shards, labelled by one run of the job: `images` and `labels`."""
    root = tmp_path_factory.mktemp("corpus")
    (root / "images").mkdir()
    write_pictures(root / "images" / "pictures.tar")
    with tarfile.open(root / "images" / "members.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tars.write_members(tar, list(MEMBERS.values()))
    for name, (data, _) in SHARDS.items():
        (root / "images" / f"{name}.tar").write_bytes(data)
    teacher = build_teacher(root / "teacher", start="noise")
    label(root / "images", root / "labels", teacher, max_bad_fraction=1, batch_size=8)
    return root


def write_pictures(path: Path) -> None:
    """Every picture of the corpus, with a good photograph before each."""
    pictures = {**ODD, **BAD, **USELESS}
    with tarfile.open(path, "w") as tar:
        for number, (name, (suffix, data, _)) in enumerate(pictures.items()):
            tars.add(tar, f"good-{number:03d}.jpg", make_photograph(number))
            tars.add(tar, f"{name}.{suffix}", data)


def label_keys(root: Path, shard: str) -> list[str]:
    """Keys of the labels, each checked against its photograph."""
    pairs = read_pairs(root / "images" / f"{shard}.tar", root / "labels" / f"{shard}.tar")
    return [key for key, _, _ in pairs]


def test_every_good_and_odd_picture_is_labelled(labelled: Path) -> None:
    good = [f"good-{number:03d}" for number in range(len(ODD) + len(BAD) + len(USELESS))]
    keys = label_keys(labelled, "pictures")
    assert [key for key in keys if key.startswith("good-")] == good
    assert {key for key in keys if not key.startswith("good-")} == set(ODD)


def test_every_bad_picture_is_named_with_its_reason(labelled: Path) -> None:
    errors = {error.key: error for error in read_errors(labelled / "labels", "pictures")}
    expected = {**BAD, **USELESS}
    assert set(errors) == set(expected)
    for name, (_, _, pattern) in expected.items():
        assert re.search(pattern, errors[name].reason), (name, errors[name])
        assert errors[name].stage == "decode"


def test_every_bad_member_is_named_and_its_neighbours_are_labelled(labelled: Path) -> None:
    errors = read_errors(labelled / "labels", "members")
    for name, bad in MEMBERS.items():
        found = [e for e in errors if bad.shown in e.key and re.search(bad.reason, e.reason)]
        assert found, name
    assert len(errors) == len(MEMBERS)
    good = {f"good-{number:03d}" for number in range(len(MEMBERS))}
    assert set(label_keys(labelled, "members")) == good | set(tars.ALSO_GOOD)


@pytest.mark.parametrize("name", SHARDS)
def test_what_can_be_saved_of_a_broken_shard_is_labelled(labelled: Path, name: str) -> None:
    keys = label_keys(labelled, name)
    assert len(keys) == SHARDS[name][1]
    assert all(key.startswith(f"{name}-") for key in keys)
    (error,) = read_errors(labelled / "labels", name)
    assert name in error.key
    assert error.stage == "read"


def test_nothing_leaves_the_folder_of_the_labels(labelled: Path) -> None:
    """No member was unpacked, whatever its name."""
    assert {path.name for path in labelled.iterdir()} == {"images", "labels", "teacher"}
    shards = ["pictures", "members", *SHARDS]
    expected = {name + end for name in shards for end in (".tar", ".done.json", ".errors.jsonl")}
    found = {path.name for path in (labelled / "labels").iterdir()}
    assert found - expected <= {"manifest.json", "run.json", ".leases"}


@pytest.mark.parametrize("name", tars.no_shards())
def test_a_shard_without_a_photograph_is_refused_before_the_job_is_planned(
    tmp_path: Path, name: str
) -> None:
    """It is a mistake to correct, such as a failed download; the error names it."""
    (tmp_path / f"{name}.tar").write_bytes(tars.no_shards()[name])
    with pytest.raises(
        ValueError, match=rf"{name}\.tar: an empty shard: expected members KEY\.jpg"
    ):
        inspect_shard(tmp_path / f"{name}.tar")

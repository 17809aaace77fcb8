"""A folder of photographs as shards, byte for byte."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

from teacher.members import MAX_KEY_BYTES, PHOTO_SUFFIXES, plain_key
from teacher.progress import track
from teacher.shard_tar import ShardWriter, read_shard

HASH_DIGITS = 8


def pack_photographs(folder: Path, out_dir: Path, *, per_shard: int = 500) -> list[Path]:
    """Copy the image files below a folder, unchanged, into OUT_DIR/000000.tar and so on.

    Files are taken in the order of their relative paths; hidden ones are left out, and whether
    their bytes are an image is not judged here. Keys follow from the relative paths (`photo_keys`).
    Shards that exist are read and kept if they hold the same bytes, so a killed run goes on.
    Raises FileNotFoundError when the folder does not exist, ValueError when it has no image files,
    or when out_dir holds shards of other photographs.
    """
    if per_shard < 1:
        raise ValueError(f"per_shard: expected at least 1, found {per_shard}")
    files = photo_keys(folder)
    out_dir.mkdir(parents=True, exist_ok=True)
    keys = list(files)
    shards = {
        out_dir / f"{number:06d}.tar": {key: files[key] for key in keys[start : start + per_shard]}
        for number, start in enumerate(range(0, len(keys), per_shard))
    }
    if strangers := sorted(set(out_dir.glob("*.tar")) - set(shards)):
        raise ValueError(f"{strangers[0]}: not of these photographs; pack into an empty folder")
    for path, photographs in track(shards.items(), "packing photographs", total=len(shards)):
        _pack_shard(path, photographs)
    return list(shards)


def photo_keys(folder: Path) -> dict[str, Path]:
    """Key -> image file, in the order of the relative paths.

    The key is the relative path without its suffix, `_` in place of what a key must not contain;
    where two files would share a key, or it would be too long, a hash of the path is appended.
    """
    files = _image_files(folder)
    if not files:
        suffixes = ", ".join(f".{suffix}" for suffix in PHOTO_SUFFIXES)
        raise ValueError(f"{folder}: expected image files ({suffixes}), found none")
    plain = {name: plain_key(name.rpartition(".")[0]) for name in files}
    uses = Counter(plain.values())
    keys = {
        name: key if uses[key] == 1 and len(key.encode()) <= MAX_KEY_BYTES else _hashed(key, name)
        for name, key in plain.items()
    }
    if len(set(keys.values())) < len(keys):
        raise ValueError(f"{folder}: two files would share a key; rename one of them")
    return {key: files[name] for name, key in keys.items()}


def _image_files(folder: Path) -> dict[str, Path]:
    """Relative path -> image file, sorted; links to folders are not followed."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected a folder of photographs")
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    images = [file for file in found if file.suffix[1:].lower() in PHOTO_SUFFIXES]
    return dict(sorted((file.relative_to(folder).as_posix(), file) for file in images))


def _hashed(key: str, name: str) -> str:
    """The key with a hash of the path, cut to the length that is allowed."""
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:HASH_DIGITS]
    room = MAX_KEY_BYTES - HASH_DIGITS - 1
    return f"{key.encode()[:room].decode(errors='ignore')}_{digest}"


def _pack_shard(path: Path, photographs: Mapping[str, Path]) -> None:
    """Write a shard, or make sure that the one that is there holds the same."""
    if not path.exists():
        with ShardWriter(path) as shard:
            for key, file in photographs.items():
                shard.add(key, {_suffix(file): file.read_bytes()})
        return
    samples = read_shard(path, suffixes=PHOTO_SUFFIXES)
    expected = ((key, {_suffix(file): file.read_bytes()}) for key, file in photographs.items())
    for sample, other in zip_longest(((s.key, s.members) for s in samples), expected):
        if sample != other:
            raise ValueError(
                f"{path}: holds other photographs than the folder; pack into an empty folder"
            )


def _suffix(file: Path) -> str:
    return file.suffix[1:].lower()

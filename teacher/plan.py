"""The plan of a labelling job: which shards, and that a resumed job is still the same one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from teacher.manifest import MANIFEST_NAME
from teacher.progress import track
from teacher.sample import PHOTO_SUFFIXES
from teacher.shards import (
    InputShard,
    Manifest,
    image_shards,
    inspect_shard,
    pack_photographs,
    plan_job_id,
    read_manifest,
    write_manifest,
)


def photograph_shards(images: Path, packed: Path) -> list[Path]:
    """The shards to label: those of `images`, or its loose photographs packed into `packed`.

    Raises FileNotFoundError or ValueError when there are neither.
    """
    if not _holds_loose_photographs(images):
        return image_shards(images)
    if packed.resolve() == images.resolve():
        raise ValueError(
            f"{images} holds loose photographs, and their shards would go to the same folder: "
            "name another one with --packed"
        )
    return pack_photographs(images, packed)


def _holds_loose_photographs(images: Path) -> bool:
    """Whether this is a folder without shards, but with image files."""
    if not images.is_dir() or any(images.glob("*.tar")) or any(images.glob("images/*.tar")):
        return False
    return any(file.suffix[1:].lower() in PHOTO_SUFFIXES for file in images.rglob("*"))


def make_label_folder(out: Path) -> None:
    """Create the folder of the label shards unless it is there. Raises ValueError for a file."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: --out names the folder of the label shards")
    out.mkdir(parents=True, exist_ok=True)


def plan_job(shards: Sequence[Path], out: Path, config: Mapping[str, Any]) -> Manifest:
    """Freeze the plan in OUT/manifest.json, or take up the one that is there.

    config: JSON values, everything besides the photographs that decides a label.
    The manifest that is returned names the shards where they lie now.
    Raises ValueError saying what differs when the folder belongs to another job.
    """
    if (out / MANIFEST_NAME).exists():
        return _resume(shards, out, config)
    _refuse_strangers(out)
    inputs = tuple(inspect_shard(path) for path in track(shards, "reading shards"))
    manifest = Manifest(plan_job_id(inputs, config), inputs, config)
    write_manifest(out, manifest)
    return manifest


def _refuse_strangers(out: Path) -> None:
    """Labels that no job planned, such as ground truth, are not to be overwritten."""
    for stranger in sorted(out.glob("*.tar")):
        raise ValueError(f"{stranger} is not of a labelling job: give --out another folder")


def _resume(shards: Sequence[Path], out: Path, config: Mapping[str, Any]) -> Manifest:
    manifest = read_manifest(out)
    changes = _config_changes(manifest.config, config) + _input_changes(manifest.inputs, shards)
    if changes:
        raise ValueError(
            f"{out} belongs to another job ({'; '.join(changes)}): "
            "go on with what it was begun with, or give --out another folder"
        )
    places = {path.stem: str(path.resolve()) for path in shards}
    return replace(
        manifest, inputs=tuple(replace(shard, path=places[shard.name]) for shard in manifest.inputs)
    )


def _config_changes(planned: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, one phrase for each setting; nested settings have dotted names."""
    before, after = _flat(planned), _flat(now)
    return [
        f"{name} was {before.get(name)!r} and is now {after.get(name)!r}"
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    ]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _input_changes(planned: Sequence[InputShard], shards: Sequence[Path]) -> list[str]:
    """Shards that came, went or changed their size; contents are checked when their turn comes."""
    before = {shard.name: shard.size_bytes for shard in planned}
    after = {path.stem: path.stat().st_size for path in shards}
    came = [f"shard {name} is new" for name in sorted(after.keys() - before.keys())]
    went = [f"shard {name} is gone" for name in sorted(before.keys() - after.keys())]
    both = sorted(before.keys() & after.keys())
    return (
        came
        + went
        + [
            f"shard {name} had {before[name]} bytes and has {after[name]}"
            for name in both
            if before[name] != after[name]
        ]
    )


def select_shards(inputs: Sequence[InputShard], positions: str | None) -> tuple[InputShard, ...]:
    """The shards at positions "A-B" (from 0, B included) or "A"; all of them for None.

    Raises ValueError for another form and for positions that are not there.
    """
    if positions is None:
        return tuple(inputs)
    first, dash, last = positions.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"--shards must have the form A-B, such as 0-9, found {positions!r}")
    low, high = int(first), int(last if dash else first)
    if not low <= high < len(inputs):
        raise ValueError(f"--shards {positions}: the job has the shards 0-{len(inputs) - 1}")
    return tuple(inputs[low : high + 1])

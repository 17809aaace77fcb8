"""The plan of a labelling job: which shards, and that a resumed job is still the same one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from teacher.jobs.place import Place
from teacher.jobs.remote import is_url, local_path
from teacher.jobs.sources import Source, find_sources
from teacher.manifest import MANIFEST_NAME, InputShard, Manifest, plan_job_id
from teacher.measure import measure_shards
from teacher.members import PHOTO_SUFFIXES
from teacher.packing import pack_photographs

Shard = TypeVar("Shard")

SHOWN_CHANGES = 5
"""Shards that came, went or changed which an error message names."""


def photograph_shards(images: str | Path, packed: Path | None) -> list[Source]:
    """The shards to label: those of `images`, or its loose photographs packed into `packed`.

    images: as in find_sources, or a folder of image files, which needs `packed`.
    Raises FileNotFoundError or ValueError when there are neither.
    """
    folder = local_path(images)
    if is_url(images) or not _holds_loose_photographs(folder):
        return find_sources(images)
    if packed is None:
        raise ValueError(
            f"{images} holds loose photographs: name a folder for their shards with --packed"
        )
    if packed.resolve() == folder.resolve():
        raise ValueError(
            f"{images} holds loose photographs, and their shards would go to the same folder: "
            "name another one with --packed"
        )
    pack_photographs(folder, packed)
    return find_sources(packed)


def _holds_loose_photographs(images: Path) -> bool:
    """Whether this is a folder without shards, but with image files."""
    if not images.is_dir() or any(images.glob("*.tar")) or any(images.glob("images/*.tar")):
        return False
    return any(file.suffix[1:].lower() in PHOTO_SUFFIXES for file in images.rglob("*"))


def plan_job(
    sources: Sequence[Source],
    place: Place,
    config: Mapping[str, Any],
    *,
    measure: Callable[[Sequence[Source], Path], tuple[InputShard, ...]] = measure_shards,
) -> Manifest:
    """Freeze the plan in OUT/manifest.json, or take up the one that is there.

    config: JSON values, everything besides the photographs that decides a label.
    The manifest that is returned names the shards where they lie now.
    Raises ValueError saying what differs when the folder belongs to another job.
    """
    planned = place.read_manifest() or _planned_meanwhile(place)
    if planned is None:
        inputs = measure(sources, place.notes)
        manifest = Manifest(plan_job_id(inputs, config), inputs, config)
        frozen = place.freeze(manifest)
        place.notes.unlink(missing_ok=True)
        if frozen:
            return manifest
        planned = place.read_manifest() or manifest  # another process was first
    return _resume(planned, sources, place, config)


def _planned_meanwhile(place: Place) -> Manifest | None:
    """None for a place without labels. Raises ValueError for labels that no job planned, such as
    ground truth: they are not to be overwritten."""
    strangers = place.tars()
    planned = place.read_manifest() if strangers else None
    if strangers and planned is None:
        raise ValueError(
            f"{place}/{strangers[0]} is not of a labelling job: give --out another folder"
        )
    return planned


def _resume(
    manifest: Manifest, sources: Sequence[Source], place: Place, config: Mapping[str, Any]
) -> Manifest:
    changes = _config_changes(manifest.config, config) + _input_changes(manifest.inputs, sources)
    if changes:
        begun = "go on with what it was begun with, or give --out another folder"
        planned = f"nothing is labelled there yet: delete {place}/{MANIFEST_NAME} to plan anew"
        raise ValueError(
            f"{place} belongs to another job ({'; '.join(changes)}): "
            f"{begun if place.tars() else planned}"
        )
    places = {source.name: source.place for source in sources}
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


def _input_changes(planned: Sequence[InputShard], sources: Sequence[Source]) -> list[str]:
    """Shards that came, went or changed their size; contents are checked when their turn comes."""
    before = {shard.name: shard.size_bytes for shard in planned}
    after = {source.name: source.size_bytes for source in sources}
    changes = [
        *(f"shard {name} is new" for name in sorted(after.keys() - before.keys())),
        *(f"shard {name} is gone" for name in sorted(before.keys() - after.keys())),
        *(
            f"shard {name} had {before[name]} bytes and has {after[name]}"
            for name in sorted(before.keys() & after.keys())
            if before[name] != after[name]
        ),
    ]
    more = len(changes) - SHOWN_CHANGES
    return changes[:SHOWN_CHANGES] + ([f"and {more} more shards"] if more > 0 else [])


def select_shards(inputs: Sequence[Shard], positions: str | None) -> tuple[Shard, ...]:
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

"""The shards of photographs that --images names: files, folders, patterns and URLs."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from braceexpand import braceexpand

from teacher.jobs.remote import RemoteFolder, is_url, local_path
from teacher.manifest import image_shards
from teacher.members import PHOTO_SUFFIXES

SHOWN_MISSING = 3
"""Shards of a pattern that an error message names."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A shard of photographs where it lies now."""

    place: str
    """Absolute path, or URL."""
    size_bytes: int
    stamp: str
    """Changes when the file does: an ETag, or the time of its last change."""

    @property
    def name(self) -> str:
        """The shard's name without folder and `.tar`."""
        return self.place.rpartition("/")[2].removesuffix(".tar")


def find_sources(images: str | Path) -> list[Source]:
    """The shards that are named, in the order given; those of a folder are sorted by name.

    images: a tar file, a folder of them (or with images/*.tar), a pattern such as
    shards/{000000..000123}.tar, a URL of any of these, or several, separated by commas.
    Raises FileNotFoundError naming the shards that are missing, ValueError when there are none, or
    two have one name.
    """
    if isinstance(images, Path) or Path(images).exists():
        sources = _local_sources(local_path(images))
    else:
        sources = [s for part in split_patterns(images) for s in _sources_of(part)]
    names = Counter(source.name for source in sources)
    if twice := [source.place for source in sources if names[source.name] > 1]:
        raise ValueError(f"{twice[1]}: same shard name as {twice[0]}; their labels would collide")
    return sources


def split_patterns(text: str) -> list[str]:
    """The parts between those commas that are in no braces."""
    parts = re.split(r",(?![^{]*\})", text)
    return [part.strip() for part in parts if part.strip()]


def _sources_of(part: str) -> list[Source]:
    if "{" in part:
        return _sources_of_pattern(part)
    if is_url(part):
        return _sources_of_url(part.rstrip("/"))
    return _local_sources(local_path(part))


def _local_sources(path: Path) -> list[Source]:
    return [_local_source(shard) for shard in image_shards(path)]


def _local_source(path: Path) -> Source:
    stat = path.stat()
    return Source(place=str(path.resolve()), size_bytes=stat.st_size, stamp=str(stat.st_mtime_ns))


def _sources_of_url(url: str) -> list[Source]:
    """A tar file behind a URL, or those of a folder, or of the folder `images` in it."""
    if url.endswith(".tar"):
        folder, _, name = url.rpartition("/")
        return _named([_sources_in(folder, [name])], [url], url)
    for candidate in (url, f"{url}/images"):
        if shards := _sources_in(candidate, [""]):
            return list(shards.values())
    loose = next((n for n in RemoteFolder(url).list() if _is_photograph(n)), None)
    hint = f"; photographs such as {loose} must be packed into shards first" if loose else ""
    raise ValueError(f"{url}: expected shards (*.tar or images/*.tar), found none{hint}")


def _sources_of_pattern(pattern: str) -> list[Source]:
    """Every shard of a pattern; each folder that it names is listed once."""
    try:
        places = list(braceexpand(pattern))
    except ValueError as error:
        raise ValueError(f"{pattern}: {error}") from error
    if not is_url(pattern):
        paths = [local_path(place) for place in places]
        _check_complete([str(path) for path in paths if not path.is_file()], places, pattern)
        return [_local_source(path) for path in paths]
    folders: dict[str, list[str]] = {}
    for place in places:
        folder, _, name = place.rpartition("/")
        folders.setdefault(folder, []).append(name)
    found = [_sources_in(folder, names) for folder, names in folders.items()]
    return _named(found, places, pattern)


def _named(found: Sequence[Mapping[str, Source]], places: list[str], pattern: str) -> list[Source]:
    """The sources at these URLs, from the listings of their folders."""
    by_place = {place: source for shards in found for place, source in shards.items()}
    _check_complete([place for place in places if place not in by_place], places, pattern)
    return [by_place[place] for place in places]


def _check_complete(missing: list[str], places: list[str], pattern: str) -> None:
    if missing:
        raise FileNotFoundError(
            f"{pattern}: {len(missing)} of {len(places)} shards are missing, "
            f"such as {', '.join(missing[:SHOWN_MISSING])}"
        )


def _sources_in(url: str, names: Collection[str]) -> dict[str, Source]:
    """URL -> the tar files of a folder behind a URL that begin like these names, sorted by name."""
    files = RemoteFolder(url).list_like(names)
    found = [
        Source(place=f"{url}/{name}", size_bytes=file.size_bytes, stamp=file.stamp)
        for name, file in files.items()
        if name.endswith(".tar")
    ]
    return {source.place: source for source in found}


def _is_photograph(name: str) -> bool:
    return name.rpartition(".")[2].lower() in PHOTO_SUFFIXES

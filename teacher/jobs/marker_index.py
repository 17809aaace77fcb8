"""A copy of all markers in one object: an object store answers slowly for each object it is asked.

It is never trusted. A listing shows the stamp (the ETag) of every marker; what the index says of a
shard counts only if it was read from a marker with that very stamp.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Self

from teacher.jobs.remote import RemoteFolder
from teacher.markers import DONE, Marker, marker_from_json
from teacher.strict_json import from_fields, parse_object

INDEX_NAME = "markers.jsonl"
WRITE_FROM = 100
"""Markers that were fetched one by one before the index is written anew."""


@dataclass(frozen=True)
class MarkerIndex:
    """Markers as they were when they were read."""

    entries: dict[str, tuple[str, Marker]]
    """Shard name -> the stamp of the marker's file, and the marker."""

    @classmethod
    def read(cls, folder: RemoteFolder) -> Self:
        """The index of a folder. Inverse: write. One that is damaged or missing counts as empty."""
        try:
            lines = [parse_object(line) for line in folder.read(INDEX_NAME).splitlines()]
            markers = [(line["stamp"], from_fields(Marker, line["marker"])) for line in lines]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return cls({})
        return cls({marker.shard: (stamp, marker) for stamp, marker in markers})

    def write(self, folder: RemoteFolder) -> None:
        """Inverse of read; who may only read the folder does without."""
        lines = [
            json.dumps({"stamp": stamp, "marker": asdict(marker)}) + "\n"
            for stamp, marker in self.entries.values()
        ]
        with suppress(OSError):
            folder.write(INDEX_NAME, "".join(lines).encode())

    def refresh(self, folder: RemoteFolder, stamps: Mapping[str, str]) -> dict[str, Marker]:
        """The markers with these stamps, by shard name; those that are not known are fetched.

        Raises ValueError naming a marker that is damaged.
        """
        stale = [name for name in stamps if self.entries.get(name, (None,))[0] != stamps[name]]
        data = folder.read_all([name + DONE for name in stale])
        for name in stale:
            marker = marker_from_json(data[name + DONE], f"{folder.url}/{name}{DONE}")
            self.entries[name] = stamps[name], marker
        if len(stale) >= WRITE_FROM:
            self.write(folder)
        return {name: self.entries[name][1] for name in stamps}

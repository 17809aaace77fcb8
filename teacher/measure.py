"""Measure shards of photographs for the plan: size, sha256, count.

Millions of photographs are terabytes, and every byte is read once. So several shards are measured
at a time, and what is known is kept in a file of notes: a planning that was killed goes on.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from teacher.jobs.input_copy import SCRATCH_PREFIX, fetch
from teacher.jobs.remote import is_url
from teacher.jobs.sources import Source
from teacher.manifest import InputShard
from teacher.markers import Quarantined
from teacher.progress import console, track
from teacher.provenance import sha256_file
from teacher.salvage import list_photographs
from teacher.strict_json import from_fields, parse_object

THREADS = 4
"""Shards that are measured at a time."""

SHOWN_BROKEN = 5
"""Broken members, and unusable shards, that are named; there may be many."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A shard, and how much of it can be read."""

    path: str
    size_bytes: int
    sha256: str
    sound: int
    """Photographs that can be read."""
    broken: int
    """Members that go to quarantine."""
    first_reason: str
    """Name of the first one, and what is wrong with it."""

    def as_input(self) -> InputShard:
        """The shard as the plan has it; raises ValueError if it is empty."""
        return InputShard(self.path, self.size_bytes, self.sha256, self.sound + self.broken)


def measure_shards(sources: Sequence[Source], notes: Path) -> tuple[InputShard, ...]:
    """Measure every shard, unless the notes of an earlier attempt know it with the same stamp.

    Members that cannot be read are named on the console, and the shard is used without them.
    Raises ValueError naming the shards without a single photograph that can be read.
    """
    known = _read_notes(notes)
    fresh = [source for source in sources if _note_key(source) not in known]
    with notes.open("a") as file, ThreadPoolExecutor(THREADS) as pool:
        measured = pool.map(_measure, fresh)
        for source, found in track(zip(fresh, measured), "reading shards", total=len(fresh)):
            known[_note_key(source)] = found
            file.write(json.dumps({"source": _note_key(source), "found": asdict(found)}) + "\n")
            file.flush()
    found = [known[_note_key(source)] for source in sources]
    _refuse_empty(found)
    _report_broken(found)
    return tuple(item.as_input() for item in found)


def inspect_shard(path: Path) -> InputShard:
    """Measure one shard of this machine. Raises ValueError when no photograph in it can be read."""
    measured = _inspect(path)
    _refuse_empty([measured])
    return measured.as_input()


def _measure(source: Source) -> Measured:
    if not is_url(source.place):
        return _inspect(Path(source.place))
    with TemporaryDirectory(prefix=SCRATCH_PREFIX) as scratch:
        copy = Path(scratch) / f"{source.name}.tar"
        fetch(source.place, copy)
        return replace(_inspect(copy), path=source.place)


def _inspect(path: Path) -> Measured:
    members = list_photographs(path)
    broken = [member for member in members if isinstance(member, Quarantined)]
    return Measured(
        path=str(path.resolve()),
        size_bytes=path.stat().st_size,
        sha256=sha256_file(path),
        sound=len(members) - len(broken),
        broken=len(broken),
        first_reason=f"{broken[0].key}: {broken[0].reason}" if broken else "",
    )


def _refuse_empty(found: Sequence[Measured]) -> None:
    """A shard of which nothing can be used is a mistake to correct before the plan is frozen."""
    empty = [item for item in found if not item.sound]
    if not empty:
        return
    shown = [
        f"{item.path}: an empty shard: expected members KEY.jpg, .jpeg, .png or .webp, found "
        + (f"none that can be read ({item.first_reason})" if item.broken else "none")
        for item in empty[:SHOWN_BROKEN]
    ]
    more = f"; and {len(empty) - len(shown)} more" if len(empty) > len(shown) else ""
    raise ValueError("; ".join(shown) + more)


def _report_broken(found: Sequence[Measured]) -> None:
    damaged = [item for item in found if item.broken]
    for item in damaged[:SHOWN_BROKEN]:
        more = f", and {item.broken - 1} more" if item.broken > 1 else ""
        console.print(
            f"{item.path}: will be labelled without {item.first_reason}{more}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    if len(damaged) > SHOWN_BROKEN:
        console.print(f"and {len(damaged) - SHOWN_BROKEN} more shards like that", style="yellow")


def _note_key(source: Source) -> str:
    return f"{source.place} {source.size_bytes} {source.stamp}"


def _read_notes(notes: Path) -> dict[str, Measured]:
    """What an earlier attempt measured; its last line may be torn."""
    found: dict[str, Measured] = {}
    for line in notes.read_bytes().splitlines() if notes.exists() else []:
        with suppress(ValueError, KeyError, TypeError):
            note = parse_object(line)
            found[note["source"]] = from_fields(Measured, note["found"])
    return found

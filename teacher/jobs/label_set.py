"""A folder of label shards as a whole: which shards it has, and which photographs are theirs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from teacher.jobs.remote import require_local
from teacher.manifest import MANIFEST_NAME, InputShard, Manifest, image_shards, read_manifest
from teacher.markers import is_committed


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """The label shards of one folder."""

    folder: Path
    manifest: Manifest | None
    """The plan of the labelling job; None where no job made the labels, as with ground truth."""
    names: tuple[str, ...]
    """The shards in the order of the job; without a job those that are there."""
    inputs: Mapping[str, InputShard]
    """Name -> the shard of photographs as it was planned; empty without a job."""

    @property
    def job_id(self) -> str | None:
        return self.manifest.job_id if self.manifest else None

    def is_done(self, name: str) -> bool:
        """Whether a shard is complete."""
        return self.manifest is None or is_committed(self.folder, name, self.job_id)

    def tar(self, name: str) -> Path:
        """Where the label shard of a name lies."""
        return self.folder / f"{name}.tar"


def open_label_set(folder: Path) -> LabelSet:
    """Find the label shards of a folder: those of its plan, otherwise its tar files.

    Raises FileNotFoundError when there is no such folder or nothing in it, ValueError for a URL and
    when the plan is damaged.
    """
    require_local(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected label shards")
    if (folder / MANIFEST_NAME).is_file():
        manifest = read_manifest(folder)
        inputs = {shard.name: shard for shard in manifest.inputs}
        return LabelSet(folder=folder, manifest=manifest, names=tuple(inputs), inputs=inputs)
    names = tuple(path.stem for path in sorted(folder.glob("*.tar")))
    if not names:
        raise FileNotFoundError(
            f"{folder}: no label shards (*.tar) and no {MANIFEST_NAME}; "
            "write labels with `potstill label`"
        )
    return LabelSet(folder=folder, manifest=None, names=names, inputs={})


def photograph_shards_of(labels: LabelSet, images: Path, names: Collection[str]) -> dict[str, Path]:
    """Shard name -> the shard of its photographs, for these shards of a label set.

    Raises FileNotFoundError naming the first shard that has none in `images`, ValueError for a URL
    and for a folder without shards.
    """
    require_local(images)
    try:
        found = {path.stem: path for path in image_shards(images)}
    except ValueError as error:
        packed = next((i.path.rpartition("/")[0] for i in labels.inputs.values()), None)
        hint = f"; the shards that were labelled lay in {packed}" if packed else ""
        raise ValueError(f"{error}{hint}") from error
    if missing := [name for name in names if name not in found]:
        raise FileNotFoundError(
            f"{images}: no shard {missing[0]}.tar, which {labels.folder} has labels of; "
            "give the photographs that were labelled"
        )
    return {name: found[name] for name in names}

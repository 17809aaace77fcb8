"""What is wrong with one label shard: its marker, its bytes, every member, its photographs."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from teacher.jobs.label_set import LabelSet
from teacher.manifest import sample_seed
from teacher.markers import Marker, Quarantined, read_errors, read_marker
from teacher.members import LABEL_SUFFIXES, TASKS
from teacher.provenance import sha256_file
from teacher.salvage import sound_photographs
from teacher.sample import Labels, decode_labels
from teacher.shard_tar import read_shard

REPAIR = "delete the shard with --repair and label again"
REWRITE = "write the label set again"
RESTORE = "bring back the photographs that were labelled"
MEND = "mend the disk, or the rights to read it"


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One thing that is broken, and the way out."""

    shard: str
    key: str | None
    """None where the whole shard is concerned."""
    cause: str
    remedy: str

    def __str__(self) -> str:
        place = self.shard if self.key is None else f"{self.shard}/{self.key}"
        return f"{place}: {self.cause}; {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class ShardCheck:
    """What was found in one shard."""

    shard: str
    samples: int
    size_bytes: int
    defects: tuple[Defect, ...]


def check_shard(labels: LabelSet, name: str, images: Path | None) -> ShardCheck:
    """Read a label shard through, and its photographs where they are given.

    Memory holds one sample at a time, and the keys of the shard with 32 bytes for each photograph.
    """
    return _ShardReader(labels, name).check(images)


class _ShardReader:
    """Findings in one shard, collected while it is read."""

    def __init__(self, labels: LabelSet, name: str) -> None:
        self.labels, self.name, self.tar = labels, name, labels.tar(name)
        self.remedy = REPAIR if labels.manifest else REWRITE
        self.photograph_remedy = RESTORE
        """Where labels and photographs differ: the labels' fault if the photographs are as ever."""
        self.defects: list[Defect] = []
        self.keys: list[str] = []

    def check(self, images: Path | None) -> ShardCheck:
        try:
            self._read(images)
        except OSError as error:
            self._add(f"cannot be read: {error}", remedy=MEND)
        return ShardCheck(
            shard=self.name,
            samples=len(self.keys),
            size_bytes=self.tar.stat().st_size if self.tar.is_file() else 0,
            defects=tuple(self.defects),
        )

    def _read(self, images: Path | None) -> None:
        marker, errors = self._read_marker(), self._read_errors()
        if not self.tar.is_file():
            self._add("the shard is missing")
            return
        if marker:
            self._check_file(marker)
        digests = self._photograph_digests(images) if images else None
        if self._check_samples(digests):
            self._check_counts(marker, errors)
            if digests is not None:
                self._check_complete(digests, {error.key for error in errors})

    def _add(self, cause: str, key: str | None = None, remedy: str | None = None) -> None:
        remedy = remedy or self.remedy
        self.defects.append(Defect(shard=self.name, key=key, cause=cause, remedy=remedy))

    def _read_marker(self) -> Marker | None:
        try:
            return read_marker(self.labels.folder, self.name)
        except ValueError as error:
            self._add(f"its marker cannot be read: {error}")
            return None

    def _read_errors(self) -> list[Quarantined]:
        try:
            return read_errors(self.labels.folder, self.name)
        except ValueError as error:
            self._add(f"its quarantine cannot be read: {error}")
            return []

    def _check_file(self, marker: Marker) -> None:
        job_id, size_bytes = self.labels.job_id, self.tar.stat().st_size
        if job_id is not None and marker.job_id != job_id:
            self._add(f"written by the job {marker.job_id}, but the folder's is {job_id}")
        if size_bytes != marker.size_bytes:
            self._add(f"{size_bytes} bytes, its marker says {marker.size_bytes}")
        elif (sha256 := sha256_file(self.tar)) != marker.sha256:
            self._add(f"sha256 {sha256[:12]}, its marker says {marker.sha256[:12]}")

    def _photograph_digests(self, images: Path) -> dict[str, str]:
        """Key -> sha256 of each photograph, in the order of the shard."""
        planned = self.labels.inputs.get(self.name)
        if planned and sha256_file(images) == planned.sha256:
            self.photograph_remedy = self.remedy
        elif planned:
            self._add(f"{images} changed since it was labelled", remedy=RESTORE)
        photographs = sound_photographs(images)
        if planned and planned.keys is not None:
            wanted = set(planned.keys)
            photographs = (item for item in photographs if item[0] in wanted)
        return {key: hashlib.sha256(data).hexdigest() for key, data in photographs}

    def _check_samples(self, digests: Mapping[str, str] | None) -> bool:
        """Whether the tar could be read to its end."""
        try:
            for sample in read_shard(self.tar, suffixes=LABEL_SUFFIXES):
                self.keys.append(sample.key)
                try:
                    labels = decode_labels(sample.members)
                except ValueError as error:
                    self._add(str(error), sample.key)
                    continue
                for cause in self._wrong_with(sample.key, labels):
                    self._add(cause, sample.key)
                if digests is not None:
                    self._check_photograph(sample.key, labels, digests)
        except ValueError as error:
            self._add(str(error))
            return False
        return True

    def _wrong_with(self, key: str, labels: Labels) -> Iterator[str]:
        """What decoding does not refuse: decode_labels checks sizes, units, lengths and ids."""
        job_id, confidence = self.labels.job_id, labels.confidence
        if job_id is not None and labels.record.seed != sample_seed(job_id, key):
            yield "label.json: the seed is not that of this job and key"
        if job_id is not None and confidence is None:
            yield "confidence.png: missing"
        absent = [task not in labels.tasks for task in TASKS]
        if confidence is not None and np.any(confidence[..., absent]):
            yield "confidence.png: above 0 for a task that is not labelled"

    def _check_photograph(self, key: str, labels: Labels, digests: Mapping[str, str]) -> None:
        if key not in digests:
            cause = "labels of a photograph that is not in the image shard"
        elif digests[key] != labels.record.photo_sha256:
            cause = "labels of another photograph than that in the image shard"
        else:
            return
        self._add(cause, key, self.photograph_remedy)

    def _check_counts(self, marker: Marker | None, errors: Collection[Quarantined]) -> None:
        if marker and marker.ok != len(self.keys):
            self._add(f"{len(self.keys)} labels, its marker says {marker.ok}")
        if marker and marker.quarantined != len(errors):
            self._add(f"{len(errors)} quarantined, its marker says {marker.quarantined}")
        for key in sorted({error.key for error in errors} & set(self.keys)):
            self._add("both labelled and quarantined", key)

    def _check_complete(self, digests: Mapping[str, str], quarantined: Collection[str]) -> None:
        """Every photograph is labelled or quarantined, in the order of the image shard."""
        labelled = {key for key in self.keys if key in digests}
        for key in digests:
            if key not in labelled and key not in quarantined:
                self._add("neither labelled nor quarantined", key)
        if [k for k in digests if k in labelled] != [k for k in self.keys if k in labelled]:
            self._add("labels in another order than the photographs")

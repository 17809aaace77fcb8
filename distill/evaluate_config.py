"""What `potstill evaluate` is asked for; loads no torch, so that --help answers at once."""

from dataclasses import dataclass
from pathlib import Path

from distill.alignment import ALIGNMENTS
from teacher.manifest import MANIFEST_NAME, read_manifest
from teacher.sample import TASKS


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Score any labeller against any labels, as a whole and by slices, with 95 % intervals.

    With --suite: several of them on imported data sets, beside published results. It has options
    of its own, see `potstill evaluate --suite FOLDER --help`.
    """

    labeller: Path
    """A teacher's folder (model_index.json, config.json) or "embedded", a student's (student.json),
    an ONNX file of `potstill export`, or a folder of labels, which are looked up by key."""
    on: Path
    """Folder of the label shards to score against, such as the ground truth of scenes."""
    images: Path | None = None
    """Image shards, or the folder that holds them; by default images/ beside the labels' folder, or
    the photographs that the labels' manifest names."""
    tasks: tuple[str, ...] = TASKS
    """Tasks to score."""
    limit: int | None = None
    """Score the first so many photographs only."""
    batch_size: int = 16
    """Photographs that are labelled at once."""
    votes: int = 1
    """Paintings of each photograph that a teacher merges."""
    steps: int | None = None
    """Denoising steps of a painting, in place of the teacher's own."""
    lora: Path | None = None
    """LoRA adapter for a teacher: a safetensors file, or a folder of `potstill tune --base`."""
    alignment: str = "none"
    """Fit of each photograph's depth to the truth, which affine depth needs: least_squares, ransac;
    the share of photographs whose fit turned far into near is then scored as "inverted"."""
    device: str = "cpu"
    """Where the labeller runs: cpu or cuda."""
    ceiling: bool = False
    """Score what a teacher's codecs and autoencoder keep of the labels, without its denoiser."""
    resamples: int = 1000
    """Bootstrap resamples of the photographs, for the intervals."""
    seed: int = 0
    """Of the bootstrap."""
    out: Path | None = None
    """Also write the scores to this JSON file."""

    def __post_init__(self) -> None:
        if self.alignment not in ALIGNMENTS:
            known = ", ".join(ALIGNMENTS)
            raise ValueError(f"--alignment: expected one of {known}, found {self.alignment!r}")

    @property
    def photographs(self) -> Path:
        """Where the photographs are. Raises FileNotFoundError when that has to be said."""
        return find_photographs(self.on) if self.images is None else self.images


def find_photographs(labels: Path) -> Path:
    """The folder of the photographs that were labelled: beside the labels, or by their manifest.

    Raises FileNotFoundError when neither is there, or no labels are.
    """
    if not labels.is_dir():
        raise FileNotFoundError(f"{labels}: no such folder; --on takes a folder of label shards")
    beside = labels.parent / "images"
    if beside.is_dir():
        return beside
    if (labels / MANIFEST_NAME).is_file():
        folders = {Path(shard.path).parent for shard in read_manifest(labels).inputs}
        if len(folders) == 1 and (folder := folders.pop()).is_dir():
            return folder
    raise FileNotFoundError(
        f"{labels}: its photographs are neither in {beside} nor where a manifest of the labels "
        "says; give --images"
    )

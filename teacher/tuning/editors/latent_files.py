"""Pictures as latents in files, with what is to be learned from them; read row by row when needed.

A file holds, for each size: the pictures, and examples that name a target picture, a source picture
or none, and the instruction. A photograph is stored once, however much is painted on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from teacher.atomic import write_atomically
from teacher.tuning.editors.config import Size

NO_SOURCE = -1
OPEN_FILES = 64


@dataclass
class Bucket:
    """Examples of one size, as they are collected."""

    pictures: list[Tensor] = field(default_factory=list)
    """(C, h, w) bfloat16 each"""
    known: list[Tensor] = field(default_factory=list)
    """(h, w) bool for each example: where its target is known"""
    table: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Source, target, instruction and sample of each example."""

    def add_painted(
        self, latents: Tensor, instructions: Sequence[int], known: Sequence[Tensor], sample: int
    ) -> None:
        """A photograph's latents followed by those of its paintings: (1 + n, C, h, w)."""
        source = len(self.pictures)
        self.pictures += list(latents.cpu().bfloat16())
        self.known += known
        for place, instruction in enumerate(instructions):
            self.table.append((source, source + 1 + place, instruction, sample))

    def add_picture(self, latents: Tensor, prompt: int, sample: int) -> None:
        """A picture (C, h, w) to be made from nothing but its prompt."""
        self.table.append((NO_SOURCE, len(self.pictures), prompt, sample))
        self.pictures.append(latents.cpu().bfloat16())
        self.known.append(torch.ones(latents.shape[1:], dtype=torch.bool))


def write_latents(path: Path, buckets: dict[Size, Bucket]) -> None:
    """Write what was collected; the file appears whole or not at all."""
    tensors = {}
    for (height, width), bucket in buckets.items():
        if bucket.table:
            name = f"{height}x{width}"
            tensors[f"{name}.pictures"] = torch.stack(bucket.pictures)
            tensors[f"{name}.known"] = torch.stack(bucket.known)
            tensors[f"{name}.table"] = torch.tensor(bucket.table)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(tensors))


@dataclass(frozen=True)
class Examples:
    """The examples of one size in all files: (n,) arrays, and the latents where they are stored."""

    size: Size
    files: tuple[Path, ...]
    file: np.ndarray
    """Place of each example's file in `files`."""
    row: np.ndarray
    """Its row in the file."""
    instruction: np.ndarray
    """Its instruction: a row of the embedded ones."""
    sample: np.ndarray
    """Number of its photograph over all files; crops of one share it."""
    known: np.ndarray
    """Share of its target that is known, 0..1."""

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, rows: np.ndarray) -> "Examples":
        fields = ("file", "row", "instruction", "sample", "known")
        return Examples(self.size, self.files, *(getattr(self, name)[rows] for name in fields))

    def fetch(self, rows: Sequence[int]) -> tuple[Tensor | None, Tensor, Tensor]:
        """Source latents (B, C, h, w) or None, target latents, and where they are known (B, h, w).

        float32, whatever is stored.
        """
        found = [self._fetch_one(int(row)) for row in rows]
        sources, targets, known = zip(*found)
        source = None if sources[0] is None else torch.stack(sources).float()
        return source, torch.stack(targets).float(), torch.stack(known).float()

    def _fetch_one(self, row: int) -> tuple[Tensor | None, Tensor, Tensor]:
        file = _open(self.files[self.file[row]])
        name = f"{self.size[0]}x{self.size[1]}"
        at = int(self.row[row])
        source, target, *_ = file.get_slice(f"{name}.table")[at].tolist()
        pictures = file.get_slice(f"{name}.pictures")
        known = file.get_slice(f"{name}.known")[at]
        return None if source == NO_SOURCE else pictures[source], pictures[target], known


def read_examples(files: Sequence[Path]) -> list[Examples]:
    """The examples of all files, by size; the latents stay where they are."""
    columns: dict[Size, list[np.ndarray]] = {}
    first_sample = 0
    for number, path in enumerate(files):
        tables = _tables(path)
        for size, (table, known) in tables.items():
            row = np.arange(len(table))
            sample = first_sample + table[:, 3]
            parts = [np.full_like(row, number), row, table[:, 2], sample, known]
            columns.setdefault(size, []).append(np.stack(parts))
        first_sample += max((1 + int(table[:, 3].max()) for table, _ in tables.values()), default=0)
    found = []
    for size, parts in sorted(columns.items()):
        file, row, instruction, sample, known = np.concatenate(parts, axis=1)
        whole = (array.astype(np.int64) for array in (file, row, instruction, sample))
        found.append(Examples(size, tuple(files), *whole, known=known))
    return found


def _tables(path: Path) -> dict[Size, tuple[np.ndarray, np.ndarray]]:
    """Size -> table (n, 4), and the share of each target that is known (n,)."""
    tables = {}
    with safe_open(path, "pt") as file:
        for key in file.keys():  # noqa: SIM118 (no mapping)
            name, _, part = key.partition(".")
            if part == "table":
                height, _, width = name.partition("x")
                known = file.get_tensor(f"{name}.known").float().mean((1, 2)).numpy()
                tables[int(height), int(width)] = file.get_tensor(key).numpy(), known
    return tables


@lru_cache(maxsize=OPEN_FILES)
def _open(path: Path):
    return safe_open(path, "pt")

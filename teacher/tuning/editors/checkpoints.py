"""Lightning's checkpoints as safetensors files: tensors, and the rest as JSON; nothing pickled."""

import json
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from teacher.atomic import write_atomically

TENSOR, ITEMS, TUPLE = "tensor", "items", "tuple"


class SafetensorsCheckpoints(CheckpointIO):
    """Writes whole files or nothing, so that a killed run leaves the checkpoint before.

    Raises TypeError for a checkpoint with anything but tensors, containers and plain values.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        tensors: dict[str, Tensor] = {}
        tree = json.dumps(_plain(checkpoint, tensors))
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), save(tensors, {"tree": tree}))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Inverse of save_checkpoint, on the CPU."""
        return _restored(json.loads(_header(Path(path))["tree"]), load_file(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


class LastCheckpoint(ModelCheckpoint):
    """Keeps the last checkpoint in `path`, written every so many steps."""

    def __init__(self, path: Path, every: int) -> None:
        self.FILE_EXTENSION = path.suffix
        super().__init__(
            path.parent,
            filename=path.stem,
            every_n_train_steps=every,
            enable_version_counter=False,
        )


def checkpoint_step(path: Path) -> int:
    """The optimiser steps that a checkpoint has behind it; 0 where there is none."""
    if not path.exists():
        return 0
    tree = _restored(json.loads(_header(path)["tree"]), {})
    return int(tree["global_step"])


def _header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def _plain(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON of a checkpoint; its tensors go to `tensors`. Keys keep their types, tuples too."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {TENSOR: name}
    if isinstance(value, dict):
        return {ITEMS: [[key, _plain(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {TUPLE: [_plain(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_plain(item, tensors) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}: {value!r}")


def _restored(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Inverse of _plain; a tensor that is not among `tensors` is None."""
    if isinstance(value, list):
        return [_restored(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if TENSOR in value:
        return tensors.get(value[TENSOR])
    if TUPLE in value:
        return tuple(_restored(item, tensors) for item in value[TUPLE])
    return {key: _restored(item, tensors) for key, item in value[ITEMS]}

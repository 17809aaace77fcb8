"""Small runs of `potstill tune --base`, for its tests."""

from pathlib import Path
from typing import Any

from teacher.tuning.editors.config import EditorTuneConfig, Optimisation, Replay


def small_run(base: Path | str, data: Path, out: Path, **fields: Any) -> EditorTuneConfig:
    """Four steps on photographs of 32 px; `fields` override."""
    settings: dict[str, Any] = {
        "images": (data / "images",),
        "labels": (data / "labels",),
        "steps": 4,
        "every": 2,
        "batch_size": 2,
        "held_out": 2,
        "sizes": ("32x32",),
        "legends": 2,
        "legend_pool": 2,
        "lora_rank": 4,
        "device": "cpu",
        "replay": Replay(pictures=4, held_out=2, steps=2),
        "optimisation": Optimisation(learning_rate=1e-2, warmup_steps=1, averaging=0.5),
    }
    return EditorTuneConfig(base=str(base), out=out, **{**settings, **fields})


def checkpoint_of(config: EditorTuneConfig) -> Path:
    """Where a run keeps its last checkpoint."""
    return config.out / "checkpoints" / "last.safetensors"


def as_flags(config: EditorTuneConfig) -> list[str]:
    """The same run as arguments of the command."""
    names = ("steps", "every", "batch_size", "held_out", "legends", "legend_pool", "lora_rank")
    flags = ["--base", config.base, "--out", str(config.out), "--device", config.device]
    flags += ["--images", str(config.images[0]), "--labels", str(config.labels[0])]
    flags += ["--sizes", ",".join(config.sizes), "--devices", str(config.devices)]
    for name in names:
        flags += [f"--{name}", str(getattr(config, name))]
    for group in ("replay", "optimisation", "mixture"):
        for name, value in vars(getattr(config, group)).items():
            flags += [] if value is None else [f"--{group}.{name}", str(value)]
    return flags

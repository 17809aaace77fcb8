"""Whole configurations of tuning, each with its hardware, time and result."""

from dataclasses import dataclass, field

from teacher.tuning.autoencoder import AutoencoderConfig
from teacher.tuning.denoiser import DenoiserConfig
from teacher.tuning.polish import PolishConfig
from teacher.tuning.stages import StageConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a teacher trained from scratch on procedural scenes."""

    name: str
    scenes: int
    """Training scenes of the split "train"."""
    size_px: int = 128
    difficulty: float = 0.5
    per_shard: int = 500
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    base: StageConfig = field(default_factory=lambda: StageConfig(replay=1.0))
    """The generator of scenes."""
    painting: StageConfig = field(default_factory=StageConfig)
    """Instruction tuning, with generation replayed."""
    polish: PolishConfig = field(default_factory=PolishConfig)
    """The decoder, on the painter's own latents."""


def embedded() -> Recipe:
    """The teacher in teacher/embedded/.

    Hardware and time: 4 CPU cores with bfloat16 instructions (AVX512-BF16 or AMX), about two
    hours: 11 minutes of rendering, 10 for the autoencoder, 8 for encoding, the rest training.
    Command: potstill tune --recipe embedded --out runs/teacher
    """
    return Recipe(name="embedded", scenes=30_000)


def smoke() -> Recipe:
    """Every stage in seconds, to see that they run; the result paints noise.

    Hardware and time: any CPU, under a minute. Command: potstill tune --recipe smoke --out runs/x
    """
    seconds = 2 / 60
    return Recipe(
        name="smoke",
        scenes=24,
        size_px=64,
        per_shard=12,
        autoencoder=AutoencoderConfig(widths=(8, 8, 16, 16), minutes=seconds, batch_size=4),
        denoiser=DenoiserConfig(double_blocks=1, single_blocks=1, heads=2, head_width=16),
        base=StageConfig(replay=1.0, minutes=seconds, batch_size=4, validation_scenes=4),
        painting=StageConfig(minutes=seconds, batch_size=4, validation_scenes=4),
        polish=PolishConfig(minutes=seconds, batch_size=4),
    )


RECIPES = {"embedded": embedded, "smoke": smoke}

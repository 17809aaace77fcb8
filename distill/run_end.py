"""What is written and said when a run has ended."""

from collections.abc import Sequence
from pathlib import Path

from distill.checkpoints import CHECKPOINTS
from distill.config import TrainConfig
from distill.curves import draw_curves
from distill.data import ShardPair
from distill.module import SCORED, DistillModule
from distill.pace import Pace
from student.model import save_student
from teacher.progress import console
from teacher.provenance import sha256_file, write_run


def finish_run(
    config: TrainConfig,
    module: DistillModule,
    pace: Pace,
    pairs: Sequence[ShardPair],
    photographs: int,
) -> None:
    """Store the student, run.json and curves.png, and say how it went.

    photographs: how many it was trained on.
    """
    save_student(module.student, config.out)
    write_run(
        config.out,
        config,
        steps=module.global_step,
        photographs=photographs,
        backbone_weights=module.student.backbone.origin,
        training_s=round(module.elapsed_s, 1),
        busy=round(pace.busy, 4),
        photographs_per_s=round(pace.photographs_per_s, 1),
        score=module.score,
        validation=module.validation,
        validation_images=module.validation_images,
        label_shards={pair.labels.name: sha256_file(pair.labels) for pair in pairs},
        relabelled_shards={
            p.relabelled.name: sha256_file(p.relabelled) for p in pairs if p.relabelled
        },
    )
    draw_curves(config.out)
    console.print(describe_run(config.out, module, pace), highlight=False, soft_wrap=True)


def describe_run(out: Path, module: DistillModule, pace: Pace) -> str:
    """A run in a few lines: how long, how fast, how good, and where things are."""
    found = [
        f"{name} {module.validation[task][name]:.3f}"
        for task, name in SCORED.items()
        if task in module.validation
    ]
    best = sorted(folder.name for folder in (out / CHECKPOINTS).glob("best-step_*"))
    lines = [
        f"trained      {module.global_step} steps in {module.elapsed_s / 60:.1f} minutes, "
        f"{pace.photographs_per_s:.0f} photographs/s",
        f"busy         {pace.busy:.1%} of the time in steps, the rest waiting for data",
        f"validation   {', '.join(found) or 'none'}"
        + ("" if module.score is None else f"; score {module.score:.3f}"),
        f"curves       {out / 'curves.png'}",
        *(f"best         {out / CHECKPOINTS / name}" for name in best),
        f"student      {out}, its backbone {module.student.backbone.origin}",
    ]
    return "\n".join(lines)

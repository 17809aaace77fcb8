"""The share of a SLURM array task: an even, contiguous part of a job's shards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from teacher.jobs.plan import select_shards
from teacher.progress import console
from teacher.shards import InputShard


@dataclass(frozen=True)
class ArrayTask:
    """One task of `sbatch --array`."""

    position: int
    """From 0."""
    count: int
    """Tasks of the array."""

    def shards(self, total: int) -> range:
        """Positions of its shards among `total`; the shares differ by one at most, or are empty."""
        return range(self.position * total // self.count, (self.position + 1) * total // self.count)


def array_task(environment: Mapping[str, str]) -> ArrayTask | None:
    """The array task that this process is, from SLURM's variables; None outside of an array.

    `--array=0-15`, `1-16`, `0-30:2` and `0-15%4` are understood.
    Raises ValueError for a list with gaps, such as `3,7,8`: a task's place in it is not told.
    """
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return None
    task, first, last, count, step = (
        _number(environment, f"SLURM_ARRAY_TASK_{name}")
        for name in ("ID", "MIN", "MAX", "COUNT", "STEP")
    )
    if step < 1 or first + (count - 1) * step != last or (task - first) % step:
        raise ValueError(
            f"the SLURM array {first}..{last} has {count} tasks in steps of {step}, so it has "
            "gaps: submit the whole array again (finished shards are passed over), or name the "
            "shards with --shards A-B"
        )
    return ArrayTask((task - first) // step, count)


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name)
    if value is None or not value.isdecimal():
        raise ValueError(
            f"{name}: expected a number beside SLURM_ARRAY_TASK_ID, found {value!r}; "
            "name the shards with --shards A-B"
        )
    return int(value)


def chosen_shards(
    inputs: Sequence[InputShard], positions: str | None, environment: Mapping[str, str]
) -> tuple[InputShard, ...]:
    """The shards that this process is to see to.

    positions: those of --shards; without it the task's share inside of a SLURM array, or all.
    Raises ValueError as select_shards and array_task do.
    """
    task = None if positions else array_task(environment)
    if task is None:
        return select_shards(inputs, positions)
    share = task.shards(len(inputs))
    shown = f"shards {share[0]}-{share[-1]}" if share else "no shards"
    console.print(f"SLURM array task {task.position + 1} of {task.count}: {shown} of {len(inputs)}")
    return tuple(inputs[share.start : share.stop])

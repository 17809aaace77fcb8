"""The share of a SLURM array task."""

import pytest

from teacher.jobs.slurm import array_task, chosen_shards
from teacher.shards import InputShard

SHARDS = [InputShard(f"/shards/{name:06d}.tar", 1, "0" * 64, 1) for name in range(10)]


def variables(task: int, first: int, last: int, count: int, step: int = 1) -> dict[str, str]:
    """What SLURM sets in an array task."""
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(("first", "step"), [(0, 1), (1, 1), (5, 3)])
@pytest.mark.parametrize("count", [1, 3, 4, 10, 13])
def test_the_tasks_share_all_shards_evenly(first: int, step: int, count: int) -> None:
    last = first + (count - 1) * step
    shares = [
        chosen_shards(SHARDS, None, variables(task, first, last, count, step))
        for task in range(first, last + 1, step)
    ]
    assert [shard for share in shares for shard in share] == SHARDS
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_shards_named_by_the_user_count_more() -> None:
    assert chosen_shards(SHARDS, "2-3", variables(0, 0, 3, 4)) == tuple(SHARDS[2:4])


def test_outside_of_an_array_it_is_all_shards() -> None:
    assert chosen_shards(SHARDS, None, {"SLURM_JOB_ID": "7"}) == tuple(SHARDS)


def test_an_array_with_gaps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3\.\.8 has 3 tasks in steps of 1, so it has gaps"):
        array_task(variables(7, 3, 8, 3))


def test_half_an_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="SLURM_ARRAY_TASK_MIN: expected a number"):
        array_task({"SLURM_ARRAY_TASK_ID": "3"})

"""What `potstill status` prints."""

from collections.abc import Iterator
from datetime import timedelta

from teacher.jobs.status import JobStatus, Pace, quarantine_reasons

SHOWN_REASONS = 20


def status_lines(status: JobStatus) -> Iterator[str]:
    """A job's state in words, line by line."""
    yield f"job          {status.job_id}, teacher {status.teacher}"
    yield f"shards       {len(status.markers)} of {status.shards} done"
    yield (
        f"photographs  {status.labelled} labelled, {status.quarantined_count} quarantined, "
        f"{status.remaining} to go"
    )
    if status.pace and status.remaining:
        yield f"pace         {_pace(status.pace, status.remaining_s)}"
    reasons = quarantine_reasons(status.quarantined)
    for reason in reasons[:SHOWN_REASONS]:
        error = reason.first
        more = f"; {reason.count - 1} more like it" if reason.count > 1 else ""
        yield f"quarantined  {reason.shard}/{error.key} ({error.stage}): {error.reason}{more}"
    unnamed = status.quarantined_count - sum(r.count for r in reasons[:SHOWN_REASONS])
    if unnamed:
        yield f"quarantined  {unnamed} others; see *.errors.jsonl"


def _pace(pace: Pace, remaining_s: float | None) -> str:
    last = f"the last one {_time(pace.since_last_s)} ago"
    done = f"{pace.photographs_per_s:.1f}/s over the last {pace.shards} shards, {last}"
    if remaining_s is None:
        return f"{done}: no longer running, or much slower"
    return f"{done}; {_time(remaining_s)} to the end"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

"""How a labelling job is getting on: a line that lives on a terminal, lines of JSON elsewhere."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from teacher.jobs.meter import Meter
from teacher.progress import console

REFRESH_S = 0.5
JSON_EVERY_S = 30.0


@contextmanager
def job_progress(meter: Meter, *, total: int, done: Callable[[], int]) -> Iterator[None]:
    """Show the progress of a job for the length of the block.

    total: photographs of the job; done: says how many of them others, or earlier runs, have done.
    Off a terminal one JSON object a line goes to stderr, every JSON_EVERY_S and at the end.
    """

    def state() -> dict[str, Any]:
        return progress_state(meter, total=total, done=done())

    if not console.is_terminal:
        with _repeating(lambda: _print_json(state()), JSON_EVERY_S):
            yield
        return
    with _bar() as bar:
        task = bar.add_task("labelling", total=total, line="")

        def show() -> None:
            now = state()
            bar.update(task, completed=now["photographs"], line=progress_line(now))

        with _repeating(show, REFRESH_S):
            yield


def progress_state(meter: Meter, *, total: int, done: int) -> dict[str, Any]:
    """Where a job stands, as JSON values: what a line of JSON holds."""
    now = meter.totals()
    photographs = min(total, done + now.photographs)
    left = total - photographs
    return {
        "event": "labelling",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "photographs": photographs,
        "of": total,
        "labelled_now": now.labelled,
        "quarantined_now": now.quarantined,
        "per_s": round(now.per_s, 2),
        "device_busy": round(now.busy, 4),
        "left_s": round(left / now.per_s, 1) if now.per_s else None,
    }


def progress_line(state: dict[str, Any]) -> str:
    """The same for people, in a few words."""
    left = "?" if state["left_s"] is None else _clock(state["left_s"])
    return (
        f"{state['per_s']:.1f}/s, device {state['device_busy']:.0%} busy, {left} left, "
        f"{state['quarantined_now']} quarantined"
    )


def _clock(seconds: float) -> str:
    minutes = round(seconds) // 60
    return f"{minutes // 60}:{minutes % 60:02d}:{round(seconds) % 60:02d}"


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[line]}"),
        console=console,
    )


def _print_json(state: dict[str, Any]) -> None:
    print(json.dumps(state), file=sys.stderr, flush=True)


@contextmanager
def _repeating(action: Callable[[], None], every_s: float) -> Iterator[None]:
    """Call a function again and again in a thread of its own, and once more at the end."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every_s):
            action()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        action()

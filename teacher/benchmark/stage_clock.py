"""Where the time of a painting goes: a clock for stages, and an editor that runs by it."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from teacher.painters.editor import Editor, Prompt
from teacher.painters.flow import FlowPainter


class StageClock:
    """Adds up seconds by stage. It waits for the device before and after each one."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """The block counts as this stage."""
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self.seconds[name] += time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class TimedEditor:
    """An editor whose three networks' calls are timed; all else is the editor's own."""

    def __init__(self, editor: Editor, clock: StageClock) -> None:
        self._editor, self._clock = editor, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._editor, name)

    def encode(self, pictures: Tensor) -> Tensor:
        """See Editor.encode."""
        with self._clock.stage("VAE encode"):
            return self._editor.encode(pictures)

    def velocity(self, noisy: Tensor, source: Tensor | None, t: Tensor, prompt: Prompt) -> Tensor:
        """See Editor.velocity."""
        with self._clock.stage("transformer"):
            return self._editor.velocity(noisy, source, t, prompt)

    def decode(self, latents: Tensor) -> Tensor:
        """See Editor.decode."""
        with self._clock.stage("VAE decode"):
            return self._editor.decode(latents)


@contextmanager
def timed(painter: FlowPainter, clock: StageClock) -> Iterator[None]:
    """Time the painter's networks within the block."""
    editor = painter.editor
    timed_editor: Any = TimedEditor(editor, clock)
    painter.editor = timed_editor
    try:
        yield
    finally:
        painter.editor = editor

"""A headless Chromium, driven over its debugging pipe: nothing but the standard library."""

import base64
import fcntl
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--force-color-profile=srgb"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    "--remote-debugging-pipe",
)
"""--no-sandbox, since tests in a container run as root; the pages are our own."""
TIMEOUT_S = 120


def find_chromium() -> str | None:
    """The browser of this machine, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Page:
    """One tab."""

    def __init__(self, pipe: "_Pipe"):
        self._pipe = pipe
        target = pipe.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = pipe.send("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = attached["sessionId"]

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol."""
        return self._pipe.send(method, parameters, self._session)

    def open(self, url: str) -> None:
        """Go to a page, and wait until its modules have run."""
        self.send("Page.navigate", url=url)
        self.evaluate(
            "new Promise(done => document.readyState === 'complete' && location.href !== "
            "'about:blank' ? done() : addEventListener('load', () => done()))"
        )

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, awaited. Raises RuntimeError for its errors."""
        found = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return found["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Until an expression of JavaScript is true."""
        self.evaluate(
            f"new Promise(done => {{ const look = () => {condition} ? done() : "
            "setTimeout(look, 20); look(); })"
        )

    def choose_file(self, selector: str, path: Path) -> None:
        """What a user does with a file input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def resize(self, width_px: int, height_px: int, *, dark: bool = False) -> None:
        """The window, and the colour scheme that the user prefers.

        Nothing moves by itself, so that what was measured is still there when it is clicked.
        """
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1}
        self.send("Emulation.setDeviceMetricsOverride", **size, mobile=width_px < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.send("Emulation.setEmulatedMedia", features=[scheme, still])

    def screenshot(self, path: Path) -> None:
        """The whole page, as PNG."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def browser(*flags: str) -> Iterator[Page]:
    """A tab of a fresh Chromium, which is closed at the end."""
    executable = find_chromium()
    assert executable is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process, pipe = _launch([executable, *FLAGS, *flags, f"--user-data-dir={profile}"])
        try:
            yield Page(pipe)
        finally:
            _close(process, pipe)


def _launch(command: list[str]) -> tuple[subprocess.Popen, "_Pipe"]:
    """Chromium reads commands from file descriptor 3, and answers on 4."""
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands_out, answers_in)]

    def connect() -> None:
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(
        command, preexec_fn=connect, pass_fds=(3, 4), stderr=subprocess.DEVNULL
    )
    for end in (*high, commands_out, answers_in):
        os.close(end)
    return process, _Pipe(commands_in, answers_out)


def _close(process: subprocess.Popen, pipe: "_Pipe") -> None:
    """Politely, so that nothing stays behind in the folder for temporary files."""
    try:
        pipe.send("Browser.close", {})
        process.wait(timeout=TIMEOUT_S)
    except (queue.Empty, OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


class _Pipe:
    """Commands out, answers in: JSON that ends with a zero byte."""

    def __init__(self, commands: int, answers: int):
        self._commands = os.fdopen(commands, "wb", buffering=0)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._last = 0
        threading.Thread(target=self._read, args=(answers,), daemon=True).start()

    def _read(self, answers: int) -> None:
        rest = b""
        while data := os.read(answers, 1 << 20):
            *messages, rest = (rest + data).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers.put(message)
        os.close(answers)

    def send(
        self, method: str, parameters: dict[str, Any], session: str | None = None
    ) -> dict[str, Any]:
        """One command, and its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        self._commands.write(json.dumps(message).encode() + b"\0")
        answer = self._answers.get(timeout=TIMEOUT_S)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

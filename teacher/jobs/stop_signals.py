"""SIGTERM and Ctrl-C as a polite request: finish the batch, then stop."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether to stop; neither signal ends anything by itself.

    A second Ctrl-C raises KeyboardInterrupt: whoever presses it twice does not want to wait.
    Outside the main thread, where Python takes no signals, the answer is always no.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped.is_set
        return

    def interrupt(*_: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        print("stopping after this batch; Ctrl-C again stops at once", file=sys.stderr)

    handlers = {signal.SIGTERM: lambda *_: stopped.set(), signal.SIGINT: interrupt}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stopped.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler or signal.SIG_DFL)

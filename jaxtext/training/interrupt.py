"""Stopping where it does no harm: a signal is noted, and obeyed at a step boundary."""

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

PRESSED_TWICE = 1.0  # seconds


@dataclass
class Request:
    """Whether somebody asked the run to stop: the signal's number, or ``None``."""

    signal: int | None = None


@contextlib.contextmanager
def requests_to_stop() -> Iterator[Request]:
    """Turns the first SIGINT (Ctrl-C) or SIGTERM into a request that can be polled.

    A later signal acts as it always does, for whoever cannot wait; not so within a
    second of the first, which is a key pressed twice. The handlers there were before
    come back at the end.

    Example:
      >>> import os
      >>> with requests_to_stop() as request:
      ...     os.kill(os.getpid(), signal.SIGINT)
      ...     request.signal == signal.SIGINT
      True
    """
    request = Request()
    noted_at = 0.0
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number, frame):
        nonlocal noted_at
        del frame
        if request.signal is None:
            request.signal, noted_at = number, time.monotonic()
        elif time.monotonic() - noted_at > PRESSED_TWICE:
            restore()
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()

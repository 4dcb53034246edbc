"""Stopping where it does no harm: a signal is noted, and obeyed at a step boundary."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import jax

AT_ONCE = 0.3  # seconds: a terminal and a parent may both pass on one Ctrl-C
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """Somebody asked the run to stop. Its argument is the signal's number."""


@dataclass
class Request:
    """Whether somebody asked the run to stop: the signal's number, or ``None``."""

    signal: int | None = None

    def note(self, number: int) -> None:
        """Takes a signal; the first one counts."""
        if self.signal is None:
            self.signal = number

    def check(self, *progress: object) -> None:
        """Raises `Stopped` if so; fit for a callback of whatever takes long.

        Not where there are other processes: they agree on a step to stop at.
        """
        del progress
        if self.signal is not None and jax.process_count() == 1:
            raise Stopped(self.signal)


@contextlib.contextmanager
def requests_to_stop() -> Iterator[Request]:
    """Turns the first SIGINT (Ctrl-C) or SIGTERM into a request that can be polled.

    A second one ends the process at once, with status ``128 + n``; not so within 0.3 s
    of the first, which is the same request come by two ways. Both are seen while the
    main thread compiles or waits for a device, where Python's own handlers do not run:
    a thread reads what the interpreter's C handler writes. The handlers that were
    there before come back at the end.

    Example:
      >>> with requests_to_stop() as request:
      ...     os.kill(os.getpid(), signal.SIGTERM)
      ...     request.signal == signal.SIGTERM
      True
    """
    request = Request()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    watcher = threading.Thread(
        target=_watch, args=(reading, request), name="signals", daemon=True
    )
    watcher.start()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    before_descriptor = signal.set_wakeup_fd(writing)
    for number in _SIGNALS:
        signal.signal(number, lambda number, frame: request.note(number))
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_descriptor)
        os.close(writing)
        watcher.join()
        os.close(reading)


def _watch(reading: int, request: Request) -> None:
    """Notes signals as they come, until the other end of the pipe is closed."""
    first_at = None
    while number := int.from_bytes(os.read(reading, 1)):
        if number not in _SIGNALS:
            continue
        request.note(number)
        if first_at is None:
            first_at = time.monotonic()
            _say("stopping at the next step; a second signal ends it at once")
        elif time.monotonic() - first_at > AT_ONCE:
            _say("ended at once; what was saved is good")
            os._exit(128 + number)


def _say(text: str) -> None:
    # Not by print: the main thread may have been interrupted while it holds its lock.
    if sys.__stderr__ is None:  # it was closed, and another file may have its number
        return
    show_cursor = "\x1b[?25h" if os.isatty(2) else ""  # a progress bar hides it
    with contextlib.suppress(OSError):
        os.write(2, f"{show_cursor}\n{text}\n".encode())

"""Turns signals such as Ctrl-C into a stop at the end of a training step."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import jax

from jaxtext.runs.endings import Ending

AT_ONCE = 0.3  # seconds; a terminal and a parent may both deliver the same Ctrl-C
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """The run was asked to stop.

    The argument is the number of the signal. If another process got it, a second one
    says which.
    """


@dataclass
class Request:
    """A request to stop.

    Attributes:
      signal: The number of the signal, or ``None`` if there is none.
      checks: How often `check` was called, which is a sign of progress.
    """

    signal: int | None = None
    checks: int = 0

    def note(self, number: int) -> None:
        """Takes a signal. Only the first one is kept."""
        if self.signal is None:
            self.signal = number

    def check(self, *progress: object) -> None:
        """Raises `Stopped` if there is a request.

        It can be passed as the progress callback of anything that takes long. With
        several processes it does nothing, since they agree on a step to stop at.
        """
        del progress
        self.checks += 1
        if self.signal is not None and jax.process_count() == 1:
            raise Stopped(self.signal)


@contextlib.contextmanager
def requests_to_stop() -> Iterator[Request]:
    """Turns the first SIGINT (Ctrl-C) or SIGTERM into a request that you can poll.

    A second signal ends the process at once, with status ``128 + n``. Within 0.3 s of
    the first, it counts as the same request, delivered twice.

    Python's own signal handlers do not run while the main thread compiles or waits for
    a device. So a thread reads what the interpreter's handler in C writes. The previous
    handlers are restored at the end of the block.

    Yields:
      The request.

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
    """Notes signals until the other end of the pipe is closed."""
    first_at = None
    while number := int.from_bytes(os.read(reading, 1)):
        if number not in _SIGNALS:
            continue
        request.note(number)
        if first_at is None:
            first_at = time.monotonic()
            _say("stopping at the next step; a second signal stops it at once")
        elif time.monotonic() - first_at > AT_ONCE:
            _say(Ending.STOPPED_AT_ONCE.words())
            os._exit(128 + number)


def _say(text: str) -> None:
    # Not with print: the main thread may be interrupted while it holds print's lock.
    if sys.__stderr__ is None:  # closed; another file may have its descriptor
        return
    with contextlib.suppress(OSError, ValueError):
        descriptor = sys.__stderr__.fileno()  # not always 2: see `supervise`
        # A progress bar hides the cursor.
        show_cursor = "\x1b[?25h" if os.isatty(descriptor) else ""
        os.write(descriptor, f"{show_cursor}\n{text}\n".encode())

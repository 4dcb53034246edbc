"""Says where a program hangs: in which phase, and at which line of each thread.

A program that waits forever looks like one that is slow. A watchdog looks at signs of
progress. If they stay the same for a long time, it says so, and writes the stacks of
all threads. It ends nothing, since it cannot know: the program may be compiling.
"""

import contextlib
import faulthandler
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from jaxtext.streams import say

_LOOKS = 8  # in the time after which no progress is a hang; but one each second
_SLACK = 1.5  # of that time: when the interpreter itself stands still


@contextlib.contextmanager
def watching(
    seconds: float, signs: Callable[[], Any], phase: Callable[[], str]
) -> Iterator[None]:
    """A block that is watched.

    If there is no progress for so many seconds, a line on standard error names the
    phase, and the stack of each thread follows. It is said once, until there is
    progress again. If a call in C holds the interpreter, so that no Python thread runs,
    the stacks come after 1.5 times as long, without that line.

    Args:
      seconds: How long no progress is no sign of a hang.
      signs: Returns something that differs whenever there was progress, such as the
        number of steps. A thread calls it.
      phase: Says in a few words what the program does.

    Example:
      >>> step = 0
      >>> with watching(1800, signs=lambda: step, phase=lambda: f"step {step}"):
      ...     for step in range(3):
      ...         pass
    """
    over = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(seconds, signs, phase, over), name="watchdog", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(seconds, signs, phase, over):
    last, since, told = signs(), time.monotonic(), False
    try:
        while not over.wait(min(1.0, seconds / _LOOKS)):
            descriptor = _descriptor()
            if descriptor is not None:
                # A thread of C's, which the next call puts off. It comes to write only
                # if this thread cannot run for so long.
                faulthandler.dump_traceback_later(seconds * _SLACK, file=descriptor)
            now = signs()
            if now != last:
                last, since, told = now, time.monotonic(), False
            elif not told and time.monotonic() - since >= seconds:
                told = True
                say(
                    f"no progress for {seconds:g} s in this phase: {phase()}. It may "
                    "be a hang. Nothing is ended. Here is where each thread is:"
                )
                if descriptor is not None:
                    faulthandler.dump_traceback(descriptor)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _descriptor():
    """That of standard error, if it has one."""
    try:
        return None if sys.__stderr__ is None else sys.__stderr__.fileno()
    except (OSError, ValueError):  # it is closed
        return None

"""Messages of other libraries that a script does not print."""

import logging
import sys
from typing import Any


def quiet_orbax() -> None:
    """Silences what Orbax and TensorStore print when a save fails.

    The failure also comes as an exception, which is told in one line. Besides it, Orbax
    logs errors, asyncio logs each write whose failure nobody has fetched, and
    TensorStore prints a traceback for each write that ends after Orbax has closed its
    event loop.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    before = sys.unraisablehook
    if getattr(before, "__module__", None) == __name__:
        return  # the program runs more than once in this process

    def hook(unraisable: Any) -> None:
        # Threads in C++ have no other way to report an exception.
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == _LATE):
            before(unraisable)

    sys.unraisablehook = hook


_LATE = "Event loop is closed"

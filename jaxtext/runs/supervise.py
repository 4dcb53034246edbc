"""A small parent process that reports why its child ended, if the child cannot.

If several processes train together and one is lost, the runtime ends the others with a
fatal error in C++. No Python handler runs then. So a process leaves its message and its
exit status with the parent beforehand (`last_words`).
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence

from jaxtext.streams import say

_ENVIRONMENT = "JAXTEXT_SUPERVISOR"
_ROOM = 4096  # bytes for the last words

_words: int | None = None  # descriptor of the file for the last words


def supervise(command: Sequence[str] | None = None) -> int:
    """Runs a command as a child process, and returns its exit status.

    The child must call `supervised`. It gets SIGINT and SIGTERM from this process,
    shares its standard streams, and is killed if this process is.

    Args:
      command: What to run. Default: the command of this process.

    Returns:
      The child's exit status, if it exited by itself. If the runtime ended it
      (SIGABRT), the status of its `last_words`, whose text is printed. If another
      signal n killed it, ``128 + n``.

    Example:
      >>> supervise([sys.executable, "-c", "raise SystemExit(3)"])
      3
    """
    command = [sys.executable, *sys.orig_argv[1:]] if command is None else command
    watched, held = os.pipe()  # `held` is closed when this process ends
    with tempfile.TemporaryFile() as words, os.fdopen(held), os.fdopen(watched):
        descriptors = watched, words.fileno()
        child = subprocess.Popen(
            command,
            pass_fds=descriptors,
            env=os.environ | {_ENVIRONMENT: ",".join(map(str, descriptors))},
        )
        before = {
            number: signal.signal(number, lambda number, _: child.send_signal(number))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            status = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        left = os.pread(words.fileno(), _ROOM, 0).decode()
    if status >= 0:
        return status
    if -status == signal.SIGABRT and left:
        status, text = json.loads(left)
        if text:
            say(text)
        return status
    name = signal.Signals(-status).name
    say(f"the process was ended by {name}")
    return 128 - status


def supervised() -> bool:
    """Whether this process is the child of `supervise`.

    Call it at the start of the program. The first call makes the process end when its
    parent does.
    """
    global _words
    found = os.environ.pop(_ENVIRONMENT, None)
    if found is not None:  # it was popped: processes started from here are no children
        watched, _words = map(int, found.split(","))
        threading.Thread(target=_watch, args=(watched,), daemon=True).start()
    return _words is not None


def last_words(status: int, text: str) -> None:
    """Leaves an exit status and a text, in case the runtime ends this process.

    They replace earlier ones. Without a supervisor, this does nothing.
    """
    if _words is not None:
        os.pwrite(_words, json.dumps([status, text]).ljust(_ROOM).encode(), 0)


def _watch(descriptor: int) -> None:
    """Kills this process when its parent ends."""
    os.read(descriptor, 1)  # nothing is written to the pipe; this waits for its end
    os.kill(os.getpid(), signal.SIGKILL)

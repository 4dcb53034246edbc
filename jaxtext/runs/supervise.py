"""A small parent process, to speak for a process that cannot.

Where several processes train together, the loss of one ends the others in the
runtime's own fatal error, in C++, which passes no handler of Python's. What there is to
say then is left with the parent beforehand (`last_words`).
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

_words: int | None = None  # the descriptor of the file they are written to


def supervise(command: Sequence[str] | None = None) -> int:
    """Runs a command as a child process, and translates its end.

    SIGINT and SIGTERM are passed on to the child, standard input and output are its
    own, and it is killed if this process is. It has to call `supervised`.

    Args:
      command: What to run. Default: the command that this process is.

    Returns:
      The child's exit status, if it came to say one. If the runtime ended it
      (SIGABRT), what the child left as its `last_words`, which are printed. If another
      signal n killed it, ``128 + n``.

    Example:
      >>> supervise([sys.executable, "-c", "raise SystemExit(3)"])
      3
    """
    command = [sys.executable, *sys.orig_argv[1:]] if command is None else command
    watched, held = os.pipe()  # held by this process alone: ends with it
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

    The first call, which belongs at the start of the program, binds the child's life to
    its parent's.
    """
    global _words
    found = os.environ.pop(_ENVIRONMENT, None)
    if found is not None:  # and it is not for processes that this one starts
        watched, _words = map(int, found.split(","))
        threading.Thread(target=_watch, args=(watched,), daemon=True).start()
    return _words is not None


def last_words(status: int, text: str) -> None:
    """Leaves an exit status and a text, should the runtime end this process.

    They take the place of those before. In a process without a supervisor, nobody
    hears them.
    """
    if _words is not None:
        os.pwrite(_words, json.dumps([status, text]).ljust(_ROOM).encode(), 0)


def _watch(descriptor: int) -> None:
    """Dies with the parent: nothing is ever written to this pipe, but it is closed."""
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGKILL)

"""A small parent process that reports why its child ended, if the child cannot.

If several processes train together and one is lost, the runtime ends the others with a
fatal error in C++. No Python handler runs then. So a process leaves its message and its
exit status with the parent beforehand (`last_words`).

The parent also passes on what C++ prints in the child. The runtime and Gloo print on
both standard streams, but standard output is for results, and what they print of a lost
process is in the last words, in one line.
"""

import collections
import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from jaxtext.streams import flush_all, say

KILLED = "the process was ended by {name}"
_ENVIRONMENT = "JAXTEXT_SUPERVISOR"
_ROOM = 4096  # bytes for the last words
_HELD = 1.0  # seconds; what C++ printed just before the end may be about the end
_HELD_OF_LOSS = 60.0  # if it surely is: to write all stacks takes a while
# What the runtime and Gloo print of a lost process has one of these words.
_OF_LOSS = (b"distributed service", b"oordination", b"gloo", b"Gloo")
# With which Gloo begins, on each device. Its threads break one another's lines.
_GREETING = (b"[Gloo] Rank ", b"connected peer ranks")

_words: int | None = None  # descriptor of the file for the last words
_kept: list[Any] = []  # streams that others may still refer to


def supervise(command: Sequence[str] | None = None) -> int:
    """Runs a command as a child process, and returns its exit status.

    The child must call `supervised`. It gets SIGINT and SIGTERM from this process,
    shares its standard streams, and is killed if this process is.

    Args:
      command: What to run. Default: the command of this process.

    Returns:
      The child's exit status, if it exited by itself. If the runtime ended it
      (SIGABRT), the status of its `last_words`. If another signal n killed it,
      ``128 + n``. The text of the last words is printed if the child ended with their
      status or by SIGABRT.

    Example:
      >>> supervise([sys.executable, "-c", "raise SystemExit(3)"])
      3
    """
    command = [sys.executable, *sys.orig_argv[1:]] if command is None else command
    watched, held = os.pipe()  # `held` is closed when this process ends
    printed, printing = os.pipe()
    with tempfile.TemporaryFile() as words, os.fdopen(held), os.fdopen(watched):
        descriptors = watched, words.fileno(), printing
        child = subprocess.Popen(
            command,
            pass_fds=descriptors,
            env=os.environ | {_ENVIRONMENT: ",".join(map(str, descriptors))},
        )
        os.close(printing)
        before = {
            number: signal.signal(number, lambda number, _: child.send_signal(number))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        with _Relay(printed) as relay:
            try:
                status = child.wait()
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
            left = json.loads(os.pread(words.fileno(), _ROOM, 0) or "[null, null]")
            if status == -signal.SIGABRT and left[0] is not None:
                status = left[0]
            text = left[1] if status == left[0] else None
            relay.finish(told=bool(text))
    return _ending(status, text)


def _ending(status, text):
    """Says what the child could not say, and returns the exit status."""
    if text:
        _leave_line()
        say(text)
    if status >= 0:
        return status
    name = signal.Signals(-status).name
    _leave_line()
    say(KILLED.format(name=name))
    return 128 - status


def supervised() -> bool:
    """Whether this process is the child of `supervise`.

    Call it at the start of the program. The first call makes the process end when its
    parent does. From then on ``sys.stdout`` and ``sys.stderr`` are the streams of the
    parent, and what C++ prints goes to the parent.
    """
    global _words
    found = os.environ.pop(_ENVIRONMENT, None)
    if found is not None:  # it was popped: processes started from here are no children
        watched, _words, printing = map(int, found.split(","))
        for descriptor in watched, _words, printing:
            os.set_inheritable(descriptor, False)
        threading.Thread(target=_watch, args=(watched,), daemon=True).start()
        _set_apart(printing)
    return _words is not None


def last_words(status: int, text: str) -> None:
    """Leaves an exit status and a text, in case the runtime ends this process.

    They replace earlier ones. Without a supervisor, this does nothing.
    """
    if _words is not None:
        data = json.dumps([status, text]).encode()
        if len(data) > _ROOM:  # escaped, a character takes up to 12 bytes
            data = json.dumps([status, text[: _ROOM // 16]]).encode()
        os.pwrite(_words, data.ljust(_ROOM), 0)


def end_now(status: int, text: str) -> NoReturn:
    """Ends this process with a last line on standard error.

    It may be called from any thread. Nothing else of the program runs any more.
    """
    if _words is None:
        _leave_line()
        say(text)
    else:
        last_words(status, text)
    flush_all()
    os._exit(status)


def _leave_line():
    """Ends a line that a progress bar has begun, on a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(OSError, ValueError):
            print("\x1b[?25h", file=sys.stderr)  # which shows the cursor again


def _watch(descriptor: int) -> None:
    """Kills this process when its parent ends."""
    os.read(descriptor, 1)  # nothing is written to the pipe; this waits for its end
    os.kill(os.getpid(), signal.SIGKILL)


def _set_apart(printing: int) -> None:
    """Gives Python's streams descriptors of their own, and C++ the pipe."""
    for number, name in (1, "stdout"), (2, "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue  # it is closed, or somebody has replaced it
        stream.flush()
        _kept.append(stream)
        own = open(  # noqa: SIM115 (it stays open)
            os.dup(number),
            "w",
            buffering=1 if stream.isatty() or number == 2 else -1,
            encoding=stream.encoding,
            errors=stream.errors,
        )
        setattr(sys, name, own)
        setattr(sys, f"__{name}__", own)
        os.dup2(printing, number)
    os.close(printing)


def _is_of_loss(line):
    return any(word in line for word in _OF_LOSS)


class _Relay:
    """Passes lines of a pipe to standard error, each after a moment.

    So those of the last moment can be left out, if they are about an end that is told.
    """

    def __init__(self, source: int):
        self._source = source
        self._lines: collections.deque[tuple[float, bytes]] = collections.deque()
        self._rest = b""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "_Relay":
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._source)

    def finish(self, *, told: bool) -> None:
        """Prints what is left.

        Args:
          told: Whether the end was told. Then lines about a lost process, and what
            follows them, are left out.
        """
        self._over.set()
        self._thread.join()
        while self._read(0):
            pass
        self._hold([self._rest])
        self._rest = b""
        lines = (line for _, line in self._lines)
        if told:
            lines = itertools.takewhile(lambda line: not _is_of_loss(line), lines)
        self._print(lines)
        self._lines.clear()

    def _run(self):
        while not self._over.is_set():
            if not self._read(0.1):
                self._over.wait(0.1)  # no program has its other end open
            ready = []
            lost = any(_is_of_loss(line) for _, line in self._lines)
            held = _HELD_OF_LOSS if lost else _HELD
            while self._lines and time.monotonic() - self._lines[0][0] > held:
                ready.append(self._lines.popleft()[1])
            self._print(ready)

    def _read(self, seconds):
        """Reads what there is; returns whether there may be more."""
        if not select.select([self._source], [], [], seconds)[0]:
            return seconds > 0
        data = os.read(self._source, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._hold(lines)
        return bool(data)

    def _hold(self, lines):
        now = time.monotonic()
        for line in lines:
            if line and not any(words in line for words in _GREETING):
                self._lines.append((now, line))

    def _print(self, lines):
        for line in lines:
            say(line.decode(errors="replace"))

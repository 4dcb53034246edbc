"""Standard output and error, which must not cost a run.

Whoever reads them may end, as ``head`` does; the disk that they go to may be full; they
may be closed, or may never have been open. One rule holds for all of that:

* Standard error is for a person. What cannot be said there is left out, and the work
  goes on.
* Standard output is for what came of the work. If nobody reads it any more, the work
  ends quietly, as done. If it cannot be written for another reason, the error is told.

A library should not decide that for the program that uses it, so only scripts do
(`script`).
"""

import contextlib
import errno
import functools
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TextIO, cast

from jaxtext.errors import InputError

P = ParamSpec("P")


class OutputError(Exception):
    """Standard output cannot be written.

    Attributes:
      unread: Nobody wants it: its reader has ended, or it was closed.
    """

    def __init__(self, cause: Exception):
        # Of a stream that was closed, Python raises a ValueError.
        why = (isinstance(cause, OSError) and cause.strerror) or cause
        super().__init__(f"standard output cannot be written ({why})")
        self.unread: bool = not isinstance(cause, OSError) or cause.errno in (
            errno.EPIPE,
            errno.EBADF,
        )


def open_all() -> None:
    """Opens the null device in place of each standard stream that is closed.

    A script calls this before it opens anything. The next file would otherwise get the
    number of standard output, and everything that writes to that number would write
    into the file.
    """
    for descriptor in 0, 1, 2:
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def say(text: str) -> None:
    """Prints a line on standard error, if that can be written."""
    if sys.stderr is None:  # print would take standard output instead
        return
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def print_last_line(text: str, kept: Path | None = None) -> None:
    """Prints what came of a script, its last line on standard output.

    Args:
      text: The line.
      kept: Where else it is. Then it is no error if it cannot be printed.

    Raises:
      OutputError: If it cannot be printed, and is kept nowhere else.
    """
    try:
        print(text, flush=True)
    except OutputError as error:
        if kept is None:
            raise
        if not error.unread:
            say(f"note: {error}; what came of it is in {kept}")


def lenient(stream: TextIO | None) -> TextIO:
    """Standard error, say, as a stream that leaves out what cannot be written to it.

    Args:
      stream: The stream, ``None`` if there is none, as in a daemon.
    """
    return cast(TextIO, _Guarded(stream, lambda error: None))


def flush_all() -> None:
    """Writes what was printed, as far as it can be written: `os._exit` would not."""
    for stream in sys.stdout, sys.stderr:
        with contextlib.suppress(AttributeError, OSError, ValueError, OutputError):
            stream.flush()  # None has no such attribute


def script(main: Callable[P, int]) -> Callable[P, int]:
    """Makes the main function of a script one that no output stream can harm.

    It also tells errors in one line. Exit status: what `main` returns; 0 if nobody
    reads standard output any more; 2 for an `InputError`, an `OSError`, or standard
    output that cannot be written; 130 for Ctrl-C.

    Example:
      >>> @script
      ... def main(length):
      ...     if length < 0:
      ...         raise InputError(f"--length: expected 0 or more, got {length}")
      ...     return 0
      >>> main(-1)
      2
    """

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        with _guarded():
            try:
                return _flushed(main, *args, **kwargs)
            except OutputError as error:
                if error.unread:
                    return 0
                say(f"error: {error}; mend that, and give the same command again")
            except (InputError, OSError) as error:
                say(f"error: {error}")
            except KeyboardInterrupt:
                return 130
            return 2

    return run


def _flushed(main, *args, **kwargs):
    """Calls `main`; what it has printed is written when this returns."""
    try:
        status = main(*args, **kwargs)
    except SystemExit:  # after --help, say
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return status


class _Nowhere(io.TextIOBase):
    """What stands for a stream that there is not."""

    encoding = "utf-8"

    def write(self, data: Any) -> int:
        return len(data)

    @property
    def buffer(self) -> "_Nowhere":
        return self


class _Guarded:
    """A stream whose failures go to `failed`, and not to whoever writes."""

    def __init__(self, stream: Any, failed: Callable[[Exception], None]):
        self._stream = _Nowhere() if stream is None else stream
        self._failed = failed

    def write(self, data: Any) -> int:
        try:
            return self._stream.write(data)
        except UnicodeEncodeError as error:  # of a stream in ASCII, say
            known = data.encode(error.encoding, "backslashreplace")
            return self.write(known.decode(error.encoding))
        except (OSError, ValueError) as error:
            self._failed(error)
            return len(data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._failed(error)

    def isatty(self) -> bool:
        try:
            return self._stream.isatty()
        except (OSError, ValueError):
            return False

    @property
    def buffer(self) -> "_Guarded":
        return _Guarded(self._stream.buffer, self._failed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Guards both streams, and sees that nothing is left for the interpreter to write.

    At its end the interpreter flushes both; where it cannot, it prints a traceback, and
    the exit status is 120.
    """
    before = sys.stdout, sys.stderr

    def unwritten(error: Exception) -> NoReturn:
        raise OutputError(error) from error

    sys.stdout = cast(TextIO, _Guarded(before[0], unwritten))
    sys.stderr = lenient(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            _leave_nothing(stream)


def _leave_nothing(stream: TextIO | None) -> None:
    """Writes what a stream still holds, or has the process's own one forget it."""
    if stream is None:
        return
    try:
        stream.flush()
    except ValueError:
        pass  # it is closed
    except OSError:
        if stream in (sys.__stdout__, sys.__stderr__):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)

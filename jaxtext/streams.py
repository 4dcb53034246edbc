"""Standard output and standard error, whose failures must not end a run.

The reader of a stream may end, as ``head`` does. Its disk may be full. A stream may be
closed, or may never have been open. One rule covers all of these:

- Standard error is for people. What cannot be written there is left out, and the
  program continues.
- Standard output is for results. If nobody reads it any more, the program ends as if it
  were done. If it cannot be written for another reason, that is an error.

A library must not decide this for the program that uses it, so only scripts do
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
      unread: Whether nobody reads it any more: its reader has ended, or it was closed.
    """

    def __init__(self, cause: Exception):
        # For a closed stream, Python raises a ValueError.
        why = (isinstance(cause, OSError) and cause.strerror) or cause
        super().__init__(f"standard output cannot be written ({why})")
        self.unread: bool = not isinstance(cause, OSError) or cause.errno in (
            errno.EPIPE,
            errno.EBADF,
        )


def open_all() -> None:
    """Opens the null device for each standard stream that is closed.

    A script calls this before it opens any file. Otherwise the next file would get the
    descriptor of standard output, and output would be written into that file.
    """
    for descriptor in 0, 1, 2:
        try:
            os.fstat(descriptor)
        except OSError:
            # It gets the lowest free descriptor, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def say(text: str) -> None:
    """Prints a line to standard error, if that can be written."""
    if sys.stderr is None:  # print would write to standard output instead
        return
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def print_last_line(text: str, kept: Path | None = None) -> None:
    """Prints the result of a script, its last line on standard output.

    Args:
      text: The line.
      kept: The file that also has the result, if any. Then a line that cannot be
        printed is not an error.

    Raises:
      OutputError: If the line cannot be printed, and no file has the result.
    """
    try:
        print(text, flush=True)
    except OutputError as error:
        if kept is None:
            raise
        if not error.unread:
            say(f"note: {error}; the result is in {kept}")


def lenient(stream: TextIO | None) -> TextIO:
    """Wraps a stream so that writing to it never fails.

    Args:
      stream: The stream; ``None`` if there is none, as in a daemon.

    Returns:
      A stream that leaves out what cannot be written.
    """
    return cast(TextIO, _Guarded(stream, lambda error: None))


def flush_all() -> None:
    """Flushes both streams, as far as possible. `os._exit` does not do that."""
    for stream in sys.stdout, sys.stderr:
        with contextlib.suppress(AttributeError, OSError, ValueError, OutputError):
            stream.flush()  # AttributeError if the stream is None


def script(main: Callable[P, int]) -> Callable[P, int]:
    """Decorates the main function of a script: handles streams, errors and Ctrl-C.

    Errors are printed as one line. The exit status is what `main` returns; 0 if nobody
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
                say(f"error: {error}; fix that, and run the same command again")
            except (InputError, OSError) as error:
                say(f"error: {error}")
            except KeyboardInterrupt:
                return 130
            return 2

    return run


def _flushed(main, *args, **kwargs):
    """Calls `main`, and flushes what it printed."""
    try:
        status = main(*args, **kwargs)
    except SystemExit:  # such as after --help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return status


class _Nowhere(io.TextIOBase):
    """A stream in place of one that is missing."""

    encoding = "utf-8"

    def write(self, data: Any) -> int:
        return len(data)

    @property
    def buffer(self) -> "_Nowhere":
        return self


class _Guarded:
    """A stream whose errors are passed to `failed`, not raised to the writer."""

    def __init__(self, stream: Any, failed: Callable[[Exception], None]):
        self._stream = _Nowhere() if stream is None else stream
        self._failed = failed

    def write(self, data: Any) -> int:
        try:
            return self._stream.write(data)
        except UnicodeEncodeError as error:  # such as for a stream in ASCII
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
    """Guards both streams, and leaves nothing for the interpreter to flush.

    The interpreter flushes both when it ends. If it cannot, it prints a traceback, and
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
    """Flushes a stream. If that fails, its data goes to the null device."""
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

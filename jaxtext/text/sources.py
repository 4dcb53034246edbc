"""From the words after ``--corpus`` to the files they mean."""

import glob
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from jaxtext.errors import InputError
from jaxtext.text.cache import unfinished, writing
from jaxtext.text.download import DATASETS, fetch
from jaxtext.text.reader import CHUNK, reading


class Sources(NamedTuple):
    """Files to read one after the other as a single text."""

    name: str  # short, of [A-Za-z0-9._-] only: fit for a directory's name
    paths: tuple[Path, ...]


@contextmanager
def resolve(
    specs: Sequence[str], *, cache: Path, waiting: Callable[[], None] = lambda: None
) -> Iterator[Sources]:
    """Find the files that corpus specifications stand for.

    A context manager because standard input, which can be read only once, is kept
    in a temporary file for as long as the block lasts.

    Args:
      specs: each one of ``stdlib`` (the running interpreter's own library source),
        ``tinyshakespeare`` (downloaded once), ``-`` (standard input), a file, a
        directory (every file below it that is not hidden, sorted) or a glob (``**``
        crosses directories, sorted). ``./stdlib`` is a file of that name.
      cache: root of the cache, for downloads and for standard input.
      waiting: called again and again while standard input is read.

    Yields:
      The files in the order of ``specs``, named after the first of these.

    Raises:
      InputError: a specification that matches no file or one that cannot be read,
        or a download or the cache that failed.

    Example:
      >>> with resolve(["stdlib"], cache=Path("cache")) as sources:
      ...     sources.name, "textwrap.py" in [path.name for path in sources.paths]
      ('stdlib', True)
    """
    if not specs or "" in specs:  # Path("") would be the working directory
        raise InputError("expected a corpus, got nothing; name one")
    if list(specs).count("-") > 1:
        raise InputError("standard input can be read only once; give - a single time")
    with ExitStack() as stack:
        found = [_find(spec, cache, waiting, stack) for spec in specs]
        paths = tuple(path for sources in found for path in sources.paths)
        # Better now than after an hour spent on the files before the unreadable one.
        for path in paths:
            _check_readable(path)
        yield Sources(_slug(found[0].name), paths)


def _find(
    spec: str, cache: Path, waiting: Callable[[], None], stack: ExitStack
) -> Sources:
    if spec == "-":
        spool = stack.enter_context(_spooled_stdin(cache / "corpora", waiting))
        return Sources("stdin", (spool,))
    if spec == "stdlib":
        return Sources(spec, _standard_library())
    if spec in DATASETS:
        return Sources(spec, (fetch(spec, cache),))
    path = Path(spec)
    try:
        if path.is_dir():
            return Sources(path.resolve().name, _files_below(path))
        if path.is_file():
            return Sources(path.stem, (path,))
        exists = path.exists()
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename or spec} ({error.strerror}); check its "
            "permissions"
        ) from error
    if exists:
        raise InputError(
            f"{spec} is neither a file nor a directory; pipe what it delivers to "
            "standard input and give -"
        )
    return _matches(spec)


def _matches(pattern: str) -> Sources:
    matches = map(Path, sorted(glob.glob(pattern, recursive=True)))
    paths = tuple(path for path in matches if path.is_file())
    if paths:
        return Sources(paths[0].stem, paths)
    if glob.has_magic(pattern):
        raise InputError(f"no file matches {pattern}; check the pattern")
    known = ", ".join(["stdlib", *DATASETS])
    raise InputError(
        f"no file, directory or data set is called {pattern}; check the path, or give "
        f"one of the data sets {known}"
    )


def _files_below(directory: Path) -> tuple[Path, ...]:
    def fail(error: OSError) -> None:
        raise error  # os.walk would pass over what it may not list

    paths = []
    for folder, folders, files in os.walk(directory, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(folder, name) for name in files if not name.startswith(".")]
    # Pipes and sockets are not text; opening one could even wait forever.
    paths = tuple(sorted(path for path in paths if path.is_file()))
    if not paths:
        raise InputError(f"the directory {directory} holds no files; give another")
    return paths


def _standard_library() -> tuple[Path, ...]:
    """List the top-level modules, the same on every machine with this Python.

    Without ``_sysconfigdata*``, which is written when the interpreter is built, and
    without what a distribution links in; ASCII, to keep the vocabulary at 96.
    """
    directory = Path(sysconfig.get_path("stdlib"))
    paths = tuple(
        path
        for path in sorted(directory.glob("*.py"))
        if not path.is_symlink()
        and not path.name.startswith("_sysconfigdata")
        and path.read_bytes().isascii()
    )
    if not paths:
        raise InputError(
            f"this Python has no library source in {directory}; install it or give "
            "another corpus"
        )
    return paths


@contextmanager
def _spooled_stdin(directory: Path, waiting: Callable[[], None]) -> Iterator[Path]:
    with ExitStack() as stack:
        with writing(directory):
            file = stack.enter_context(unfinished(directory))
            while piece := _read_stdin():
                file.write(piece)
                waiting()
            file.flush()
        yield Path(file.name)


def _read_stdin() -> bytes:
    with reading("standard input"):
        return sys.stdin.buffer.read(CHUNK)


def _check_readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(
            f"cannot read {path} ({error.strerror}); check its permissions"
        ) from error


def _slug(name: str) -> str:
    # Neither a hidden directory nor something a command line takes for a flag.
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40] or "corpus"

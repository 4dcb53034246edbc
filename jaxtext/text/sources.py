"""From the words after ``--corpus`` to the files they mean."""

import glob
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

from jaxtext.errors import InputError
from jaxtext.files import unfinished
from jaxtext.text.cache import writing
from jaxtext.text.download import DATASETS, fetch
from jaxtext.text.folder import Folder
from jaxtext.text.formats import reading
from jaxtext.text.reader import CHUNK


class Sources(NamedTuple):
    """Files to read one after the other as a single text."""

    name: str  # short, of [A-Za-z0-9._-] only: fit for a directory's name
    paths: tuple[Path, ...]


Spec: TypeAlias = str | bytes | os.PathLike[str]


@contextmanager
def resolve(
    specs: Spec | Sequence[Spec],
    *,
    cache: Path,
    waiting: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Iterator[Sources]:
    """Find the files that corpus specifications stand for.

    A context manager because standard input, which can be read only once, is kept
    in a temporary file for as long as the block lasts.

    Args:
      specs: each one of ``stdlib`` (the running interpreter's own library source),
        ``tinyshakespeare`` (downloaded once), ``-`` (standard input), a file, a
        directory (every file below it, sorted; see `folder`) or a glob (``**`` crosses
        directories, sorted). ``./stdlib`` is a file of that name. A single one need not
        be in a list.
      cache: root of the cache, for downloads and for standard input.
      waiting: called again and again while standard input is read.
      warn: told, in a sentence for each directory or glob, what was left out there:
        what is hidden, runs, caches, pipes and devices, links to nothing or to what is
        read already.

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
    words = [os.fsdecode(spec) for spec in _each(specs)]
    if not words or "" in words:  # Path("") would be the working directory
        raise InputError("expected a corpus, got nothing; name one")
    if words.count("-") > 1:
        raise InputError("standard input can be read only once; give - a single time")
    with ExitStack() as stack:
        found = [_find(word, cache, waiting, warn, stack) for word in words]
        paths = tuple(path for sources in found for path in sources.paths)
        if not paths:
            raise InputError(
                f"there are only runs in {' '.join(words)}, which are no text; give "
                "another corpus"
            )
        # Better now than after an hour spent on the files before the unreadable one.
        for path in paths:
            _check_readable(path)
        yield Sources(_slug(found[0].name), paths)


def _each(specs: Spec | Sequence[Spec]) -> Sequence[Spec]:
    return [specs] if isinstance(specs, str | bytes | os.PathLike) else specs


def _find(
    spec: str,
    cache: Path,
    waiting: Callable[[], None],
    warn: Callable[[str], None],
    stack: ExitStack,
) -> Sources:
    if spec == "-":
        spool = stack.enter_context(_spooled_stdin(cache / "corpora", waiting))
        return Sources("stdin", (spool,))
    if spec == "stdlib":
        return Sources(spec, _standard_library())
    if spec in DATASETS:
        return Sources(spec, (fetch(spec, cache),))
    folder = Folder(cache)
    try:
        found = _files(spec, folder)
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename or spec} ({error.strerror}); check its "
            "permissions"
        ) from error
    left_out = f"left out of {spec}: {folder.told()}" if folder.left_out else ""
    # Of what a shell's * names, one may well hold nothing but runs.
    runs = folder.left_out["runs"] or folder.left_out["files of runs"]
    if not found.paths and not runs:
        is_directory = Path(spec).is_dir()
        nothing = (
            "the directory {} holds no files" if is_directory else "no file matches {}"
        )
        raise InputError(f"{nothing.format(spec)}; {left_out or 'give another'}")
    if left_out:
        warn(f"{left_out}; name what you want to have read")
    return found


def _files(spec: str, folder: Folder) -> Sources:
    path = Path(spec)
    if path.is_file():
        return Sources(path.stem, (path,))
    if path.is_dir():
        return Sources(path.resolve().name, tuple(folder.below(path)))
    if path.exists():
        raise InputError(
            f"{spec} is neither a file nor a directory; pipe what it delivers to "
            "standard input and give -"
        )
    return _matches(spec, folder)


def _matches(pattern: str, folder: Folder) -> Sources:
    if not glob.has_magic(pattern):
        known = ", ".join(["stdlib", *DATASETS])
        raise InputError(
            f"no file, directory or data set is called {pattern}; check the path, or "
            f"give one of the data sets {known}"
        )
    paths = tuple(folder.matching(pattern))
    return Sources(paths[0].stem if paths else "corpus", paths)


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
        try:
            yield Path(file.name)
        except InputError as error:
            # What is wrong with this file is wrong with what was piped.
            said = str(error).replace(file.name, "standard input")
            raise InputError(said) from error


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

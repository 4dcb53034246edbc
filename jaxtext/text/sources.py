"""Finds the files that corpus specifications stand for."""

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

    name: str  # short, of [A-Za-z0-9._-] only: it can be part of a directory's name
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
    """Finds the files that corpus specifications stand for.

    This is a context manager because standard input can be read only once: it is kept
    in a temporary file until the block ends.

    Args:
      specs: A specification, or a list of them. Each is one of

        - ``stdlib``: the source of the running Python's standard library
        - ``tinyshakespeare``: downloaded the first time
        - ``-``: standard input
        - a file; ``./stdlib`` is a file of that name
        - a directory: every file below it, sorted by path (see `folder`)
        - a glob, sorted by path; ``**`` matches any number of directories
      cache: The root of the cache, for downloads and standard input.
      waiting: Called repeatedly while standard input is read.
      warn: Called with a sentence for each directory or glob in which something was
        left out: hidden files, runs, caches, pipes and devices, and links to nothing or
        to a file that is already read.

    Yields:
      The files in the order of `specs`. The name is that of the first one.

    Raises:
      InputError: If a specification matches no file or one that cannot be read, if a
        download fails, or if the cache cannot be written.

    Example:
      >>> with resolve(["stdlib"], cache=Path("cache")) as sources:
      ...     sources.name, "textwrap.py" in [path.name for path in sources.paths]
      ('stdlib', True)
    """
    words = [os.fsdecode(spec) for spec in _each(specs)]
    if not words or "" in words:  # Path("") is the working directory
        raise InputError("expected a corpus, got nothing; name one")
    if words.count("-") > 1:
        raise InputError("standard input can be read only once; give - a single time")
    with ExitStack() as stack:
        found = [_find(word, cache, waiting, warn, stack) for word in words]
        paths = tuple(path for sources in found for path in sources.paths)
        if not paths:
            raise InputError(
                f"there are only runs in {' '.join(words)}, which are not text; use "
                "another corpus"
            )
        # Checked now, not after an hour spent reading other files.
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
    # It is no error if one of the directories of a shell's * holds only runs.
    runs = folder.left_out["runs"] or folder.left_out["files of runs"]
    if not found.paths and not runs:
        is_directory = Path(spec).is_dir()
        nothing = (
            "the directory {} holds no files" if is_directory else "no file matches {}"
        )
        raise InputError(f"{nothing.format(spec)}; {left_out or 'use another'}")
    if left_out:
        warn(f"{left_out}; to read any of it, give its path")
    return found


def _files(spec: str, folder: Folder) -> Sources:
    path = Path(spec)
    if path.is_file():
        return Sources(path.stem, (path,))
    if path.is_dir():
        return Sources(path.resolve().name, tuple(folder.below(path)))
    if path.exists():
        raise InputError(
            f"{spec} is neither a file nor a directory; pipe its contents to standard "
            "input and use -"
        )
    return _matches(spec, folder)


def _matches(pattern: str, folder: Folder) -> Sources:
    if not glob.has_magic(pattern):
        known = ", ".join(["stdlib", *DATASETS])
        raise InputError(
            f"no file, directory or data set is called {pattern}; check the path, or "
            f"use one of the data sets {known}"
        )
    paths = tuple(folder.matching(pattern))
    return Sources(paths[0].stem if paths else "corpus", paths)


def _standard_library() -> tuple[Path, ...]:
    """Lists the top-level modules that every build of this Python has.

    It leaves out ``_sysconfigdata*``, which differs between builds, and links, which
    distributions add. Modules that are not ASCII are left out to keep the vocabulary at
    96 characters.
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
            f"this Python has no library source in {directory}; install it, or use "
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
            # The temporary file holds what was piped.
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
    # Without leading dots (hidden) and dashes (which look like a flag).
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40] or "corpus"

"""Finds the files that corpus specifications stand for."""

import glob
import os
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from jaxtext import buckets
from jaxtext.errors import InputError
from jaxtext.files import unfinished
from jaxtext.text.cache import writing
from jaxtext.text.download import DATASETS, fetch
from jaxtext.text.excluding import EVERYTHING, Exclusion
from jaxtext.text.folder import Folder
from jaxtext.text.formats import NoTextError, opened, reading
from jaxtext.text.names import last_part, slug
from jaxtext.text.reader import CHUNK, counter
from jaxtext.text.remote import Remote, obtain
from jaxtext.text.vocabulary import Kind


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
    kind: Kind | None = None,
    any_bytes: bool = False,
    exclude: Exclusion = EVERYTHING,
    progress: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Iterator[Sources]:
    """Finds the files that corpus specifications stand for.

    Files that are elsewhere are copied into the cache, once for each version
    (`remote.obtain`). This is a context manager because standard input can be read only
    once: it is kept in a temporary file until the block ends.

    Args:
      specs: A specification, or a list of them. Each is one of

        - ``stdlib``: the source of the running Python's standard library
        - ``tinyshakespeare``: downloaded the first time
        - ``-``: standard input
        - a file; ``./stdlib`` is a file of that name
        - a directory: every file below it, sorted by path (see `folder`)
        - a glob, sorted by path; ``**`` matches any number of directories
        - ``gs://…`` or ``s3://…``: an object, a prefix that stands for a directory, or
          a glob
        - ``http://…`` or ``https://…``: one file. ``#sha256=…`` at its end is the hash
          that it must have.
      cache: The root of the cache, for downloads and standard input.
      kind: What the files will be read as. Those of a directory, a prefix or a glob are
        left out if their first bytes show that they are not text of this kind. Default:
        they are not looked at.
      any_bytes: As for `formats.opened`.
      exclude: What to leave out of directories, prefixes and globs.
      progress: Called with the bytes received, or found in the cache and checked, and
        their total; with 0 and 1 while standard input is read, whose size is unknown.
        An exception that it raises ends a download, which can be continued.
      warn: Called with a sentence for each directory or glob in which something was
        left out: hidden files, runs, caches, pipes and devices, links to nothing or to
        a file that is already read, and what is no text or excluded; and for a damaged
        copy in the cache.

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
        found = [_find(word, cache, exclude, progress, warn, stack) for word in words]
        files = [file for each in found for file in each.files]
        if not files:
            raise InputError(
                f"there are only runs in {' '.join(words)}, which are not text; use "
                "another corpus"
            )
        # Checked now, not after an hour spent reading other files.
        for file in files:
            if isinstance(file, Path):
                _check_readable(file)
        paths, copied = _copied(files, cache, progress, warn)
        stack.enter_context(_named(copied))
        if kind is not None:
            what_it_is = partial(_what_it_is, kind, any_bytes)
            paths = _texts(words, found, paths, what_it_is, warn)
        yield Sources(slug(found[0].name), paths)


def names_data_set(specs: Spec | Sequence[Spec]) -> bool:
    """Whether a data set is among specifications.

    Example:
      >>> names_data_set("stdlib"), names_data_set(["my.txt", "./stdlib"])
      (True, False)
    """
    return any(os.fsdecode(x) in ("stdlib", *DATASETS) for x in _each(specs))


def is_elsewhere(spec: str) -> bool:
    """Whether a specification is a URL, so no path of this machine.

    Example:
      >>> is_elsewhere("gs://bucket/text"), is_elsewhere("my.txt")
      (True, False)
    """
    return buckets.scheme(spec) is not None


class _Found(NamedTuple):
    """What one specification stands for."""

    name: str
    files: tuple[Path | Remote, ...]
    are_many: bool = False  # it is a directory, a prefix or a glob


def _each(specs: Spec | Sequence[Spec]) -> Sequence[Spec]:
    return [specs] if isinstance(specs, str | bytes | os.PathLike) else specs


def _find(
    spec: str,
    cache: Path,
    excluded: Exclusion,
    progress: Callable[[int, int], None],
    warn: Callable[[str], None],
    stack: ExitStack,
) -> _Found:
    if spec == "-":
        spooled = _spooled_stdin(cache / "corpora", lambda: progress(0, 1))
        return _Found("stdin", (stack.enter_context(spooled),))
    if spec == "stdlib":
        return _Found(spec, _standard_library())
    if spec in DATASETS:
        advance = counter(DATASETS[spec].size, progress)
        return _Found(spec, (fetch(spec, cache, advance),))
    if is_elsewhere(spec):
        found, left_out, is_directory = _elsewhere(spec, excluded)
    else:
        folder = Folder(cache, excluded)
        try:
            found = _files(spec, folder)
        except OSError as error:
            raise InputError(
                f"cannot read {error.filename or spec} ({error.strerror}); check its "
                "permissions"
            ) from error
        left_out, is_directory = folder.left_out, Path(spec).is_dir()
    told = ", ".join(f"{what} ({n})" for what, n in sorted(left_out.items()))
    told = f"left out of {spec}: {told}" if told else ""
    # It is no error if one of the directories of a shell's * holds only runs.
    if not found.files and not left_out["runs"] and not left_out["files of runs"]:
        nothing = (
            "the directory {} holds no files" if is_directory else "no file matches {}"
        )
        raise InputError(f"{nothing.format(spec)}; {told or 'use another'}")
    if told:
        hint = "; to read any of it, give its path" * (left_out.keys() != {"excluded"})
        warn(told + hint)
    return found


def _elsewhere(spec: str, excluded: Exclusion) -> tuple[_Found, Counter[str], bool]:
    # Imported here, not above, because most texts are on the disk.
    from jaxtext.text import bucket, web

    scheme = (buckets.scheme(spec) or "").lower()
    if scheme in ("http", "https"):
        file = web.ask(spec)
        return _Found(last_part(unquote(file.url)).stem, (file,)), Counter(), False
    if scheme in ("gs", "s3"):
        name, files, left_out = bucket.find(spec, excluded)
        many = [file.url for file in files] != [spec]
        return _Found(name, files, many), left_out, not glob.has_magic(spec)
    raise InputError(
        f"expected a path, gs://, s3://, https:// or http://, got {spec}; use one of "
        "these"
    )


def _copied(
    files: Sequence[Path | Remote],
    cache: Path,
    progress: Callable[[int, int], None],
    warn: Callable[[str], None],
) -> tuple[tuple[Path, ...], dict[Path, str]]:
    """Copies what is elsewhere into the cache.

    Returns:
      The paths of all files, and the URLs of those that were copied.
    """
    sizes = [file.size for file in files if not isinstance(file, Path)]
    # Of one that does not tell its size, nobody knows how much is left.
    if None in sizes:
        advance = partial(_unknown, progress)
    else:
        advance = counter(max(1, sum(filter(None, sizes))), progress)
    paths, copied = [], {}
    for file in files:
        if isinstance(file, Path):
            paths.append(file)
            continue
        paths.append(obtain(file, cache, advance=advance, warn=warn))
        copied[paths[-1]] = file.url
    return tuple(paths), copied


def _texts(
    specs: Sequence[str],
    found: Sequence[_Found],
    paths: Sequence[Path],
    what_it_is: Callable[[Path], str | None],
    warn: Callable[[str], None],
) -> tuple[Path, ...]:
    """Leaves out what is no text in directories, prefixes and globs.

    Raises:
      InputError: If nothing is left.
    """
    kept, rest, told = list[Path](), iter(paths), ""
    for spec, each in zip(specs, found, strict=True):
        own = [next(rest) for _ in each.files]
        if not each.are_many:
            kept += own
            continue
        whats = [what_it_is(path) for path in own]
        kept += [path for path, what in zip(own, whats, strict=True) if what is None]
        counts = Counter(what for what in whats if what is not None)
        if counts:
            of = ", ".join(f"{what} ({n:,})" for what, n in sorted(counts.items()))
            told = f"left out of {spec}, as they are no text: {of}"
            warn(told)
    if not kept:
        raise InputError(f"there is no text in {' '.join(specs)}; {told}")
    return tuple(kept)


def _what_it_is(kind: Kind, any_bytes: bool, path: Path) -> str | None:
    """What a file is called if it is no text; ``None`` if it is one."""
    try:
        with opened(path, kind, any_bytes):
            return None
    except NoTextError as error:
        return error.what


def _unknown(progress: Callable[[int, int], None], size: int) -> None:
    progress(0, 1)


@contextmanager
def _named(copies: dict[Path, str]) -> Iterator[None]:
    """Names files in errors by what they are copies of."""
    try:
        yield
    except InputError as error:
        said = str(error)
        for path, name in copies.items():
            said = said.replace(str(path), name)
        raise InputError(said) from error


def _files(spec: str, folder: Folder) -> _Found:
    path = Path(spec)
    if path.is_file():
        return _Found(path.stem, (path,))
    if path.is_dir():
        return _Found(path.resolve().name, tuple(folder.below(path)), True)
    if path.exists():
        raise InputError(
            f"{spec} is neither a file nor a directory; pipe its contents to standard "
            "input and use -"
        )
    return _matches(spec, folder)


def _matches(pattern: str, folder: Folder) -> _Found:
    if not glob.has_magic(pattern):
        known = ", ".join(["stdlib", *DATASETS])
        raise InputError(
            f"no file, directory or data set is called {pattern}; check the path, or "
            f"use one of the data sets {known}"
        )
    paths = tuple(folder.matching(pattern))
    return _Found(paths[0].stem if paths else "corpus", paths, True)


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
        path = Path(file.name)
        with _named({path: "standard input"}):
            yield path


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

"""Decides which files of a folder are text to learn from.

A folder of texts is often a working directory too. Hidden files, training runs, caches
and second links to the same file are left out, so that the same command reads the same
text again.
"""

import errno
import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from jaxtext.text.excluding import Exclusion

# Where the scripts put their runs, below the directory that they are started in.
RUNS = Path("runs")

# The files that a run writes. Its directory may be the folder of the texts.
_OF_A_RUN = (
    "config.json",
    "flags.json",
    "result.json",
    "metrics.jsonl",
    "curve.png",
    "checkpoints",
    "evaluation-*.html",
    "look-inside.html",
    "events.out.tfevents.*",
    "wandb",
    "wandb-id",
)
MARKS_OF_CACHES = ("CACHEDIR.TAG", "pyvenv.cfg")


class Folder:
    """Finds the files of one corpus specification, each of them once.

    Args:
      cache: The root of the cache of corpora, which is left out.
      excluded: Tells which paths, relative to the directory that is read, to leave out.

    Attributes:
      left_out: How many paths were left out so far, by reason.
    """

    def __init__(self, cache: Path, excluded: Exclusion | None = None):
        self.left_out: Counter[str] = Counter[str]()
        self._cache = cache
        self._excluded = Exclusion(()) if excluded is None else excluded
        self._told = set[Path]()
        self._read = set[tuple[int, int]]()
        self._judged = dict[Path, str | None]()

    def below(self, directory: Path) -> Iterator[Path]:
        """Finds the files below a directory, sorted by path.

        Args:
          directory: The directory. It is read even if it is hidden or the directory of
            a run, but never the files that a run writes.

        Yields:
          The files that are not left out.

        Raises:
          OSError: If a directory cannot be listed.

        Example:
          >>> import tempfile
          >>> with tempfile.TemporaryDirectory() as name:
          ...     for file in "b.txt", "a.txt", ".hidden":
          ...         _ = Path(name, file).write_text("text")
          ...     folder = Folder(Path("cache"))
          ...     [path.name for path in folder.below(Path(name))], folder.left_out
          (['a.txt', 'b.txt'], Counter({'hidden': 1}))
        """
        files = []
        for folder in self._folders(directory, set()):
            for name in _names(folder):
                if name.startswith("."):
                    self._leave_out(folder / name, "hidden")
                elif not (folder / name).is_dir():
                    files.append(folder / name)
        for path in sorted(files):
            if self._excluded(path.relative_to(directory)):
                self._leave_out(path, "excluded")
            elif self._is_to_read(path):
                yield path

    def matching(self, pattern: str) -> Iterator[Path]:
        """Finds the files that match a glob, sorted by path.

        Args:
          pattern: The glob. ``**`` matches any number of directories. Wildcards do not
            match hidden names. Directories before the first wildcard are read even if
            they are hidden or runs.

        Yields:
          The files that are not left out.

        Raises:
          OSError: If a directory cannot be listed.
        """
        parts = Path(pattern).parts
        named = next((n for n, part in enumerate(parts) if glob.has_magic(part)), 0)
        for path in map(Path, sorted({str(Path(x)) for x in self._expand(pattern)})):
            folders = [*path.parents][: len(path.parts) - named - 1]
            if path.is_dir() or any(map(self._is_no_text, reversed(folders))):
                continue
            if self._excluded(Path(*path.parts[named:])):
                self._leave_out(path, "excluded")
            elif self._is_to_read(path):
                yield path

    def _expand(self, pattern: str) -> Iterator[str]:
        """Expands a glob. `glob` itself may not end if links lead back to a parent."""
        head, crossing, tail = f"/{pattern}/".partition("/**/")
        if not crossing:
            yield from glob.iglob(pattern)
            return
        head = head.removeprefix("/")
        root = "/" if pattern.startswith("/") and not head else head or "."
        for start in glob.iglob(root):
            for folder in self._folders(Path(start), set()):
                below = f"{glob.escape(str(folder))}/{tail.rstrip('/') or '*'}"
                yield from self._expand(below)

    def _folders(self, directory: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
        """Yields a directory and those below it that are not left out, each once."""
        if not directory.is_dir():
            return
        seen.add(_identity(directory))
        yield directory
        for name in _names(directory):
            path = directory / name
            if name.startswith(".") or not path.is_dir() or self._is_no_text(path):
                continue
            if _identity(path) in seen or _leads_back(path):
                self._leave_out(path, "links to what is read already")
            else:
                yield from self._folders(path, seen)

    def _is_no_text(self, directory: Path) -> bool:
        """Whether a directory is left out."""
        if directory not in self._judged:
            self._judged[directory] = self._why_not(directory)
        why = self._judged[directory]
        if why is not None:
            self._leave_out(directory, why)
        return why is not None

    def _why_not(self, directory: Path) -> str | None:
        if _is_of_a_run(directory):
            return "files of runs"
        if is_run(directory) or _is_same(directory, RUNS):
            return "runs"
        if (
            directory.name == "__pycache__"
            or any((directory / mark).exists() for mark in MARKS_OF_CACHES)
            or _is_same(directory, self._cache)
        ):
            return "caches"
        return None

    def _is_to_read(self, path: Path) -> bool:
        """Whether a path is a file of text that was not read by another path."""
        try:
            found = path.stat()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
            return self._leave_out(path, "links to nothing")
        if not stat.S_ISREG(found.st_mode):  # opening a pipe could block forever
            return self._leave_out(path, "pipes and devices")
        if _is_of_a_run(path):
            return self._leave_out(path, "files of runs")
        if (found.st_dev, found.st_ino) in self._read:
            return self._leave_out(path, "links to what is read already")
        self._read.add((found.st_dev, found.st_ino))
        return True

    def _leave_out(self, path: Path, why: str) -> bool:
        """Counts a path that is left out, once. Returns False: it is not read."""
        self.left_out[why] += path not in self._told
        self._told.add(path)
        return False


def is_run(directory: Path) -> bool:
    """Whether a directory is that of a run, which leaves certain files in it.

    Args:
      directory: Any directory. It need not exist.

    Example:
      >>> is_run(Path("."))
      False
    """
    checkpoints = directory / "checkpoints"
    claimed = (directory / "config.json").exists() and (directory / ".lock").exists()
    return claimed or any((checkpoints / kind).is_dir() for kind in ("latest", "best"))


def is_named_as_of_a_run(name: str) -> bool:
    """Whether a run writes files of that name into its directory.

    Example:
      >>> is_named_as_of_a_run("metrics.jsonl")
      True
    """
    return any(fnmatch(name, pattern) for pattern in _OF_A_RUN)


def _is_of_a_run(path: Path) -> bool:
    """Whether a path is a file that a run wrote into its directory."""
    return is_named_as_of_a_run(path.name) and is_run(path.parent)


def _names(directory: Path) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _is_same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)


def _leads_back(path: Path) -> bool:
    """Whether a directory is a link to one of its own parents."""
    return path.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())

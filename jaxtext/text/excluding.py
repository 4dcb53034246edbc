"""Patterns for files to leave out."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath


class Exclusion:
    """Leaves out files that match patterns, and knows which patterns have matched.

    A pattern without a slash is compared with the name of each file and directory, one
    with a slash with the path below the directory that is read. ``*`` also matches
    slashes. What is below a directory that matches is left out too.

    Args:
      patterns: The patterns, as in a shell.

    Example:
      >>> leaves_out = Exclusion(["*.png", "drafts/*"])
      >>> [leaves_out(x) for x in ("a/b.png", "drafts/a.txt", "a/drafts.txt")]
      [True, True, False]
      >>> leaves_out.unused
      ()
    """

    def __init__(self, patterns: Sequence[str]):
        self._patterns = tuple(patterns)
        self._used = set[str]()

    def __call__(self, path: PurePath | str) -> bool:
        """Whether a path, relative to the directory that is read, is left out."""
        path = PurePath(path)
        found = [x for x in self._patterns if _matches(path, x.rstrip("/"))]
        self._used.update(found)
        return bool(found)

    @property
    def unused(self) -> tuple[str, ...]:
        """The patterns that have matched nothing."""
        return tuple(x for x in self._patterns if x not in self._used)


EVERYTHING = Exclusion(())  # leaves out nothing


def _matches(path: PurePath, pattern: str) -> bool:
    if "/" not in pattern:
        return any(fnmatchcase(part, pattern) for part in path.parts)
    own_and_above = [path, *path.parents][:-1]
    return any(fnmatchcase(str(x), pattern.lstrip("/")) for x in own_and_above)

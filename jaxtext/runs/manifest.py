"""The manifest of a checkpoint: its commit record, and what it is verified by.

Orbax says when a save is complete, but not whether its bytes are still those that were
saved: a flipped bit in an array is restored without a word. Nor does it have them on
the disk (fsync) before it says so. So the last file of a checkpoint holds the SHA-256
of all others, in the form of ``sha256sum --check``, and is written when these are on
the disk.

Verifying looks at what is there, works out what the manifest would have to be, and
compares the two byte by byte. Nothing that a manifest says is parsed or believed: it
cannot name files elsewhere, and a flipped bit within it is found like any other.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jaxtext.runs.files import sync, write_durably

NAME = "manifest.sha256"
# What says something of the file, and not of this process or of its host.
_OF_THE_FILE = {errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class DamageError(Exception):
    """A checkpoint is not what was saved; the message says in what."""


def write(directory: Path, title: str) -> None:
    """Has all files of a directory on the disk, and then a manifest of them.

    Args:
      directory: A complete checkpoint.
      title: One line that says which checkpoint it is: a copy under the name of
        another is then no valid one.

    Raises:
      OSError: If that fails.

    Example:
      >>> import tempfile
      >>> directory = Path(tempfile.mkdtemp())
      >>> _ = (directory / "a").write_text("1")
      >>> write(directory, "latest 7")
      >>> print((directory / NAME).read_text()[:40])
      # latest 7
      6b86b273ff34fce19d6b804eff5a3
    """
    for path in _files(directory):
        sync(path)
    for folder, _, _ in os.walk(directory):
        sync(Path(folder))
    write_durably(directory / NAME, _render(directory, title))


def verify(directory: Path, title: str) -> None:
    """Raises `DamageError` unless a directory holds what its manifest was written of.

    Args:
      directory: What is to be a checkpoint.
      title: As given to `write`.

    Raises:
      DamageError: If a bit of it is another one, or a file is missing, cannot be
        read, is a link, or is there in addition.
      OSError: If it cannot be read for a reason that says nothing of it, such as a
        permission that is lost, or too many open files.

    Example:
      >>> import tempfile
      >>> directory = Path(tempfile.mkdtemp())
      >>> _ = (directory / "a").write_text("1")
      >>> write(directory, "latest 7")
      >>> verify(directory, "latest 7")
      >>> _ = (directory / "a").write_text("2")
      >>> verify(directory, "latest 7")
      Traceback (most recent call last):
        ...
      jaxtext.runs.manifest.DamageError: a is not what was saved
    """
    try:
        path = directory / NAME
        if not path.is_file() or path.is_symlink():
            raise DamageError(f"it has no {NAME}")  # before all the rest is hashed
        expected = _render(directory, title)
        found = path.read_bytes()
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        name = os.path.relpath(error.filename or directory, directory)
        raise DamageError(f"{name} cannot be read ({error.strerror})") from error
    if found != expected:
        raise DamageError(_difference(found, expected))


def _render(directory: Path, title: str) -> bytes:
    paths = list(_files(directory))
    with ThreadPoolExecutor() as threads:  # hashing lets go of the interpreter
        digests = threads.map(_digest, paths)
        lines = [
            digest.encode() + b"  " + os.fsencode(path.relative_to(directory))
            for digest, path in zip(digests, paths, strict=True)
        ]
    return b"\n".join([b"# " + title.encode(), *lines, b""])


def _files(directory: Path) -> Iterator[Path]:
    """Every file but the manifest, in order; nothing else may be there."""

    def fail(error: OSError) -> None:
        raise error  # os.walk would pass over what it may not list

    if directory.is_symlink():
        raise DamageError("it is a symbolic link")
    for folder, folders, names in os.walk(directory, onerror=fail):
        folders.sort()
        for name in sorted(folders + names):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            # A link may lead anywhere, and reading a pipe may take for ever.
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise DamageError(f"{path.relative_to(directory)} is no regular file")
            if stat.S_ISREG(mode) and path != directory / NAME:
                yield path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _difference(found: bytes, expected: bytes) -> str:
    """What to say about two manifests that are not the same."""
    saved, there = (
        {line[66:]: line[:64] for line in text.split(b"\n")[1:-1]}
        for text in (found, expected)
    )
    for name in sorted(saved.keys() | there.keys()):
        shown = os.fsdecode(name)
        if name not in there:
            return f"{shown} is missing"
        if name not in saved:
            return f"{shown} is there in addition"
        if saved[name] != there[name]:
            return f"{shown} is not what was saved"
    return f"{NAME} is damaged"

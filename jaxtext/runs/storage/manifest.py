"""The manifest of a checkpoint: proof that it is complete and undamaged.

Orbax reports when a save is complete, but it does not check later that the bytes are
still the same: it restores an array with a flipped bit without an error. Nor does it
wait until the disk has the data (fsync). So the last file of a checkpoint contains the
SHA-256 of all others, in the format of ``sha256sum --check``, and is written after the
disk has them.

To verify a checkpoint, the manifest of the files that are there is computed again and
compared byte by byte. The stored manifest is never parsed. So it cannot refer to files
elsewhere, and a flipped bit in it is detected like any other.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jaxtext.files import sync, write_durably

NAME = "manifest.sha256"
# Errors that are about the file, not about this process or its host.
_OF_THE_FILE = {errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class DamageError(Exception):
    """A checkpoint is not what was saved. The message says where it differs."""


def write(directory: Path, title: str) -> None:
    """Waits until the disk has all files of a directory, then writes their manifest.

    Args:
      directory: A complete checkpoint.
      title: A line that identifies the checkpoint. A copy with another name is then
        not valid.

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
    write_durably(directory / NAME, render(directory, title))


def verify(directory: Path, title: str) -> None:
    """Raises `DamageError` unless a directory has the same files as when it was saved.

    Args:
      directory: The checkpoint.
      title: As given to `write`.

    Raises:
      DamageError: If a file was changed, added or removed, is a link, or cannot be read
        because its disk fails.
      OSError: If a file cannot be read for a reason that does not concern the
        checkpoint, such as missing permissions or too many open files.

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
      jaxtext.runs.storage.manifest.DamageError: a was changed
    """
    try:
        path = directory / NAME
        if not path.is_file() or path.is_symlink():
            raise DamageError(f"it has no {NAME}")  # before hashing everything
        expected = render(directory, title)
        found = path.read_bytes()
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        name = os.path.relpath(error.filename or directory, directory)
        raise DamageError(f"{name} cannot be read ({error.strerror})") from error
    if found != expected:
        raise DamageError(_difference(found, expected))


def render(directory: Path, title: str) -> bytes:
    """Returns the manifest of the files that are in a directory."""
    paths = list(_files(directory))
    with ThreadPoolExecutor() as threads:  # hashing releases the GIL
        digests = threads.map(_digest, paths)
        lines = [
            digest.encode() + b"  " + os.fsencode(path.relative_to(directory))
            for digest, path in zip(digests, paths, strict=True)
        ]
    return b"\n".join([b"# " + title.encode(), *lines, b""])


def _files(directory: Path) -> Iterator[Path]:
    """Yields every file but the manifest, in order. Nothing else may be there."""

    def fail(error: OSError) -> None:
        raise error  # os.walk would skip what it cannot list

    if directory.is_symlink():
        raise DamageError("it is a symbolic link")
    for folder, folders, names in os.walk(directory, onerror=fail):
        folders.sort()
        for name in sorted(folders + names):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            # A link may lead anywhere, and reading a pipe may block forever.
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise DamageError(
                    f"{path.relative_to(directory)} is not a regular file"
                )
            if stat.S_ISREG(mode) and path != directory / NAME:
                yield path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _difference(found: bytes, expected: bytes) -> str:
    """Says where two manifests differ."""
    saved, there = (
        {line[66:]: line[:64] for line in text.split(b"\n")[1:-1]}
        for text in (found, expected)
    )
    for name in sorted(saved.keys() | there.keys()):
        shown = os.fsdecode(name)
        if name not in there:
            return f"{shown} is missing"
        if name not in saved:
            return f"{shown} was added"
        if saved[name] != there[name]:
            return f"{shown} was changed"
    return f"{NAME} is damaged"

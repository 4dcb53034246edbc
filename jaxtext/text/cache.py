"""The directory that keeps prepared corpora and downloads between runs."""

import contextlib
import fcntl
import os
import platform
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import platformdirs

from jaxtext.errors import InputError

_UNFINISHED = ".unfinished-"
_DAY = 24 * 60 * 60.0  # seconds


def root() -> Path:
    """Name the cache directory.

    Returns:
      ``$JAXTEXT_CACHE`` where that is set and not empty, else the user's cache
      directory as the platform has it. It need not exist yet.

    Example:
      >>> from unittest.mock import patch
      >>> with patch.dict(os.environ, JAXTEXT_CACHE="/tmp/elsewhere"):
      ...     root().name
      'elsewhere'
    """
    chosen = os.environ.get("JAXTEXT_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("jaxtext")


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Create a cache directory and report whatever the disk refuses in the block.

    Args:
      directory: made together with its parents where it does not exist.

    Yields:
      Nothing; the block writes below ``directory``. Other failures than the disk's
      (reading a corpus, the network) must leave the block as ``InputError``.

    Raises:
      InputError: any ``OSError`` of the block: no permission, disk full.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with writing(Path(folder) / "corpora"):
      ...         _ = (Path(folder) / "corpora" / "note").write_text("kept")
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"cannot write to the cache directory {directory} "
            f"({error.strerror or error}); make room or allow writing there, or set "
            "JAXTEXT_CACHE to another directory"
        ) from error


@contextlib.contextmanager
def unfinished(directory: Path) -> Iterator[BinaryIO]:
    """Make a file that is gone when the block ends, unless it was renamed in it.

    It is locked meanwhile, so that `remove_leftovers` can tell it from what a process
    that was killed has left.

    Args:
      directory: an existing one; the file's name there is like no other.

    Yields:
      The file, open for writing; ``file.name`` is its path.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with unfinished(Path(folder)) as file:
      ...         _ = file.write(b"whole")
      ...         _ = os.replace(file.name, Path(folder, "result"))
      ...     os.listdir(folder)
      ['result']
    """
    with _create(directory) as file:
        try:
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


def remove_leftovers(directory: Path) -> None:
    """Remove the `unfinished` files of processes that were killed.

    A process keeps its files locked for as long as it lives. Some file systems that
    hosts share do not show a lock to the other hosts: what another host made has to be
    a day old, too. What cannot be removed (not ours, read-only) stays.

    Args:
      directory: need not exist.

    Example:
      >>> remove_leftovers(Path("no/such/directory"))
    """
    for path in directory.glob(_UNFINISHED + "*"):
        # To be written, because NFS locks nothing else.
        with contextlib.suppress(OSError), path.open("rb+") as file:
            age = time.time() - os.fstat(file.fileno()).st_mtime
            if path.name.startswith(_of_this_host()) or age > _DAY:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _create(directory: Path) -> BinaryIO:
    while True:
        path = directory / f"{_of_this_host()}{secrets.token_hex(8)}"
        file = path.open("xb")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # taken for a leftover in the moment before it was locked


def _of_this_host() -> str:
    """What the names of this host's unfinished files begin with."""
    return f"{_UNFINISHED}{platform.node().replace('/', '-')}-"

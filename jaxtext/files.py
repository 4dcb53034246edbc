"""Files that appear complete or not at all, whenever the process is killed.

There is one way to do that here. Data is written to an `unfinished` file, which has a
name of its own and is locked. Once complete, the file is renamed, which replaces what
had that name in one step. A reader sees the old file or the new one.

- `write_durably` writes bytes, and `write_json` a JSON value, and both wait until the
  disk has them.
- `unfinished` is for data that does not fit in memory.
- `rename` gives a file or a directory its name, durably.
"""

import contextlib
import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from jaxtext.locks import lock_file

_UNFINISHED = ".unfinished-"
_DAY = 24 * 60 * 60.0  # seconds


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file, and returns when the disk has it.

    Args:
      path: The file. If it exists, it is replaced in one step. Several processes may
        write it at once: the last one's data stays.
      data: All of its contents.

    Raises:
      OSError: If the file cannot be written. An existing file is then unchanged.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "note"
      >>> write_durably(path, b"kept")
      >>> path.read_bytes(), os.listdir(path.parent)
      (b'kept', ['note'])
    """
    remove_leftovers(path.parent)
    with unfinished(path.parent) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        rename(Path(file.name), path)


def write_json(path: Path | str, value: Any) -> None:
    """Writes a JSON file as `write_durably` does."""
    write_durably(Path(path), as_json(value))


def as_json(value: Any) -> bytes:
    """A value as the contents of a JSON file."""
    # In ASCII, which can represent any file name that Python can.
    return (json.dumps(value, indent=2) + "\n").encode()


@contextlib.contextmanager
def unfinished(directory: Path) -> Iterator[BinaryIO]:
    """Creates a file that is removed at the end of the block, unless it was renamed.

    The file is locked until then, so `remove_leftovers` does not remove it.

    Args:
      directory: Where to create it. The directory must exist.

    Yields:
      The file, open for writing. Its path is ``file.name``.

    Raises:
      OSError: If the file cannot be created.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with unfinished(Path(folder)) as file:
      ...         _ = file.write(b"complete")
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
    """Removes `unfinished` files that were left by killed processes.

    A file that is locked belongs to a living process, and stays. Some network file
    systems do not show locks to other hosts, so files from other hosts must also be a
    day old. Files that cannot be removed (owned by somebody else, read-only) stay too.

    Args:
      directory: Where to look. It need not exist.

    Example:
      >>> remove_leftovers(Path("no/such/directory"))
    """
    for path in directory.glob(_UNFINISHED + "*"):
        with contextlib.suppress(OSError), open(path, "rb+", opener=_no_link) as file:
            age = time.time() - os.fstat(file.fileno()).st_mtime
            own = path.name.startswith(_of_this_host())
            if (own or age > _DAY) and lock_file(file, wait=False):
                path.unlink()


def rename(source: Path, target: Path) -> None:
    """Renames a file or directory, and returns when the disk has the new name.

    Args:
      source: What to rename, on the same file system.
      target: The new path. A file, or an empty directory, of that name is replaced.
    """
    os.replace(source, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Waits until the disk has a file's data, or the names in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(directory: Path) -> BinaryIO:
    while True:
        path = directory / f"{_of_this_host()}{secrets.token_hex(8)}"
        file = path.open("xb")
        lock_file(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # another process removed it before it was locked


def _of_this_host() -> str:
    """How the names of this host's unfinished files begin."""
    return f"{_UNFINISHED}{platform.node().replace('/', '-')}-"


def _no_link(path: str, flags: int) -> int:
    # A link with such a name is not ours, and may lead anywhere.
    return os.open(path, flags | os.O_NOFOLLOW)

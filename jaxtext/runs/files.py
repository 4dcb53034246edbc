"""Files that are there whole or not at all, whatever is killed or switched off."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file: aside, onto the disk, and then to its name in one step.

    Args:
      path: What is there is replaced; a reader sees the old file or the new one.
      data: All that it is to hold.

    Raises:
      OSError: If it cannot be written. What was there is still there.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "note"
      >>> write_durably(path, b"kept")
      >>> path.read_bytes(), sorted(p.name for p in path.parent.iterdir())
      (b'kept', ['note'])
    """
    part = path.with_name(path.name + ".part")
    # What a killed process left; or a link, which must not be followed elsewhere.
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Has what was written to a file, or the names in a directory, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def plain(path: Path) -> Iterator[Path]:
    r"""An absolute path to the same place that any program takes as it is.

    Orbax and TensorStore want UTF-8, and find patterns in ``[a]`` and separators in
    ``\``. Of a path with anything but letters and what is usual between them, the
    directory is reached by a link, which is gone at the end.

    Args:
      path: Its last name is kept, and has to be plain.

    Example:
      >>> with plain(Path("/runs/[a] b/5")) as path:
      ...     path.name, "[" in str(path), str(path.parent.readlink())
      ('5', False, '/runs/[a] b')
    """
    path = path.absolute()
    if re.fullmatch(r"[A-Za-z0-9/._ -]*", str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="jaxtext-") as folder:
        link = Path(folder, "link")
        link.symlink_to(path.parent, target_is_directory=True)
        yield link / path.name

"""Files that are there whole or not at all, whatever is killed or switched off."""

import os
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

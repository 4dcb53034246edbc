"""Locks between processes. The operating system frees them when a process ends.

No lock outlives its process, not even one that was killed, so nothing has to be cleaned
up by hand. There are two kinds:

- `lock` reserves a name, such as a run's directory or a download.
- `lock_file` marks a file that is open for writing, so that other processes can tell
  it from one that was left by a killed process.

`lock` uses filelock, which also works on file systems without ``flock``. `lock_file`
cannot: depending on its version, filelock empties or removes the file that it locks.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# How the names of file systems begin that several hosts may have.
_OF_MANY_HOSTS = (
    *("nfs", "cifs", "smb", "fuse", "ceph", "lustre", "gpfs", "beegfs", "glusterfs"),
    *("9p", "virtiofs", "afs", "ocfs2", "gfs2", "orangefs", "pvfs2"),
)


class LockedError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock while the block runs.

    Args:
      path: The lock's file, which is created if needed. It should hold nothing else.
      wait: Whether to wait until the lock is free.

    Raises:
      LockedError: If another process holds it, and `wait` is false.
      OSError: If the file cannot be opened or locked.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "lock")
      >>> with lock(path), lock(path, wait=False):
      ...     pass
      Traceback (most recent call last):
        ...
      jaxtext.locks.LockedError: another process holds ...lock
    """
    # Imported here because it takes 0.2 s, and reading a text does not need it.
    from filelock import FileLock, Timeout

    held = FileLock(path)
    try:
        held.acquire(blocking=wait)
    except Timeout:
        raise LockedError(f"another process holds {path}") from None
    try:
        yield
    finally:
        held.release()


def lock_file(file: BinaryIO, *, wait: bool) -> bool:
    """Locks an open file until it is closed.

    Args:
      file: The file, open for writing: NFS locks no others.
      wait: Whether to wait until no other process has it locked.

    Returns:
      Whether the file is locked now. It is not if another process has it locked, or if
      its file system has no locks.

    Example:
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile() as file, open(file.name, "rb+") as again:
      ...     lock_file(file, wait=False), lock_file(again, wait=False)
      (True, False)
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def is_locked_here(path: Path) -> bool:
    """Whether a process of this host holds a `lock`. The lock is not touched.

    Linux lists all locks; elsewhere the answer is always no.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "lock")
      >>> with lock(path):
      ...     is_locked_here(path) or not sees_all_locks(path)
      True
      >>> is_locked_here(path)
      False
    """
    with contextlib.suppress(OSError):
        inode = f":{path.stat().st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: FLOCK  ADVISORY  WRITE 412 08:01:263 0 EOF, and with -> after the
            # number for one that waits.
            if "->" not in line and line.split()[5].endswith(inode):
                return True
    return False


def sees_all_locks(path: Path) -> bool:
    """Whether `is_locked_here` knows of every process that could hold a lock there.

    It does on a file system that is this host's alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    number = 0
    with contextlib.suppress(OSError):
        number = path.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            mount, _, source = line.partition(" - ")
            if mount.split()[2] == device:
                return not source.startswith(_OF_MANY_HOSTS)
    return False

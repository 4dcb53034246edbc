"""Directories on this host for checkpoints on their way to and from a bucket.

One that a killed process left is removed by the next process that makes one. They are
where ``TMPDIR`` says.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from jaxtext.locks import lock_file

_PREFIX = "jaxtext-scratch-"
_NEW = 60.0  # seconds, in which its owner locks it


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Makes a directory, which is removed at the end of the block.

    Example:
      >>> with scratch() as folder:
      ...     folder.is_dir()
      True
      >>> folder.exists()
      False
    """
    _remove_abandoned()
    own = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with (own / "lock").open("xb") as file:
            lock_file(file, wait=True)
            folder = own / "files"
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _remove_abandoned():
    for path in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            seen = path.lstat()
            if seen.st_uid != os.getuid() or time.time() - seen.st_mtime < _NEW:
                continue
            with (path / "lock").open("rb+") as file:
                if lock_file(file, wait=False):
                    shutil.rmtree(path)

"""A file on a disk that grows."""

import io
import os
import shutil
import weakref
from pathlib import Path
from typing import BinaryIO

from jaxtext.files import rename, unfinished


class DiskLog:
    """A file that grows. Its methods are told in `Log`.

    Each addition opens the file by its name, so it finds the file that readers see. One
    more descriptor stays open: while it is, the contents of a file that was removed can
    still be read, and so be written again.
    """

    def __init__(self, path: Path):
        self._path = path
        self._held: int | None = None  # a descriptor
        self.size: int = 0

    def open(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            pass
        if self._held is None:
            return io.BytesIO()
        file = os.fdopen(os.dup(self._held), "rb")
        file.seek(0)
        return file

    def rewind(self, size: int) -> None:
        with self._opened() as file:
            file.truncate(size)
            os.fsync(file.fileno())
        self.size = size
        self._hold()

    def append(self, data: bytes) -> None:
        with self._opened() as file:
            # A full disk may have left an incomplete line. Somebody may have shortened
            # it, also within a line.
            if file.seek(0, os.SEEK_END) < self.size:
                file.seek(0)
                self.size = file.read().rfind(b"\n") + 1
            file.seek(self.size)
            file.truncate()
            file.write(data)
        self.size += len(data)

    def flush(self) -> None:
        """There is nothing to wait for."""

    def _opened(self) -> BinaryIO:
        try:
            return self._path.open("r+b")
        except FileNotFoundError:
            self._restore()
            return self._path.open("r+b")

    def _restore(self):
        """Writes a file that was removed again; an empty one if it is a new one."""
        with self.open() as before, unfinished(self._path.parent) as file:
            shutil.copyfileobj(before, file)
            file.flush()
            rename(Path(file.name), self._path)
        self._hold()

    def _hold(self):
        if self._held is not None:
            self._let_go()
        self._held = os.open(self._path, os.O_RDONLY)
        self._let_go = weakref.finalize(self, os.close, self._held)

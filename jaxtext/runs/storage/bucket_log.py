"""A file in a bucket that grows."""

import contextlib
import shutil
import threading
import time
import weakref
from typing import BinaryIO

from jaxtext.buckets import Objects
from jaxtext.runs.storage.disk_log import DiskLog
from jaxtext.runs.storage.lease import LostLeaseError
from jaxtext.runs.storage.scratch import scratch


class BucketLog:
    """A file that grows. Its methods are told in `Log`.

    An object cannot grow. So the file is on this host, and all of it is uploaded again:
    before a checkpoint is complete, at the end, and otherwise every ten seconds, or
    less often if it is large.
    """

    every: float = 10.0  # seconds

    def __init__(self, objects: Objects, name: str, is_lost):
        self._objects, self._name, self._is_lost = objects, name, is_lost
        local = contextlib.ExitStack()
        folder = local.enter_context(scratch())
        self._remove = weakref.finalize(self, local.close)
        self._file, self._sent = folder / "grows", folder / "sent"
        with contextlib.suppress(FileNotFoundError):
            objects.download(name, self._file)
        self._log = DiskLog(self._file)
        self._dirty = self._waiting = self._closed = False
        self._changing, self._writing = threading.Lock(), threading.Lock()
        self._written = time.monotonic()

    @property
    def size(self) -> int:
        return self._log.size

    def open(self) -> BinaryIO:
        return self._log.open()

    def rewind(self, size: int) -> None:
        with self._changing:
            self._log.rewind(size)
            self._dirty = True
        self.flush()

    def append(self, data: bytes) -> None:
        with self._changing:
            self._log.append(data)
            self._dirty = True
            if self._waiting or self._closed:
                return
            self._waiting = True
        pause = self.every + self._log.size / 1e6
        wait = max(0.0, self._written + pause - time.monotonic())
        timer = threading.Timer(wait, self._write_in_time)
        timer.daemon = True
        timer.start()

    def flush(self) -> None:
        self._write(None)

    def close(self) -> None:
        """Writes nothing any more."""
        self._closed = True

    def _write_in_time(self):
        with self._changing:
            self._waiting = False
        with contextlib.suppress(OSError):  # `flush` tells of what stays
            self._write(5.0)

    def _write(self, patience):
        with self._writing:  # the last one to begin is the last one to end
            with self._changing:
                if not self._dirty or self._closed:
                    return
                shutil.copyfile(self._file, self._sent)  # the other one may grow
                self._dirty = False
            try:
                if self._is_lost():
                    raise LostLeaseError("another process has taken over")
                self._objects.upload(self._name, self._sent, patience)
            except BaseException:
                with self._changing:
                    self._dirty = True
                raise
            finally:
                self._written = time.monotonic()

"""A run in a bucket."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from jaxtext.buckets import Objects, explained
from jaxtext.runs.storage.bucket_log import BucketLog
from jaxtext.runs.storage.bucket_series import BucketSeries
from jaxtext.runs.storage.interface import SeriesName
from jaxtext.runs.storage.lease import Lease, is_held
from jaxtext.runs.storage.scratch import scratch
from jaxtext.streams import say


class BucketStorage:
    """The part of a bucket that is a run's. Its methods are told in `Storage`.

    Args:
      url: Its URL.
      place: The same, as a path.
    """

    def __init__(self, url: str, place: Path):
        self.place = place
        self._objects = Objects(url)
        self._lease: Lease | None = None
        self._logs: list[BucketLog] = []
        self._series = {
            name: BucketSeries(self._objects, name, self._before_commit)
            for name in ("best", "latest")
        }

    def read(self, name: str) -> bytes | None:
        return self._objects.read(name)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO | None]:
        with scratch() as local:
            try:
                self._objects.download(name, local / "file")
            except FileNotFoundError:
                yield None
                return
            with (local / "file").open("rb") as file:
                yield file

    def write(self, name: str, data: bytes) -> None:
        if self._lease is not None:
            self._lease.confirm()
        self._objects.write(name, data)

    def check_writable(self) -> str | None:
        """Only writing would show it."""
        return None

    def can_take(self, name: str) -> bool:
        return True

    def check(self) -> None:
        with explained(self._objects.url):
            self._objects.below("lease").names()

    def check_usable(self) -> None:
        self.check()

    def free(self) -> int | None:
        return None

    @contextlib.contextmanager
    def hold(self) -> Iterator["BucketClaim"]:
        lease = Lease(self._objects, lambda text: say(f"note: {text}"))
        lease.take()
        self._lease = lease
        try:
            yield BucketClaim(lease)
            for log in self._logs:
                log.flush()
        finally:
            for log in self._logs:
                log.close()
            self._logs.clear()
            self._lease = None
            lease.give_back()

    def in_use(self) -> bool:
        return is_held(self._objects)

    def prepare(self) -> None:
        """Objects need no directory."""

    def check_shared(self) -> None:
        """All hosts see the same bucket."""

    def log(self, name: str) -> BucketLog:
        log = BucketLog(self._objects, name, self._is_lost)
        self._logs.append(log)
        return log

    def series(self, name: SeriesName) -> BucketSeries:
        return self._series[name]

    def damaged(self) -> str | None:
        folder = self._objects.below("checkpoints/damaged")
        latest = any(name.startswith("latest-") for name in folder.names())
        return folder.url if latest else None

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        with scratch() as local:
            yield local
            for path in sorted(local.rglob("*")):
                if path.is_file():
                    below = path.relative_to(local).as_posix()
                    self._objects.upload(f"{name}/{below}" if name else below, path)

    def _is_lost(self):
        return self._lease is not None and self._lease.lost is not None

    def _before_commit(self):
        """A checkpoint says how long the log is. So that comes first."""
        if self._lease is not None:
            self._lease.confirm()
        for log in self._logs:
            log.flush()


class BucketClaim:
    """A lease on a run."""

    def __init__(self, lease: Lease):
        self._lease = lease

    def is_there(self) -> bool:
        return self._lease.lost is None

    @property
    def gone(self) -> str:
        return (
            f"is not this process's any more: {self._lease.lost} has taken over, since "
            "this one did not renew its lease in time"
        )

"""A run in a directory on a disk."""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import jax

from jaxtext.errors import InputError
from jaxtext.files import write_durably
from jaxtext.locks import LockedError, is_locked_here, lock, sees_all_locks
from jaxtext.runs.agreement import together, told_by_all
from jaxtext.runs.storage import disk_series
from jaxtext.runs.storage.disk_log import DiskLog
from jaxtext.runs.storage.interface import SeriesName

QUIET = 120.0  # seconds for which a run that another host trains may write nothing


class Disk:
    """The directory of a run. Its methods are told in `Storage`."""

    def __init__(self, place: Path):
        self.place = place

    def read(self, name: str) -> bytes | None:
        try:
            return (self.place / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO | None]:
        try:
            file = (self.place / name).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        with file:
            yield file

    def write(self, name: str, data: bytes) -> None:
        write_durably(self.place / name, data)

    def check_writable(self) -> str | None:
        # For root, who may write anywhere, the mode decides.
        mode = self.place.stat().st_mode
        if mode & 0o222 and os.access(self.place, os.W_OK | os.X_OK):
            return None
        return "is read-only"

    def can_take(self, name: str) -> bool:
        writable = os.access(self.place, os.W_OK | os.X_OK)
        return writable and not (self.place / name).is_dir()

    def check(self) -> None:
        """A directory may be made, if there is none."""

    def check_usable(self) -> None:
        above = self._existing()
        if not os.access(above, os.W_OK | os.X_OK):
            raise InputError(
                f"{self.place} cannot be used as a workdir ({above} cannot be "
                "written); choose another `workdir`"
            )
        if (self.place / ".lock").exists():
            try:
                with lock(self.place / ".lock", wait=False):
                    pass
            except LockedError:
                raise InputError(
                    f"{self.place} is in use by another process; wait for it to end, "
                    "or choose another `workdir`"
                ) from None

    def free(self) -> int | None:
        return shutil.disk_usage(self._existing()).free

    @contextlib.contextmanager
    def hold(self) -> Iterator["DiskClaim"]:
        with contextlib.ExitStack() as stack:
            self.place.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(lock(self.place / ".lock", wait=False))
            except LockedError:
                raise LockedError("is in use by another process") from None
            yield stack.enter_context(contextlib.closing(DiskClaim(self.place)))

    def in_use(self) -> bool:
        if is_locked_here(self.place / ".lock"):
            return True
        if sees_all_locks(self.place):
            return False
        changed = [0.0]
        for name in ("metrics.jsonl", "checkpoints/latest", "config.json"):
            with contextlib.suppress(OSError):
                changed.append((self.place / name).stat().st_mtime)
        return time.time() - max(changed) < QUIET

    def prepare(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        root = self.place / "checkpoints"
        for path in (root, *root.glob("*")):
            # Removing checkpoints must not touch anything outside the directory.
            if path.is_symlink():
                raise InputError(
                    f"{path} is a symbolic link; expected a directory. To use another "
                    "disk, choose a `workdir` there"
                )

    def check_shared(self) -> None:
        if jax.process_count() == 1:
            return
        workdir = self.place
        mark = workdir / told_by_all(f".shared-{secrets.token_hex(8)}")[0]
        made = []
        try:
            with together():
                if jax.process_index() == 0:
                    made = [x for x in (workdir, *workdir.parents) if not x.exists()]
                    with usable(workdir):
                        workdir.mkdir(parents=True, exist_ok=True)
                        mark.touch()
            with together():
                if not mark.exists():
                    raise InputError(
                        f"{workdir.absolute()} is not the directory that process 0 "
                        "has; give all processes the same `workdir`, on a file system "
                        "that they share, or in a bucket"
                    )
        except InputError:
            with contextlib.suppress(OSError):
                mark.unlink()
            for directory in made:
                with contextlib.suppress(OSError):
                    directory.rmdir()
            raise
        if jax.process_index() == 0:
            mark.unlink()

    def log(self, name: str) -> DiskLog:
        return DiskLog(self.place / name)

    def series(self, name: SeriesName) -> "DiskSeries":
        return DiskSeries(self.place / "checkpoints" / name)

    def damaged(self) -> str | None:
        folder = self.place / "checkpoints" / "damaged"
        return str(folder) if any(folder.glob("latest-*")) else None

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        yield self.place / name

    def _existing(self):
        """The directory, or the nearest one above it that is there."""
        place = self.place.absolute()
        return next(x for x in (place, *place.parents) if x.exists())


class DiskClaim:
    """A directory that is held for a run. It can tell whether it is still there."""

    gone = (
        "is not there any more: it was removed, moved or replaced (if it was moved, "
        "the same command with its new place as `workdir` goes on)"
    )

    def __init__(self, workdir: Path):
        self._workdir = workdir
        # While this is open, no other directory gets the same inode number.
        self._open = os.open(workdir, os.O_RDONLY)

    def is_there(self) -> bool:
        """Whether the path still leads to it: not removed, moved or replaced."""
        try:
            return os.path.samestat(os.fstat(self._open), self._workdir.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # the disk fails, which says nothing about the directory
            return True

    def close(self) -> None:
        """Lets go of the directory."""
        os.close(self._open)


class DiskSeries:
    """A series of checkpoints. Its methods are told in `SeriesStorage`."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._sound: int | None = None  # what was found undamaged last

    def steps(self) -> list[int]:
        return disk_series.steps(self._directory)

    def where(self, step: int) -> str:
        return str(self._directory / str(step))

    def save(self, step: int, write: Callable[[Path], None], keep: int) -> None:
        self._sound = None  # it may take that one's place
        try:
            write(disk_series.saving(self._directory, step))
            disk_series.commit(self._directory, step, keep)
        finally:
            disk_series.discard(self._directory, step)

    @contextlib.contextmanager
    def opened(self, step: int) -> Iterator[Path]:
        path = self._directory / str(step)
        if self._sound != step:  # hashing a checkpoint takes as long as reading it
            disk_series.verify(path)
            self._sound = step
        yield path

    def recover(self) -> None:
        disk_series.recover(self._directory)

    def remove(self, step: int) -> None:
        disk_series.remove(self._directory / str(step))

    def set_aside(self, step: int) -> str:
        damaged = self._directory.with_name("damaged")
        return str(disk_series.set_aside(self._directory / str(step), damaged))


@contextlib.contextmanager
def usable(workdir: Path) -> Iterator[None]:
    """Says of an error of the disk that the directory cannot be a run's."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{workdir} cannot be used as a workdir ({error.strerror}); choose "
            "another `workdir`"
        ) from error

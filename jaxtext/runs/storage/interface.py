"""What a place where runs live can do. `Disk` and `BucketStorage` do it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeAlias

SeriesName: TypeAlias = Literal["best", "latest"]


class Claim(Protocol):
    """The place of a run, held by this process."""

    def is_there(self) -> bool:
        """Whether it is still this run's, and this process's. It asks nobody else."""
        ...

    @property
    def gone(self) -> str:
        """What happened if it is not, to follow the name of the place."""
        ...


class Log(Protocol):
    """A file that grows. `rewind` is called first."""

    @property
    def size(self) -> int:
        """The bytes that are in it."""
        ...

    def open(self) -> BinaryIO:
        """Opens all that is in it, for reading; it is empty if there is no file."""
        ...

    def rewind(self, size: int) -> None:
        """Keeps the first `size` bytes alone. The file is created if there is none."""
        ...

    def append(self, data: bytes) -> None:
        """Adds to it. Readers see that now, or soon.

        Somebody may have removed the file. Then it is written again.

        Raises:
          OSError: If that fails, and nothing was added.
        """
        ...

    def flush(self) -> None:
        """Returns when readers see all of it."""
        ...


class SeriesStorage(Protocol):
    """A series of checkpoints, each under the number of its step."""

    def steps(self) -> list[int]:
        """The steps of those that were completed, in ascending order."""
        ...

    def where(self, step: int) -> str:
        """Names a checkpoint in a message."""
        ...

    def save(self, step: int, write: Callable[[Path], None], keep: int) -> None:
        """Saves a checkpoint, and removes those that it supersedes.

        Args:
          step: Its number. A checkpoint with the same number is replaced.
          write: Writes it to a new directory on this host.
          keep: How many checkpoints of up to this step to keep, this one included.

        Raises:
          OSError: If that fails. Nothing is left of it.
        """
        ...

    def opened(self, step: int) -> AbstractContextManager[Path]:
        """Provides a directory on this host with a checkpoint that is undamaged.

        Raises:
          manifest.DamageError: If it is not what was saved.
          OSError: If it cannot be read for a reason that does not concern it.
        """
        ...

    def recover(self) -> None:
        """Completes or removes what a killed process left."""
        ...

    def remove(self, step: int) -> None:
        """Removes a checkpoint, so that a kill leaves nothing that looks like one."""
        ...

    def set_aside(self, step: int) -> str:
        """Moves a damaged checkpoint out of the series, and returns where it is."""
        ...


class Storage(Protocol):
    """The place of one run.

    Attributes:
      place: Its path or URL.
    """

    place: Path

    def read(self, name: str) -> bytes | None:
        """The contents of a file; ``None`` if there is none of that name."""
        ...

    def opened(self, name: str) -> AbstractContextManager[BinaryIO | None]:
        """Provides a file to read from, as it is now; ``None`` if there is none.

        It is not read into memory, however large it is.
        """
        ...

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, which then has all the data or is as it was before."""
        ...

    def check_writable(self) -> str | None:
        """Why nothing can be written there; ``None`` if it can, or is not known."""
        ...

    def can_take(self, name: str) -> bool:
        """Whether a file of that name could be written, as far as is known."""
        ...

    def check(self) -> None:
        """Checks that the place can be asked for.

        Raises:
          InputError: If it is in a bucket that cannot be used.
        """
        ...

    def check_usable(self) -> None:
        """Checks that a run could use the place now, as far as reading shows it.

        Raises:
          InputError: If it could not; the message says why.
        """
        ...

    def free(self) -> int | None:
        """How many bytes there is space for; ``None`` if there is no end to it."""
        ...

    def hold(self) -> AbstractContextManager[Claim]:
        """Holds the place for this process. It is created if needed.

        Raises:
          LockedError: If another process holds it. The message says what is known.
          OSError: If it cannot be used.
        """
        ...

    def in_use(self) -> bool:
        """Whether a process holds the place, as far as is known. Nothing is locked.

        Another host that shares the disk is seen by what it writes.
        """
        ...

    def prepare(self) -> None:
        """Makes it ready for checkpoints.

        Raises:
          InputError: If they would be written somewhere else.
        """
        ...

    def check_shared(self) -> None:
        """Checks that all processes of a run see the same place; all call this.

        Raises:
          InputError: In all of them, if one sees another place.
        """
        ...

    def log(self, name: str) -> Log:
        """Opens a file that grows."""
        ...

    def series(self, name: SeriesName) -> SeriesStorage:
        """A series of checkpoints."""
        ...

    def damaged(self) -> str | None:
        """Where checkpoints were set aside; ``None`` if there are none."""
        ...

    def folder(self, name: str) -> AbstractContextManager[Path]:
        """Provides a directory on this host; what is in it belongs to the run.

        Args:
          name: Of a directory in the run's; ``""`` is that itself.
        """
        ...

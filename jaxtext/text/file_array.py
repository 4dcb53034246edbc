"""An array that stays in its file: what is asked for is read, and nothing else kept.

Why not a memory map? Where the disk fails, or somebody makes the file shorter, touching
a map kills the process (SIGBUS) and no message says why; here it is an error with a
name. And a map's pages count as the process's own memory, which would grow to the size
of the text. What is read here is kept by the operating system alone, for as long as it
has room.
"""

import contextlib
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from jaxtext.errors import InputError
from jaxtext.quantities import shown

_MOST = 1 << 30  # bytes that every operating system reads in one call
_WORTH_A_CALL = 1 << 12  # bytes that are copied in the time that a call takes


class FileArray:
    """A file as a read-only array of one dimension.

    Slices and views are of the same file, without reading it; ``np.asarray`` reads. It
    may be used from several threads. The file stays open for as long as there is an
    array of it, and what was written to its name since makes no difference.

    Args:
      path: the file, all of which is an array of uint8; see `view`.

    Raises:
      OSError: the file cannot be opened.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = Path(folder, "letters").write_bytes(b"abcdef")
      ...     letters = FileArray(Path(folder, "letters"))
      >>> len(letters), bytes(np.asarray(letters[1:-2]))
      (6, b'bcd')
    """

    def __init__(self, path: Path):
        self._file = _OpenFile(path)
        self._begin = 0  # in bytes
        self._length = os.fstat(self._file.descriptor).st_size
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def shape(self) -> tuple[int]:
        """``(N,)``."""
        return (self._length,)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"FileArray({str(self.path)!r}, shape={self.shape}, dtype={self.dtype})"

    def __getitem__(self, places: slice) -> "FileArray":
        if not isinstance(places, slice) or places.step not in (None, 1):
            raise TypeError(
                f"expected a slice of neighbours such as a[2:5], got {places!r}; "
                "use np.asarray(a[...]) for what an array in memory can do"
            )
        begin, end, _ = places.indices(self._length)
        return self._part(begin * self.dtype.itemsize, max(0, end - begin), self.dtype)

    def view(self, dtype: np.dtype) -> "FileArray":
        """Take the same bytes for elements of another type, as ``np.ndarray.view``.

        Raises:
          ValueError: the bytes are not a whole number of elements.
        """
        length, rest = divmod(self._length * self.dtype.itemsize, dtype.itemsize)
        if rest:
            raise ValueError(f"{self} is no whole number of elements of {dtype}")
        return self._part(0, length, dtype)

    def _part(self, offset: int, length: int, dtype: np.dtype) -> "FileArray":
        part = FileArray.__new__(FileArray)
        part._file, part._begin = self._file, self._begin + offset
        part._length, part.dtype = length, dtype
        return part

    def __array__(
        self, dtype: np.dtype | None = None, copy: bool | None = None
    ) -> np.ndarray:
        if copy is False:
            raise ValueError(f"{self} cannot be an array in memory without a copy")
        size = self._length * self.dtype.itemsize
        array = np.frombuffer(self._file.read(size, self._begin), self.dtype)
        # A type of its own, or the writeable array that copy=True asks for.
        return array if dtype is None and not copy else np.array(array, dtype)

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Read stretches of the same length from several places.

        Args:
          starts: ``[n]`` integers, where each begins.
          length: elements of each.

        Returns:
          ``[n, length]``.

        Raises:
          IndexError: a stretch that is not all within the array.
          InputError: the file cannot be read, or has become shorter.
        """
        begins, itemsize = starts.tolist(), self.dtype.itemsize
        if not begins:
            return np.empty((0, length), self.dtype)
        first, end = min(begins), max(begins) + length
        if not 0 <= first <= end <= self._length:
            raise IndexError(f"elements {first} to {end} are not all in {self}")
        if (end - first) * itemsize <= _WORTH_A_CALL * len(begins):
            return windows(np.asarray(self[first:end]), starts - first, length)
        offsets = [self._begin + begin * itemsize for begin in begins]
        found = self._file.read_all(length * itemsize, offsets)
        return np.frombuffer(found, self.dtype).reshape(len(begins), length)


Ids: TypeAlias = np.ndarray | FileArray  # [N] integers, in memory or in a file


def as_ids(ids: Any) -> Any:
    """Ids as an array of one dimension: a list will do, and a file is left as it is.

    Raises:
      InputError: If they are not integers in a row.

    Example:
      >>> as_ids([3, 1, 2])
      array([3, 1, 2])
    """
    if isinstance(ids, FileArray):
        return ids
    array = np.asarray(ids)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"ids: expected [N] integers, got {shown(array)}; Vocabulary.encode makes "
            "them of a text"
        )
    return array


def windows(ids: Ids, starts: np.ndarray, length: int) -> np.ndarray:
    """Gather stretches of the same length from ids, wherever these are.

    Args:
      ids: ``[N]`` integers.
      starts: ``[n]`` integers, where each begins.
      length: ids of each.

    Returns:
      ``[n, length]``, in memory.

    Example:
      >>> windows(np.arange(9), np.array([0, 5]), 3)
      array([[0, 1, 2],
             [5, 6, 7]])
    """
    if isinstance(ids, FileArray):
        return ids.windows(starts, length)
    return ids[starts[:, None] + np.arange(length)]


class _OpenFile:
    """A descriptor, closed when nobody has it any more, and read without a position.

    Reading at a place that is given (``pread``), instead of where the last reader
    stopped, is what lets threads share it.
    """

    def __init__(self, path: Path):
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)

    def __reduce__(self):
        # Another process (pickle) has other descriptors: it opens the file itself.
        return _OpenFile, (self.path,)

    def read(self, size: int, offset: int) -> bytes:
        try:
            found = os.pread(self.descriptor, min(size, _MOST), offset)
            while len(found) < size:
                rest = min(size - len(found), _MOST)
                more = os.pread(self.descriptor, rest, offset + len(found))
                if not more:
                    raise OSError("the file has become shorter")
                found += more
        except OSError as error:
            raise InputError(
                f"cannot read {self.path} at byte {offset:,} "
                f"({error.strerror or error}); check its disk and start again: a "
                "damaged cache is made anew from the text"
            ) from error
        return found

    def read_all(self, size: int, offsets: Sequence[int]) -> bytearray:
        """`read` at several places, and join."""
        with contextlib.suppress(OSError):
            pread, descriptor = os.pread, self.descriptor
            found = bytearray().join([pread(descriptor, size, at) for at in offsets])
            if len(found) == size * len(offsets):
                return found
        # Something is wrong: go slowly, to find out what and where.
        return bytearray().join([self.read(size, at) for at in offsets])

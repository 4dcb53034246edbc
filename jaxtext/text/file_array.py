"""An array that stays in its file. Only the parts that are used are read.

This is not a memory map, for two reasons. If the disk fails, or somebody truncates the
file, reading a map kills the process without a message (SIGBUS); here it raises an
error. And the pages of a map count as memory of the process, which would grow to the
size of the text. Here only the operating system caches what was read, while it has
room.
"""

import contextlib
import itertools
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from jaxtext.errors import InputError
from jaxtext.quantities import shown

_MOST = 1 << 30  # bytes that any operating system can read in one call
_WORTH_A_CALL = 1 << 12  # bytes that can be copied in the time of one call


class FileArray:
    """A file as a read-only array with one dimension.

    Slices and views refer to the same file and do not read it; ``np.asarray`` reads.
    Several threads may use an array. The file stays open as long as an array of it
    exists, even if another file gets its name.

    Args:
      path: The file. Its contents are an array of uint8; `view` changes the type.

    Raises:
      OSError: If the file cannot be opened.

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
                f"expected a slice without a step, such as a[2:5], got {places!r}; "
                "for other indices, use np.asarray(a[...])"
            )
        begin, end, _ = places.indices(self._length)
        return self._part(begin * self.dtype.itemsize, max(0, end - begin), self.dtype)

    def view(self, dtype: np.dtype) -> "FileArray":
        """Returns the same bytes as another type, like ``np.ndarray.view``.

        Raises:
          ValueError: If they are not a whole number of elements.
        """
        length, rest = divmod(self._length * self.dtype.itemsize, dtype.itemsize)
        if rest:
            raise ValueError(f"{self} is not a whole number of elements of {dtype}")
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
        # A copy if another type is asked for, or a writeable array by copy=True.
        return array if dtype is None and not copy else np.array(array, dtype)

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Reads windows of the same length from several places.

        Args:
          starts: Where each window starts, ``[n]`` integers.
          length: The length of each window.

        Returns:
          The windows, ``[n, length]``.

        Raises:
          IndexError: If a window is not entirely within the array.
          InputError: If the file cannot be read, or was truncated.
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
        found = self._file.read_all([length * itemsize] * len(offsets), offsets)
        return np.frombuffer(found, self.dtype).reshape(len(begins), length)

    def pieces(self, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Reads pieces of several lengths, one after the other.

        Args:
          starts: Where each piece starts, ``[n]`` integers.
          sizes: How long each is, ``[n]`` integers.

        Returns:
          All pieces joined, ``[sum(sizes)]``.

        Raises:
          IndexError: If a piece is not entirely within the array.
          InputError: If the file cannot be read, or was truncated.
        """
        if len(starts) and (starts.min() < 0 or (starts + sizes).max() > self._length):
            raise IndexError(f"not all pieces are in {self}")
        itemsize = self.dtype.itemsize
        offsets = (self._begin + starts * itemsize).tolist()
        found = self._file.read_all((sizes * itemsize).tolist(), offsets)
        return np.frombuffer(found, self.dtype)


Ids: TypeAlias = np.ndarray | FileArray  # [N] integers, in memory or in a file


def as_ids(ids: Any) -> Any:
    """Converts ids to an array. A `FileArray` is returned as it is.

    Raises:
      InputError: If they are not integers in one dimension.

    Example:
      >>> as_ids([3, 1, 2])
      array([3, 1, 2])
    """
    if isinstance(ids, FileArray):
        return ids
    array = np.asarray(ids)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"ids: expected [N] integers, got {shown(array)}; Vocabulary.encode turns "
            "a text into them"
        )
    return array


def windows(ids: Ids, starts: np.ndarray, length: int) -> np.ndarray:
    """Gathers windows of the same length from ids, in memory or in a file.

    Args:
      ids: The ids, ``[N]`` integers.
      starts: Where each window starts, ``[n]`` integers.
      length: The length of each window.

    Returns:
      The windows, ``[n, length]``, in memory.

    Example:
      >>> windows(np.arange(9), np.array([0, 5]), 3)
      array([[0, 1, 2],
             [5, 6, 7]])
    """
    if isinstance(ids, FileArray):
        return ids.windows(starts, length)
    return ids[starts[:, None] + np.arange(length)]


def pieces(ids: Ids, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Gathers pieces of ids, in memory or in a file, one after the other.

    Args:
      ids: The ids, ``[N]`` integers.
      starts: Where each piece starts, ``[n]`` integers.
      sizes: How long each is, ``[n]`` integers.

    Returns:
      All pieces joined, in memory.

    Example:
      >>> pieces(np.arange(9), np.array([5, 0]), np.array([1, 3]))
      array([5, 0, 1, 2])
    """
    if isinstance(ids, FileArray):
        return ids.pieces(starts, sizes)
    places = np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
    return ids[places + np.arange(len(places))]


class _OpenFile:
    """An open file, closed when no array refers to it any more.

    Every read says where (``pread``), so that threads can share the descriptor.
    """

    def __init__(self, path: Path):
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)

    def __reduce__(self):
        # Another process, which gets this by pickle, has to open the file itself.
        return _OpenFile, (self.path,)

    def read(self, size: int, offset: int) -> bytes:
        try:
            found = os.pread(self.descriptor, min(size, _MOST), offset)
            while len(found) < size:
                rest = min(size - len(found), _MOST)
                more = os.pread(self.descriptor, rest, offset + len(found))
                if not more:
                    raise OSError("the file was truncated")
                found += more
        except OSError as error:
            raise InputError(
                f"cannot read {self.path} at byte {offset:,} "
                f"({error.strerror or error}); check its disk and start again: if the "
                "cache is damaged, it is written again from the text"
            ) from error
        return found

    def read_all(self, sizes: Sequence[int], offsets: Sequence[int]) -> bytearray:
        """Reads at several places, and joins what was read."""
        with contextlib.suppress(OSError):
            read = map(os.pread, itertools.repeat(self.descriptor), sizes, offsets)
            found = bytearray().join(read)
            if len(found) == sum(sizes):
                return found
        # Something is wrong. Read one by one to find out what and where.
        return bytearray().join(map(self.read, sizes, offsets))

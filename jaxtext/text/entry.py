"""An encoded text in the cache: there is all of it, unharmed, or nothing.

An entry is one file::

    header of the .npy format | ids | SHA-256

The hash is of what the entry is to be (text, vocabulary, length), the header and the
ids. Without it a flipped bit would be trained on, for no disk notices every one. Being
one file, an entry is replaced in one step, whoever else is reading it or replacing it.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtext.errors import InputError
from jaxtext.files import unfinished
from jaxtext.text.cache import writing
from jaxtext.text.file_array import FileArray
from jaxtext.text.reader import CHUNK, Block
from jaxtext.text.vocabulary import Vocabulary

_HASH_SIZE = hashlib.sha256().digest_size


class Description(NamedTuple):
    """What identifies a text and how it is encoded."""

    sha256: str
    vocabulary: Vocabulary
    length: int  # in symbols

    def path(self, cache: Path) -> Path:
        """Name the entry's file, without regard to whether it exists.

        Args:
          cache: root of the cache.

        Returns:
          ``cache/corpora/SHA256-KIND.npy``; ``np.load`` reads it as well.

        Example:
          >>> Description("86c4", Vocabulary("bytes"), 3).path(Path("cache")).name
          '86c4-bytes.npy'
        """
        return cache / "corpora" / f"{self.sha256}-{self.vocabulary.kind}.npy"


class DamagedEntryError(Exception):
    """An entry is not what was once written; the message says how one knows."""


def write(entry: Path, text: Description, blocks: Iterable[Block]) -> None:
    """Encode a text into an entry, which appears in one step once complete.

    Any number of processes may write the same entry at once: the first one's stays. One
    that is there already is replaced if it is damaged.

    Args:
      entry: the file to make.
      text: what the blocks must turn out to be.
      blocks: the whole text, piece by piece.

    Raises:
      InputError: the text is not the one described, or the cache cannot be written.

    Example:
      >>> import tempfile
      >>> text = Description(hashlib.sha256(b"abc").hexdigest(), Vocabulary("bytes"), 3)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     entry = Path(folder) / "entry.npy"
      ...     write(entry, text, [Block(b"abc", np.frombuffer(b"abc", np.uint8))])
      ...     np.load(entry), np.asarray(open_ids(entry, text))
      (array([97, 98, 99], dtype=uint8), array([97, 98, 99], dtype=uint8))
    """
    read, written = hashlib.sha256(), _hash(text)
    with writing(entry.parent), unfinished(entry.parent) as file:
        # Written, not memory-mapped: a full disk is then an error instead of a SIGBUS.
        for piece in _pieces(text, blocks, read.update):
            written.update(piece)
            file.write(piece)
        if read.hexdigest() != text.sha256:
            raise _changed()
        file.write(written.digest())
        file.flush()
        os.fsync(file.fileno())  # a disk that has no room may say so only now
        _publish(Path(file.name), entry, text)


def open_ids(
    entry: Path, text: Description, advance: Callable[[int], None] = lambda size: None
) -> FileArray:
    """Open an entry, after reading it through to see that it is unharmed.

    Args:
      entry: the file.
      text: what the entry must hold.
      advance: called with the size of each piece that has been checked.

    Returns:
      ``[N]`` ids.

    Raises:
      OSError: it cannot be opened; `FileNotFoundError` where there is none.
      DamagedEntryError: it is not what was once written, or cannot be read.

    Example:
      >>> open_ids(Path("no/entry"), Description("86c4", Vocabulary("bytes"), 3))
      Traceback (most recent call last):
        ...
      FileNotFoundError: [Errno 2] No such file or directory: 'no/entry'
    """
    begin = len(_header(text))
    end = begin + text.length * text.vocabulary.dtype.itemsize
    # What is checked is what is read later: the file is not opened a second time.
    file = FileArray(entry)
    if len(file) != end + _HASH_SIZE:
        raise DamagedEntryError(
            f"it is {len(file):,} bytes long, not {end + _HASH_SIZE:,}"
        )
    digest = _hash(text)
    for offset in range(0, end, CHUNK):
        piece = _read(file[offset : min(offset + CHUNK, end)])
        digest.update(piece.data)
        advance(len(piece))
    if digest.digest() != _read(file[end:]).tobytes():
        raise DamagedEntryError("its bytes are not those that were written")
    return file[begin:end].view(text.vocabulary.dtype)


def _publish(path: Path, entry: Path, text: Description) -> None:
    """Give a complete file the name of its entry, unless there is a good one."""
    try:
        # Never in place of another, which `os.replace` might be: on NFS a host that is
        # reading that one would lose it.
        os.link(path, entry)
    except FileExistsError:
        try:
            open_ids(entry, text)
        except (OSError, DamagedEntryError):
            os.replace(path, entry)
    except OSError:  # a file system without links
        os.replace(path, entry)


def _read(file: FileArray) -> np.ndarray:
    try:
        return np.asarray(file)
    except InputError as error:
        raise DamagedEntryError(str(error)) from error


def _pieces(text, blocks, read):
    """The header and the ids, as bytes; `read` is given the text they come from."""
    yield _header(text)
    for raw, points in blocks:
        read(raw)
        try:
            ids = text.vocabulary.encode_points(points)
        except InputError as error:
            raise _changed() from error
        yield ids.data


def _header(text: Description) -> bytes:
    file = io.BytesIO()
    header = {
        "descr": np.lib.format.dtype_to_descr(text.vocabulary.dtype),
        "fortran_order": False,
        "shape": (text.length,),
    }
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def _hash(text: Description):
    """The hash of an entry so far: of nothing but its description."""
    description = text._replace(vocabulary=text.vocabulary.to_json())
    return hashlib.sha256(json.dumps(description).encode())


def _changed() -> InputError:
    return InputError(
        "the text changed while it was being prepared; try again when nothing writes "
        "to its files"
    )

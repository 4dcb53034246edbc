"""An encoded text in the cache, which is complete and undamaged or is not used.

An entry is one file::

    header of the .npy format | ids | SHA-256

The hash covers a description of the entry (text, vocabulary, length), the header and
the ids. Disks do not detect every flipped bit, so without the hash one could be trained
on. As a single file, an entry is replaced in one step, even while other processes read
or replace it.
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
    """What identifies a text and its encoding."""

    sha256: str
    vocabulary: Vocabulary
    length: int  # in symbols

    def path(self, cache: Path) -> Path:
        """Returns the path of the entry, whether it exists or not.

        Args:
          cache: The root of the cache.

        Returns:
          ``cache/corpora/SHA256-KIND.npy``, and ``SHA256-documents.npy`` for a text of
          documents. ``np.load`` can read it too.

        Example:
          >>> Description("86c4", Vocabulary("bytes"), 3).path(Path("cache")).name
          '86c4-bytes.npy'
        """
        kind = "documents" if self.vocabulary.ends else self.vocabulary.kind
        return cache / "corpora" / f"{self.sha256}-{kind}.npy"


class DamagedEntryError(Exception):
    """An entry is not what was written. The message says how that was detected."""


def write(entry: Path, text: Description, blocks: Iterable[Block]) -> None:
    """Encodes a text and writes it to an entry, which appears once it is complete.

    Several processes may write the same entry at once; the first one's stays. A
    damaged entry is replaced.

    Args:
      entry: The file to create.
      text: The description of the text. The blocks must match it.
      blocks: The whole text, in pieces.

    Raises:
      InputError: If the text does not match its description, or the cache cannot be
        written.

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
        # Not memory-mapped: a full disk is then an error, not a SIGBUS.
        for piece in _pieces(text, blocks, read.update):
            written.update(piece)
            file.write(piece)
        if read.hexdigest() != text.sha256:
            raise _changed()
        file.write(written.digest())
        file.flush()
        os.fsync(file.fileno())  # a full disk may be reported only here
        _publish(Path(file.name), entry, text)


def open_ids(
    entry: Path, text: Description, advance: Callable[[int], None] = lambda size: None
) -> FileArray:
    """Opens an entry, after checking the hash of all of it.

    Args:
      entry: The file.
      text: What the entry must contain.
      advance: Called with the size of each piece that has been checked, in bytes.

    Returns:
      The ids, ``[N]``.

    Raises:
      OSError: If the file cannot be opened; `FileNotFoundError` if there is none.
      DamagedEntryError: If it is not what was written, or cannot be read.

    Example:
      >>> open_ids(Path("no/entry"), Description("86c4", Vocabulary("bytes"), 3))
      Traceback (most recent call last):
        ...
      FileNotFoundError: [Errno 2] No such file or directory: 'no/entry'
    """
    begin = len(_header(text))
    end = begin + text.length * text.vocabulary.dtype.itemsize
    # The file is opened once, so what is checked here is what is read later.
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
        raise DamagedEntryError("its hash is wrong")
    return file[begin:end].view(text.vocabulary.dtype)


def _publish(path: Path, entry: Path, text: Description) -> None:
    """Gives a complete file its name, unless an undamaged entry has it already."""
    try:
        # Unlike `os.replace`, this never replaces an entry. On NFS, another host that
        # is reading it would lose it.
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
    """Yields the header and the ids as bytes, and passes the text's to `read`."""
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
    """Begins the hash of an entry, with its description."""
    description = text._replace(vocabulary=text.vocabulary.to_json())
    return hashlib.sha256(json.dumps(description).encode())


def _changed() -> InputError:
    return InputError(
        "the text changed while it was being read; try again when nothing writes to "
        "its files"
    )

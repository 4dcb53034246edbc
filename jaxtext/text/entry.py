"""An encoded text in the cache: there is all of it or nothing."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtext.errors import InputError
from jaxtext.text.cache import writing
from jaxtext.text.reader import Block
from jaxtext.text.vocabulary import Vocabulary


class Description(NamedTuple):
    """What identifies a text and how it is encoded."""

    sha256: str
    vocabulary: Vocabulary
    length: int  # in symbols

    def path(self, cache: Path) -> Path:
        """Name the entry's directory, without regard to whether it exists.

        Args:
          cache: root of the cache.

        Returns:
          ``cache/corpora/SHA256-KIND``.

        Example:
          >>> Description("86c4", Vocabulary("bytes"), 3).path(Path("cache")).name
          '86c4-bytes'
        """
        return cache / "corpora" / f"{self.sha256}-{self.vocabulary.kind}"


def write(entry: Path, text: Description, blocks: Iterable[Block]) -> None:
    """Encode a text into a new entry, which appears in one step once complete.

    Any number of processes may write the same entry at once: the first one's stays.

    Args:
      entry: the directory to make.
      text: what the blocks must turn out to be.
      blocks: the whole text, piece by piece.

    Raises:
      InputError: the text is not the one described, or the cache cannot be written.

    Example:
      >>> import tempfile
      >>> text = Description(hashlib.sha256(b"abc").hexdigest(), Vocabulary("bytes"), 3)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     entry = Path(folder) / "entry"
      ...     write(entry, text, [Block(b"abc", np.frombuffer(b"abc", np.uint8))])
      ...     open_ids(entry, text).tolist()
      [97, 98, 99]
    """
    # A name that no entry has, so that what a killed process leaves is never opened.
    unfinished = entry.with_name(f".{entry.name}-{secrets.token_hex(8)}")
    with writing(entry.parent):
        unfinished.mkdir()
        try:
            _write_ids(unfinished / "ids.npy", text, blocks)
            with (unfinished / "vocabulary.json").open("w", encoding="utf-8") as file:
                json.dump(text.vocabulary.to_json(), file)
            try:
                unfinished.rename(entry)
            except OSError:
                if not entry.exists():  # no other process was faster
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def open_ids(entry: Path, text: Description) -> np.ndarray:
    """Map the ids of an entry into memory.

    Args:
      entry: an existing entry.
      text: what the entry must hold.

    Returns:
      ``[N]`` ids, a read-only ``np.memmap``.

    Raises:
      InputError: the entry is damaged.

    Example:
      >>> open_ids(Path("no/entry"), Description("86c4", Vocabulary("bytes"), 3))
      Traceback (most recent call last):
        ...
      jaxtext.errors.InputError: the cache entry no/entry is damaged; delete it
    """
    try:
        ids = np.load(entry / "ids.npy", mmap_mode="r")
        stored = json.loads((entry / "vocabulary.json").read_text(encoding="utf-8"))
        # Complete when written, but disks fail and files are truncated by hand.
        if ids.shape != (text.length,) or stored != text.vocabulary.to_json():
            raise ValueError("not the text it is named after")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"the cache entry {entry} is damaged; delete it") from error
    return ids


def _write_ids(path: Path, text: Description, blocks: Iterable[Block]) -> None:
    digest = hashlib.sha256()
    # Written, not memory-mapped: a full disk is then an error instead of a SIGBUS.
    with path.open("wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(text.vocabulary.dtype),
            "fortran_order": False,
            "shape": (text.length,),
        }
        np.lib.format.write_array_header_1_0(file, header)
        for raw, points in blocks:
            digest.update(raw)
            try:
                ids = text.vocabulary.encode_points(points)
            except InputError as error:
                raise _changed() from error
            file.write(ids.data)
        file.flush()
        os.fsync(file.fileno())  # or a power cut could leave an entry without its ids
    if digest.hexdigest() != text.sha256:
        raise _changed()


def _changed() -> InputError:
    return InputError(
        "the text changed while it was being prepared; try again when nothing writes "
        "to its files"
    )

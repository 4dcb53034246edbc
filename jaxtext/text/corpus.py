"""A corpus: a text as an array of ids in a file, prepared once and kept.

Two passes over the files, both in constant memory: the first learns the hash and the
distinct characters; the second, unless the cache has the ids already, writes them. What
is in the cache is checked and, where it is damaged, made anew.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from jaxtext.errors import InputError
from jaxtext.files import remove_leftovers
from jaxtext.text import cache as caching
from jaxtext.text.entry import DamagedEntryError, Description, open_ids, write
from jaxtext.text.file_array import FileArray
from jaxtext.text.reader import Block, blocks, check, counter
from jaxtext.text.sources import Spec, resolve
from jaxtext.text.vocabulary import KINDS, Kind, Vocabulary, from_code_points

MIN_CHARACTERS = 100


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text, encoded.

    Args:
      name: short, fit for a directory's name.
      sha256: of the text's bytes, in UTF-8 for a vocabulary of characters.
      vocabulary: what the ids mean.
      ids: ``[N]`` uint8 or uint16 in a file, so that a corpus may be larger than
        memory. They stay what they are, whatever becomes of the text's files.
    """

    name: str
    sha256: str
    vocabulary: Vocabulary
    ids: FileArray


def load(
    specs: Spec | Sequence[Spec],
    *,
    vocab: Kind = "chars",
    limit: int | None = None,
    cache: Path | str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Corpus:
    """Read a text and encode it, or find it encoded in the cache.

    The text is every file of every specification, one after the other, with a new line
    between two of them if the first does not end in one. What is packed (gzip, bzip2,
    xz) is unpacked. For ``"chars"`` UTF-16 and UTF-32 with a byte order mark are
    decoded, and the mark is no part of the text. Line ends stay as they are. The text
    is read at every start, for its hash says which text it is: the same text has the
    same ids, in whichever files.

    Args:
      specs: files, directories, globs, data sets or ``-``, or a single one of these;
        see ``sources.resolve``.
      vocab: ``"chars"`` (the text must be Unicode, and without NULs) or ``"bytes"``
        (any file but archives).
      limit: use only so many characters (or bytes) from the beginning; None uses all.
      cache: root of the cache; None stands for ``$JAXTEXT_CACHE``, or without it the
        user's cache directory.
      progress: called with the bytes processed so far and the bytes in all, counting
        both passes; with 0 and 1 while standard input is read, whose end nobody knows.
        What it raises ends the preparation and leaves nothing behind.
      warn: told of a damaged entry in the cache, which is then made anew, and of what
        lies in a directory and is left out.

    Returns:
      The corpus.

    Raises:
      InputError: no text, one that cannot be read, decoded or learnt from (fewer
        than 100 characters, or all the same), or a cache that cannot be written.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     corpus = load(["stdlib"], limit=5000, cache=Path(folder))
      >>> corpus.name, corpus.ids.shape
      ('stdlib', (5000,))
    """
    if vocab not in KINDS:
        raise InputError(f"expected --vocab {' or '.join(KINDS)}, got {vocab!r}")
    if limit is not None and limit < 1:
        raise InputError(f"expected a limit of at least 1, got {limit}; raise it")
    cache = caching.root() if cache is None else Path(cache)
    remove_leftovers(cache / "corpora")
    waiting = partial(progress, 0, 1)
    with resolve(specs, cache=cache, waiting=waiting, warn=warn) as (name, paths):
        size = check(paths, vocab)
        total = 2 * (size if limit is None else min(size, limit))
        advance = counter(total, progress)
        text = _survey(blocks(paths, vocab, limit, advance), vocab)
        entry = text.path(cache)
        ids = _find(entry, text, advance, warn)
        if ids is None:
            write(entry, text, blocks(paths, vocab, limit, advance))
            ids = _open_new(entry, text, advance)
        advance(total)  # ids may be fewer bytes than the text
    return Corpus(name, text.sha256, text.vocabulary, ids)


def _find(entry, text, advance, warn):
    """The ids in the cache, or None where they have to be made."""
    try:
        return open_ids(entry, text, advance)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, DamagedEntryError) as error:
        warn(
            f"the cache entry {entry} is damaged ({error}); it is made anew from the "
            "text. Should this happen again, have the disk checked"
        )
        return None


def _open_new(entry, text, advance):
    """The ids that were written a moment ago."""
    try:
        return open_ids(entry, text, advance)
    except (OSError, DamagedEntryError) as error:
        raise InputError(
            f"the cache entry {entry} was written and is damaged already ({error}); "
            "have its disk checked, or set JAXTEXT_CACHE to a directory on another"
        ) from error


def _survey(pieces: Iterable[Block], kind: Kind) -> Description:
    digest = hashlib.sha256()
    seen = np.zeros(0x110000, bool)  # one for every code point there is
    seen_bytes = b""  # those of them that are bytes
    length = 0
    for raw, points in pieces:
        digest.update(raw)
        # Looking is three times as fast as marking, and few blocks bring anything new.
        # Of bytes, to look is to delete what was seen: twice as fast again.
        if points.dtype == np.uint8:
            is_new = bool(points.tobytes().translate(None, seen_bytes))
        else:
            is_new = not seen.take(points, mode="clip").all()
        if is_new:
            seen[points] = True
            seen_bytes = np.flatnonzero(seen[:256]).astype(np.uint8).tobytes()
        length += len(points)
    distinct = np.flatnonzero(seen)
    if length == 0:
        raise InputError("expected a text, got an empty one; give another corpus")
    if length < MIN_CHARACTERS:
        raise InputError(
            f"expected a text of at least {MIN_CHARACTERS} characters, got {length}; "
            "give a longer corpus or a higher limit"
        )
    if len(distinct) == 1:
        raise InputError(
            f"there is nothing to predict in a text of {length:,} times "
            f"{chr(distinct[0])!r}; give another corpus"
        )
    characters = from_code_points(distinct) if kind == "chars" else ""
    return Description(digest.hexdigest(), Vocabulary(kind, characters), length)

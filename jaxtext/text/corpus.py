"""A corpus: a text as an array of ids in a file, prepared once and cached.

Preparing it takes two passes over the text's files, both in constant memory. The first
computes the hash and finds the distinct characters. The second writes the ids, unless
the cache has them already. Cached ids are checked, and written again if damaged.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from jaxtext.errors import InputError
from jaxtext.files import remove_leftovers
from jaxtext.text import cache as caching
from jaxtext.text.documents import Documents
from jaxtext.text.entry import DamagedEntryError, Description, open_ids, write
from jaxtext.text.excluding import Exclusion
from jaxtext.text.file_array import FileArray
from jaxtext.text.modes import Mode, text_blocks, usual_mode
from jaxtext.text.newlines import NEWLINES, Newlines
from jaxtext.text.reader import Block, How, check, counter
from jaxtext.text.sources import Spec, resolve
from jaxtext.text.vocabulary import END, KINDS, Kind, Vocabulary, from_code_points

MIN_CHARACTERS = 100


@dataclass(frozen=True, eq=False)
class Corpus:
    """An encoded text.

    Args:
      name: A short name, which can be part of a directory's name.
      sha256: The SHA-256 of the text's bytes; for a vocabulary of characters, of the
        text in UTF-8.
      vocabulary: What the ids mean.
      ids: ``[N]`` uint8 or uint16, in a file, so a corpus may be larger than memory.
        They do not change if the text's files do. Of a text of documents, the first and
        the last are ``vocabulary.end``, which also stands between two documents.
      mode: What a document is; ``"none"`` if the text is not of documents.
    """

    name: str
    sha256: str
    vocabulary: Vocabulary
    ids: FileArray
    mode: Mode = "none"

    @cached_property
    def documents(self) -> Documents:
        """The documents, which are found in the ids when they are first asked for.

        Raises:
          InputError: If the text is not of documents, or the disk is full.
        """
        if self.vocabulary.end is None or self.mode == "none":
            raise InputError(
                f"documents: expected a text of documents, got {self.name}, which is "
                "one; load it with documents='lines', for example"
            )
        return Documents.of(self.ids, self.vocabulary.end)


def load(
    specs: Spec | Sequence[Spec],
    *,
    vocab: Kind = "chars",
    documents: Mode | None = "none",
    field: str | None = None,
    newlines: Newlines = "lf",
    any_bytes: bool = False,
    exclude: Sequence[str] = (),
    limit: int | None = None,
    including: Vocabulary | None = None,
    cache: Path | str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Corpus:
    """Reads and encodes a text, or finds its ids in the cache.

    The text consists of all files of all specifications, one after the other. If a
    file does not end in a newline, one is added before the next file. Files packed with
    gzip, bzip2, xz or zstd are unpacked. With ``"chars"``, UTF-16 and UTF-32 with a
    byte order mark are decoded, the mark is not part of the text, and line ends become
    LF.

    A file that is no text is an error, which names what makes text of it. In a
    directory, a prefix of a bucket or a glob, it is left out and counted instead.

    The text is read each time, because its hash identifies it: the same text has the
    same ids, whatever its files are called. Files in buckets and on the web are copied
    into the cache once.

    Args:
      specs: Files, directories, globs, URLs, data sets or ``-``, or a single one of
        these. See `sources.resolve`.
      vocab: ``"chars"`` for characters (the text must be Unicode, without NULs), or
        ``"bytes"`` (any file whose bytes are not packed, as those of an image are).
      documents: What a document is: ``"files"``, ``"lines"``, ``"paragraphs"``,
        ``"jsonl"`` or ``"csv"``; see `modes.document_blocks`. Documents need
        ``"chars"``. ``"none"``: the text is one. ``None``: ``"files"`` for several
        files, unless they are a data set, and ``"none"`` for others.
      field: The field of a row that is the document, for ``"jsonl"`` and ``"csv"``.
      newlines: ``"lf"`` turns each CRLF and CR into LF; ``"keep"`` leaves them as they
        are. With ``"bytes"`` they always are.
      any_bytes: With ``"bytes"``, also read images, archives and other packed files.
        gzip, bzip2, xz and zstd are unpacked all the same.
      exclude: Patterns such as ``*.html`` or ``drafts/*`` for what to leave out of
        directories, prefixes and globs. One without a slash is compared with names,
        one with a slash with the path below the directory.
      limit: How many characters (or bytes) of the beginning to use, ends of documents
        included, but the first, and one at the limit. Default: all.
      including: Symbols that the vocabulary has in any case, such as those of a trained
        model that is to go on with this text. Default: those of the text alone.
      cache: The root of the cache. Default: ``$JAXTEXT_CACHE`` if set, else the user's
        cache directory.
      progress: Called with the bytes processed so far and the total, counting both
        passes; before that with those that are copied from elsewhere, or with 0 and 1
        where the size is unknown, as for standard input.
        An exception that it raises ends the preparation, which leaves nothing behind.
      warn: Called with a sentence about a damaged file in the cache, which is then
        written again, about files in a directory that are left out, about line ends
        that are turned, and about texts that are marked up, such as HTML.

    Returns:
      The corpus.

    Raises:
      InputError: If there is no text; if it cannot be read or decoded, has fewer than
        100 characters or only one distinct; if `including` is of another kind than
        `vocab`; if an argument is none of those above, or `documents` or `field` do not
        go with the text; or if the cache cannot be written.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     corpus = load(["stdlib"], limit=5000, cache=Path(folder))
      >>> corpus.name, corpus.ids.shape
      ('stdlib', (5000,))
    """
    if vocab not in KINDS:
        raise InputError(f"expected `vocab` {' or '.join(KINDS)}, got {vocab!r}")
    if newlines not in NEWLINES:
        raise InputError(
            f"expected `newlines` {' or '.join(NEWLINES)}, got {newlines!r}"
        )
    if limit is not None and limit < 1:
        raise InputError(f"expected a limit of at least 1, got {limit}; raise it")
    cache = caching.root() if cache is None else Path(cache)
    remove_leftovers(cache / "corpora")
    turned = Counter[str]()
    how = How(newlines, any_bytes, lambda count: turned.update(ends=count))
    excluded = Exclusion(exclude)
    with resolve(
        specs,
        cache=cache,
        kind=vocab,
        any_bytes=any_bytes,
        exclude=excluded,
        progress=progress,
        warn=warn,
    ) as (name, paths):
        for pattern in excluded.unused:
            warn(f"nothing in {name} matches {pattern}, which was to be excluded")
        mode = usual_mode(specs, paths, vocab) if documents is None else documents
        size, marked_up = check(paths, vocab, any_bytes=any_bytes)
        _tell_markup(marked_up, len(paths), warn)
        total = 2 * (size if limit is None else min(size, limit))
        advance = counter(total, progress)

        def read() -> Iterator[Block]:
            return text_blocks(paths, vocab, mode, field, limit, advance, how)

        text = _survey(read(), vocab, mode != "none")
        _tell_newlines(name, turned["ends"], warn)
        entry = text.path(cache)
        if including is not None:
            text, entry = _extended(text, entry, including)
        ids = _find(entry, text, advance, warn)
        if ids is None:
            write(entry, text, read())
            ids = _open_new(entry, text, advance)
        advance(total)  # ids may be fewer bytes than the text
    return Corpus(name, text.sha256, text.vocabulary, ids, mode)


def _tell_markup(marked_up, files, warn):
    """Says that a text is marked up, if most of its files are."""
    for found, n in marked_up.items():
        if 2 * n > files:
            what = (
                f"the text is {found.name}"
                if files == 1
                else (f"{n:,} of {files:,} files are {found.plural}")
            )
            warn(
                f"{what}, and its markup is learnt too; to learn the text alone, "
                f"get it with: {found.command}"
            )


def _tell_newlines(name, turned, warn):
    if turned:
        warn(
            f"{turned:,} line ends of {name} were CRLF or CR and are LF now; "
            "`newlines='keep'` keeps them"
        )


def _extended(text, entry, including):
    """The text in a vocabulary with more symbols, and an entry of its own for that."""
    union = text.vocabulary.union(including)
    if union == text.vocabulary:
        return text, entry
    digest = hashlib.sha256(union.characters.encode() + END.encode() * union.ends)
    entry = entry.with_name(f"{entry.stem}-{digest.hexdigest()[:16]}.npy")
    return text._replace(vocabulary=union), entry


def _find(entry, text, advance, warn):
    """Returns the ids in the cache, or None if they have to be written."""
    try:
        return open_ids(entry, text, advance)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, DamagedEntryError) as error:
        warn(
            f"the cache entry {entry} is damaged ({error}); it is written again from "
            "the text. If this happens repeatedly, check the disk"
        )
        return None


def _open_new(entry, text, advance):
    """Returns the ids that were just written."""
    try:
        return open_ids(entry, text, advance)
    except (OSError, DamagedEntryError) as error:
        raise InputError(
            f"the cache entry {entry} was just written and is damaged already "
            f"({error}); check its disk, or set JAXTEXT_CACHE to a directory on another"
        ) from error


def _survey(pieces: Iterable[Block], kind: Kind, ends: bool) -> Description:
    digest = hashlib.sha256()
    seen = np.zeros(0x110000, bool)  # one for every code point there is
    seen_bytes = b""  # those of them that are bytes
    length = 0
    for raw, points in pieces:
        digest.update(raw)
        # Checking is three times as fast as marking, and few blocks have new symbols.
        # For bytes, deleting those already seen is twice as fast again.
        if points.dtype == np.uint8:
            is_new = bool(points.tobytes().translate(None, seen_bytes))
        else:
            is_new = not seen.take(points, mode="clip").all()
        if is_new:
            seen[points] = True
            seen_bytes = np.flatnonzero(seen[:256]).astype(np.uint8).tobytes()
        length += len(points)
    if ends:
        seen[ord(END)] = False
    distinct = np.flatnonzero(seen)
    if len(distinct) == 0:
        raise InputError("expected a text, got an empty one; use another corpus")
    if length < MIN_CHARACTERS:
        raise InputError(
            f"expected a text of at least {MIN_CHARACTERS} characters, got {length}; "
            "use a longer corpus or a higher limit"
        )
    if len(distinct) == 1:
        raise InputError(
            f"there is nothing to predict in a text of {length:,} times "
            f"{chr(distinct[0])!r}; use another corpus"
        )
    characters = from_code_points(distinct) if kind == "chars" else ""
    vocabulary = Vocabulary(kind, characters, ends)
    return Description(digest.hexdigest(), vocabulary, length)

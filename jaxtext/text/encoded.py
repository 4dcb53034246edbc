"""A text encoded in the vocabulary of a trained model.

Unlike `corpus.load`, this takes texts of any length and caches nothing: the ids are in
an unnamed file, which disappears with the array.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxtext.errors import InputError
from jaxtext.files import remove_leftovers, unfinished
from jaxtext.text import cache as caching
from jaxtext.text.corpus import Corpus
from jaxtext.text.file_array import FileArray
from jaxtext.text.modes import Mode, text_blocks
from jaxtext.text.newlines import Newlines
from jaxtext.text.reader import How, check, counter
from jaxtext.text.sources import Sources
from jaxtext.text.vocabulary import END, Vocabulary, code_points

_NAMED = 10  # unknown characters, at most


def encode(
    sources: Sources,
    vocabulary: Vocabulary,
    *,
    documents: Mode = "none",
    field: str | None = None,
    limit: int | None = None,
    newlines: Newlines = "lf",
    any_bytes: bool = False,
    cache: Path | str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Corpus:
    """Encodes a text in a given vocabulary, in constant memory.

    Args:
      sources: The files, as `sources.resolve` finds them.
      vocabulary: The vocabulary to use. For documents it has an end of them.
      documents: What a document is, as for `corpus.load`.
      field: As for `corpus.load`.
      limit: How many characters (or bytes) of the beginning to use. Default: all.
      newlines: As for `corpus.load`.
      any_bytes: As for `corpus.load`.
      cache: Where to put the ids. Default: ``$JAXTEXT_CACHE`` if set, else the user's
        cache directory.
      progress: Called with the bytes read so far and the total. An exception that it
        raises ends the encoding, which leaves nothing behind.

    Returns:
      The text as a corpus with the given vocabulary.

    Raises:
      InputError: If the text has characters that are not in the vocabulary (the message
        lists them), if it cannot be read or decoded, or if the disk is full.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder, "text")
      ...     _ = path.write_text("cab")
      ...     sources = Sources("text", (path,))
      ...     corpus = encode(sources, Vocabulary("chars", "abc"), cache=Path(folder))
      >>> np.asarray(corpus.ids)
      array([2, 0, 1], dtype=uint8)
    """
    folder = (caching.root() if cache is None else Path(cache)) / "corpora"
    remove_leftovers(folder)
    kind, paths = vocabulary.kind, sources.paths
    size = check(paths, kind, any_bytes=any_bytes).size
    total = size if limit is None else min(size, limit)
    advance = counter(total, progress)
    how = How(newlines, any_bytes)
    digest, unknown = hashlib.sha256(), set[int]()
    known = code_points(vocabulary.characters + END * vocabulary.ends)
    with caching.writing(folder), unfinished(folder) as file:
        read = text_blocks(paths, kind, documents, field, limit, advance, how)
        for raw, points in read:
            digest.update(raw)
            try:
                file.write(vocabulary.encode_points(points).data)
            except InputError:
                unknown.update(np.setdiff1d(points, known).tolist())
        advance(total)  # a newline added between files is not a byte of either
        if unknown:
            raise _unknown(sorted(unknown), len(paths))
        file.flush()
        ids = FileArray(Path(file.name)).view(vocabulary.dtype)
    return Corpus(sources.name, digest.hexdigest(), vocabulary, ids, documents)


def _unknown(points: list[int], files: int) -> InputError:
    named = ", ".join(f"{chr(point)!r} (U+{point:04X})" for point in points[:_NAMED])
    if len(points) > _NAMED:
        named += f" and {len(points) - _NAMED:,} more"
    plural = "s" if len(points) > 1 else ""
    return InputError(
        f"the model does not know the character{plural} {named} of this text; leave "
        f"{'them' if plural else 'it'} out, or train a model on a corpus that has "
        f"{'them' if plural else 'it'} or with `vocab='bytes'`"
        + ("; a newline is added between files" if files > 1 and 10 in points else "")
    )

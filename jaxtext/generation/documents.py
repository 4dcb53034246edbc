"""Documents that a model writes, each from its beginning to its end."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxtext.checks import integers
from jaxtext.errors import InputError
from jaxtext.generation import gumbel
from jaxtext.generation.decoding import Decoding, chosen
from jaxtext.generation.sampling import generate
from jaxtext.keys import typed_key
from jaxtext.model import LanguageModel
from jaxtext.quantities import count, shown
from jaxtext.types import Key, Params

_CHUNK = 32  # symbols between two looks at whether all documents have ended


class Document(NamedTuple):
    """A document that a model has written.

    Attributes:
      ids: ``[n]`` int32, its symbols, with those it was given to begin with and without
        the end.
      ended: Whether the model ended it. If not, it was cut at the length or by a
        string of ``Decoding.stop``.
    """

    ids: np.ndarray
    ended: bool


def generate_documents(
    model: LanguageModel,
    params: Params,
    number: int,
    *,
    length: int,
    key: Key,
    beginning: ArrayLike = (),
    temperature: ArrayLike = 1.0,
    decoding: Decoding | None = None,
    first: int = 0,
    rows: int = 256,
) -> Iterator[Document]:
    """Writes documents, each from its beginning to its end.

    ::

        s_0 = end
        s_tp1 ~ softmax(logits_t / temperature)     until s_tp1 = end

    The model reads the symbol that ends documents, which takes it to the initial state,
    as at the beginning of each document of its training text. Documents are written
    side by side. A group ends when all of its documents have.

    Args:
      model: A model of documents: one that has an `end`.
      params: Its parameters.
      number: How many documents to write.
      length: How many symbols a document has at most, besides `beginning`. A document
        that has not ended by then is cut.
      key: One key. A document depends on the key, its index and `beginning`, and not on
        the number of documents or of rows.
      beginning: ``[P]`` integers, what each document begins with.
      temperature: As for `generate`.
      decoding: As for `generate`. The end of a document is allowed in any case and
        counts as a string of ``stop``, so ``min_length`` applies to it. So does
        ``repetition_penalty``, since the end is what is read first.
      first: The index of the first document. Use it to write more after others.
      rows: How many documents are written at once, at most.

    Yields:
      The documents in the order of their indices, as soon as a group is done.

    Raises:
      InputError: If the model has no `end`, `beginning` is no row of symbols or has an
        end in it, or a number is out of range.

    Example:
      >>> import jax, jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=4, end=3)
      >>> params = model.init(jax.random.key(0), None, np.zeros((1, 1), int))["params"]
      >>> documents = list(
      ...     generate_documents(model, params, 5, length=20, key=jax.random.key(1))
      ... )
      >>> len(documents), all(3 not in document.ids for document in documents)
      (5, True)
    """
    if model.end is None:
        raise InputError(
            "model: expected one of documents, which knows where they end, got one "
            "without; make it with end=vocabulary.end, of a text of documents"
        )
    number, first = count("number", number, 0), count("first", first, 0)
    length, rows = count("length", length, 0), count("rows", rows)
    start = np.asarray(beginning)
    start = integers("beginning", start if start.size else start.astype(np.int32))
    if start.ndim != 1 or model.end in np.asarray(start):
        raise InputError(
            f"beginning: expected a row [P] of symbols without the end {model.end}, "
            f"got {shown(start)}"
        )
    decoding = chosen(decoding, temperature)
    key, rows = typed_key(key), min(rows, max(number, 1))
    if key.ndim:
        raise InputError(f"key: expected one key, got {key.shape}")
    prompts = np.tile(np.append(model.end, start).astype(np.int32), (rows, 1))
    how = prompts, length, _until(model.end, decoding), first, number
    return _groups(model, params, key, *how)


def _until(end: int, decoding: Decoding) -> Decoding:
    """The rules with the end of a document as one more way to stop."""
    only = None if decoding.only is None else [*decoding.only, end]
    forbid = [x for x in decoding.forbid if x != end]
    stop = [*decoding.stop, [end]]
    return dataclasses.replace(decoding, stop=stop, only=only, forbid=forbid)


def _groups(model, params, key, prompts, length, decoding, first, number):
    rows = len(prompts)
    nothing = np.zeros((rows, 0), np.int32)
    for begin in range(0, number, rows):
        own = gumbel.keys_of_rows(key, rows, first + begin)
        of = model, params, prompts, length
        pieces = generate(*of, key=own, decoding=decoding, chunk=_CHUNK)
        ids = np.concatenate([nothing, *pieces], axis=1)
        for row in np.concatenate([prompts[:, 1:], ids], axis=1)[: number - begin]:
            whole = row[row >= 0]
            ended = bool(model.end in whole)
            yield Document(whole[:-1] if ended else whole, ended)

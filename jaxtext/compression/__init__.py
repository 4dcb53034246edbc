"""Files made smaller by a model's probabilities, and back to the byte.

An arithmetic coder spends ``-log2 p`` bits on a symbol that a model gave the
probability ``p``. So the size of the compressed file is the model's loss on it.

- `compress` makes the file, and `decompress` brings the original back.
- `read_header` reads what a file says of itself: what one needs to decompress it.

This is a proof of a loss, and no archive. Decoding has to compute the same
probabilities as encoding, bit for bit. So a file can be decompressed by the same
versions on the same kind of machine only. All that is checked before the first symbol,
and a SHA-256 of the original is checked after the last.
"""

import dataclasses
import hashlib
import lzma
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxtext.compression import coding, machine
from jaxtext.compression.header import Header, Parts, put_together, take_apart
from jaxtext.compression.reader import Learning, Reader
from jaxtext.compression.separated import Separated, join, separate
from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.quantities import count
from jaxtext.text import Vocabulary
from jaxtext.types import Params

__all__ = [
    "Compressed",
    "Header",
    "Learning",
    "compress",
    "decompress",
    "read_header",
]


class Compressed(NamedTuple):
    """A compressed file.

    Attributes:
      file: Its bytes.
      header: What it says of itself.
      bits: The sum of ``-log2 p`` over all symbols, which the code should have.
    """

    file: bytes
    header: Header
    bits: float


def compress(
    model: LanguageModel,
    params: Params,
    vocabulary: Vocabulary,
    data: bytes,
    *,
    streams: int = 1,
    learning: Learning | None = None,
    note: Mapping[str, Any] = {},
    progress: coding.Progress = None,
) -> Compressed:
    """Makes a file smaller by a model's probabilities.

    ::

        bits = Σ_t -log2 p(s_t | s_1 … s_tm1)

    The text is read from the zero state, which is carried to its end. Apart from the
    first symbol, which costs ``log2 V`` bits, the bits are those that
    `jaxtext.training.evaluate` reports; with `learning`, `evaluate_dynamic`. What the
    vocabulary has no symbol for is kept beside, compressed by LZMA.

    Args:
      model: The model.
      params: Its parameters.
      vocabulary: What its symbols mean.
      data: All of the original. A model over characters reads it as UTF-8; any other
        bytes come back too.
      streams: Into how many equal parts the text is cut, which are read side by side.
        Many are faster. Each begins from the zero state, so the file becomes larger.
      learning: Go on learning from what was read (dynamic evaluation). Needs
        `streams` of 1.
      note: A value for JSON, which the header keeps.
      progress: Called with the number of symbols so far and in all. An error that it
        raises ends the work.

    Raises:
      InputError: If the package constriction is not installed, a number is out of
        range, the model has an `end` of documents, or its probabilities are not finite.

    Example:
      >>> import jax, jaxtext as jt
      >>> vocabulary = jt.text.Vocabulary("chars", "abc")
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=3)
      >>> params = model.init(jax.random.key(0), None, [[0]])["params"]
      >>> made = compress(model, params, vocabulary, b"abcabc, or not")
      >>> decompress(model, params, vocabulary, made.file)
      b'abcabc, or not'
    """
    streams = count("streams", streams)
    if model.end is not None:
        raise InputError(
            "model: expected one of one text, since a file has no ends of documents, "
            f"got one with end={model.end}; train on the text with documents='none'"
        )
    if learning is not None and streams > 1:
        raise InputError(
            f"streams: expected 1 with dynamic evaluation, got {streams}; leave one of "
            "them out"
        )
    parts = separate(data, vocabulary)
    streams = max(1, min(streams, len(parts.ids)))
    code, bits = b"", 0.0
    if len(parts.ids):
        reader = Reader(model, params, streams, learning)
        code, bits = coding.encode(reader, parts.ids, streams, progress)
    header = Header(
        model=machine.fingerprint(params, vocabulary),
        made_with=machine.here(),
        probe=machine.probe(model, params, streams, learning),
        symbols=len(parts.ids),
        streams=streams,
        code=len(code),
        rest=len(parts.rest),
        dynamic=None if learning is None else dataclasses.asdict(learning.rule),
        note=dict(note),
    )
    digest = hashlib.sha256(data).digest()
    return Compressed(
        put_together(Parts(header, code, parts.rest, digest)), header, bits
    )


def read_header(file: bytes) -> Header:
    """Reads what a compressed file says of itself.

    Args:
      file: All of it.

    Raises:
      InputError: If it is no compressed file, or is damaged.
    """
    return take_apart(file).header


def decompress(
    model: LanguageModel,
    params: Params,
    vocabulary: Vocabulary,
    file: bytes,
    *,
    learning: Learning | None = None,
    progress: coding.Progress = None,
) -> bytes:
    """Brings back the original of a compressed file.

    Args:
      model: The model that it was compressed with.
      params: Its parameters.
      vocabulary: What its symbols mean.
      file: What `compress` made.
      learning: As it was compressed with; the header has the rule.
      progress: As for `compress`.

    Returns:
      The original, whose SHA-256 was checked.

    Raises:
      InputError: If the file is damaged, or was made with another model, other versions
        or on a machine that computes other probabilities.
    """
    header, code, rest, digest = take_apart(file)
    machine.check_made_with(header.made_with)
    if (found := machine.fingerprint(params, vocabulary)) != header.model:
        raise InputError(
            f"cannot decompress: expected the model {header.model[:12]}…, with which "
            f"the file was made, got {found[:12]}…; give that one"
        )
    rule = None if learning is None else dataclasses.asdict(learning.rule)
    if rule != header.dynamic:
        raise InputError(
            f"learning: expected the rule {header.dynamic}, with which the file was "
            f"made, got {rule}; give that one"
        )
    probe = machine.probe(model, params, header.streams, learning)
    machine.check_probe(header.probe, probe, header.made_with)
    reader = Reader(model, params, header.streams, learning)
    ids = coding.decode(reader, code, header.symbols, header.streams, progress)
    try:
        data = join(Separated(ids, rest), vocabulary)
    except (ValueError, IndexError, lzma.LZMAError, struct.error):
        data = None
    if data is None or hashlib.sha256(data).digest() != digest:
        raise InputError(
            "cannot decompress: what came out is not the original, so this machine "
            "computes other probabilities; decompress the file where it was made"
        )
    return data

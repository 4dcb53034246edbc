"""Vocabulary: the symbols that a model knows, and the id of each."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from jaxtext.errors import InputError

Kind = Literal["chars", "bytes"]
KINDS = ("chars", "bytes")
MAX_CHARACTERS = 1 << 16  # ids are stored in at most 16 bits
END = "\0"  # marks the end of a document in a text, which has no NUL of its own


class StreamDecoder(Protocol):
    """Turns ids into text as they arrive. `final` flushes an incomplete character."""

    def __call__(self, ids: ArrayLike, final: bool = False) -> str: ...


@dataclass(frozen=True)
class Vocabulary:
    """A one-to-one mapping between symbols and the ids ``0 .. len(vocabulary) - 1``.

    Args:
      kind: ``"chars"``: symbols are characters (Unicode code points). ``"bytes"``:
        symbols are the bytes of the text in UTF-8, and the id of a byte is its value.
      characters: The distinct characters in ascending order. The id of a character is
        its position. Empty for bytes.
      ends: Whether there is one more symbol, `end`, which ends a document and begins
        the next one. It is not a character. Only with ``"chars"``.

    Raises:
      InputError: If the kind is unknown, or the characters are not in order or more
        than 65,536, `end` included. With `ends`, if the kind is ``"bytes"`` or NUL is
        among the characters.

    Example:
      >>> vocabulary = Vocabulary("chars", "abc")
      >>> vocabulary.encode("cab")
      array([2, 0, 1], dtype=uint8)
      >>> vocabulary.decode([2, 0, 1])
      'cab'
    """

    kind: Kind
    characters: str = ""
    ends: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"expected a vocabulary of {' or '.join(KINDS)}, got {self.kind!r}"
            )
        wanted = sorted(set(self.characters)) if self.kind == "chars" else []
        if list(self.characters) != wanted:
            raise InputError(
                "expected the distinct characters in ascending order (none for bytes), "
                f"got {self.characters[:20]!r}; sort them first"
            )
        if len(self.characters) > MAX_CHARACTERS - self.ends:
            raise InputError(
                f"expected at most {MAX_CHARACTERS - self.ends:,} distinct characters, "
                f"got {len(self.characters):,}; use `vocab='bytes'` instead"
            )
        if self.ends and (self.kind == "bytes" or END in self.characters):
            raise InputError(
                "expected a vocabulary of chars without NUL for documents, got "
                f"{self.kind}{' with it' if self.kind == 'chars' else ''}; train on "
                "one text instead"
            )

    def __len__(self) -> int:
        return 256 if self.kind == "bytes" else len(self.characters) + self.ends

    @property
    def end(self) -> int | None:
        """The id of the symbol that ends a document and begins the next one.

        It is the last id; ``None`` if the vocabulary has no such symbol. `decode`
        writes it as a newline.

        Example:
          >>> Vocabulary("chars", "abc", ends=True).end
          3
        """
        return len(self.characters) if self.ends else None

    @property
    def dtype(self) -> np.dtype:
        """The dtype of ids: ``uint8`` for up to 256 symbols, else ``uint16``."""
        return np.dtype(np.uint8 if len(self) <= 256 else np.uint16)

    def encode(self, text: str | bytes) -> np.ndarray:
        r"""Turns text into ids.

        Args:
          text: A string, or bytes. A vocabulary of bytes takes bytes as they are. A
            vocabulary of characters decodes them as UTF-8, without a byte order mark.

        Returns:
          The ids, ``[N]`` of type `dtype`, where N counts characters or UTF-8 bytes.

        Raises:
          InputError: If a character is not in the vocabulary. For a vocabulary of
            bytes, if UTF-8 cannot represent a character (half of a surrogate pair). For
            one of characters, if bytes are not UTF-8.

        Example:
          >>> Vocabulary("bytes").encode("é"), Vocabulary("bytes").encode(b"\xe9")
          (array([195, 169], dtype=uint8), array([233], dtype=uint8))
        """
        if isinstance(text, bytes):
            if self.kind == "bytes":
                return np.frombuffer(text, np.uint8)
            text = _decode(text)
        if self.kind == "chars":
            if self.ends and END in text:  # as a character it has no id
                raise _unknown(0, text.index(END))
            # Surrogates are passed through, and reported as unknown characters.
            return self.encode_points(code_points(text, "surrogatepass"))
        try:
            return np.frombuffer(text.encode("utf-8"), np.uint8)
        except UnicodeEncodeError as error:
            raise _unknown(ord(text[error.start]), error.start) from error

    def encode_points(self, points: np.ndarray) -> np.ndarray:
        """Turns code points into ids. This is the fast path for long texts.

        Args:
          points: Code points (or for a vocabulary of bytes, bytes), ``[N]`` unsigned
            integers. uint8 is encoded three times as fast. If documents have ends, 0
            stands for `end`.

        Returns:
          The ids, ``[N]`` of type `dtype`.

        Raises:
          InputError: If a code point is not in the vocabulary.

        Example:
          >>> Vocabulary("chars", "abc").encode_points(code_points("cab"))
          array([2, 0, 1], dtype=uint8)
        """
        if self.kind == "bytes":
            return points.astype(np.uint8, copy=False)
        if points.dtype == np.uint8 and len(self) < 256:
            encoded = points.tobytes().translate(self._id_of_byte)
            ids = np.frombuffer(encoded, np.uint8)
            if ids.max(initial=0) < len(self):  # otherwise the error below is raised
                return ids
        # Points beyond the table are clipped to its last entry, which is -1.
        ids = self._id_of_point.take(points, mode="clip")
        if ids.size and ids.min() < 0:
            position = int(np.argmin(ids))
            raise _unknown(int(points[position]), position)
        return ids.astype(self.dtype)

    def _check_kind(self, other: "Vocabulary") -> None:
        if other.kind != self.kind:
            raise InputError(
                f"expected another vocabulary of {self.kind}, got one of {other.kind}; "
                "a model knows either characters or bytes"
            )

    @cached_property
    def _id_of_point(self) -> np.ndarray:
        known = code_points(self.characters)
        table = np.full(known.max(initial=0) + 2, -1, np.int32)
        table[known] = np.arange(len(known))
        if self.end is not None:
            table[0] = self.end
        return table

    @cached_property
    def _id_of_byte(self) -> bytes:
        """The ids of all code points below 256, or 255 if unknown.

        For vocabularies of up to 255 symbols.
        """
        ids = self._id_of_point.take(np.arange(256), mode="clip")
        return ids.astype(np.uint8).tobytes()  # -1 becomes 255

    @cached_property
    def _point_of_id(self) -> np.ndarray:
        return code_points(self.characters + "\n" * self.ends)

    def decode(self, ids: ArrayLike) -> str:
        """Turns ids into text.

        Args:
          ids: ``[N]`` integers below ``len(self)``.

        Returns:
          The text. Bytes that are not valid UTF-8 become U+FFFD, and `end` becomes a
          newline.

        Example:
          >>> Vocabulary("bytes").decode([195, 169, 255])
          'é\ufffd'
        """
        return self.decoder()(ids, final=True)

    def decoder(self) -> StreamDecoder:
        """Creates a decoder that takes the ids of a text in pieces.

        Returns:
          A function ``(ids, final=False) -> str``. It returns a character once it has
          the last byte of it. ``final=True`` returns an incomplete one as U+FFFD.

        Example:
          >>> decode = Vocabulary("bytes").decoder()
          >>> decode([195]), decode([169]), decode([], final=True)
          ('', 'é', '')
        """
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")

        def decode_bytes(ids: ArrayLike, final: bool = False) -> str:
            return utf8.decode(np.asarray(ids, np.uint8).tobytes(), final)

        def decode_characters(ids: ArrayLike, final: bool = False) -> str:
            return from_code_points(self._point_of_id[np.asarray(ids, np.intp)])

        return decode_bytes if self.kind == "bytes" else decode_characters

    def to_bytes(self, ids: ArrayLike) -> bytes:
        r"""Turns ids into the bytes of the text.

        Args:
          ids: ``[N]`` integers below ``len(self)``.

        Returns:
          For a vocabulary of bytes, the bytes themselves; otherwise the text in UTF-8.

        Example:
          >>> Vocabulary("bytes").to_bytes([99, 233])
          b'c\xe9'
        """
        if self.kind == "bytes":
            return np.asarray(ids, np.uint8).tobytes()
        return self.decode(ids).encode()

    def union(self, other: "Vocabulary") -> "Vocabulary":
        """Returns the vocabulary of all symbols that are in either of two.

        Args:
          other: A vocabulary of the same kind.

        Raises:
          InputError: If the kinds differ, or there are more than 65,536 characters.

        Example:
          >>> Vocabulary("chars", "ac").union(Vocabulary("chars", "bc")).characters
          'abc'
        """
        self._check_kind(other)
        both = {*self.characters, *other.characters}
        ends = self.ends or other.ends
        return Vocabulary(self.kind, "".join(sorted(both)), ends)

    def ids_in(self, other: "Vocabulary") -> np.ndarray:
        """Returns the ids that the symbols of this vocabulary have in another one.

        Args:
          other: A vocabulary of the same kind that has all of them.

        Returns:
          ``[len(self)]``, of type ``other.dtype``.

        Raises:
          InputError: If the kinds differ, or a symbol is not in `other`.

        Example:
          >>> Vocabulary("chars", "ac").ids_in(Vocabulary("chars", "abc"))
          array([0, 2], dtype=uint8)
        """
        self._check_kind(other)
        if self.kind == "bytes":
            return np.arange(len(self), dtype=self.dtype)
        ids = other.encode(self.characters)
        if not self.ends:
            return ids
        if other.end is None:
            raise InputError(
                "expected a vocabulary with an end of documents, got one without; use "
                "documents there too"
            )
        return np.append(ids, np.array([other.end], other.dtype))

    def to_json(self) -> dict[str, Any]:
        """Returns the vocabulary as a dict that can be saved as JSON.

        Example:
          >>> Vocabulary("chars", "abc").to_json()
          {'kind': 'chars', 'characters': 'abc'}
        """
        ends = {"ends": True} if self.ends else {}
        return {"kind": self.kind, "characters": self.characters, **ends}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Vocabulary":
        """Creates a vocabulary from what `to_json` returned.

        Args:
          data: A dict with the keys ``kind`` and ``characters``, and ``ends`` if there
            is an end of documents.

        Returns:
          An equal vocabulary.

        Raises:
          InputError: If a key is missing or its value is not valid.

        Example:
          >>> Vocabulary.from_json({"kind": "bytes", "characters": ""})
          Vocabulary(kind='bytes', characters='', ends=False)
        """
        try:
            kind, characters = data["kind"], data["characters"]
            return cls(kind, characters, data.get("ends", False))
        except KeyError as error:
            raise InputError(
                f"expected the keys kind and characters, got {', '.join(data)}; "
                "the file that describes the vocabulary is damaged"
            ) from error


def code_points(text: str, errors: str = "strict") -> np.ndarray:
    """Returns the code points of a text.

    Args:
      text: Any string.
      errors: How surrogates are treated, as in ``str.encode``.

    Returns:
      ``[len(text)]`` uint32.

    Example:
      >>> code_points("aé")
      array([ 97, 233], dtype=uint32)
    """
    return np.frombuffer(text.encode("utf-32-le", errors), "<u4")


def from_code_points(points: np.ndarray) -> str:
    """Returns the text with the given code points.

    Args:
      points: ``[N]`` integers.

    Returns:
      The string of length N.

    Example:
      >>> from_code_points(np.array([97, 233]))
      'aé'
    """
    return points.astype("<u4", copy=False).tobytes().decode("utf-32-le")


def _decode(text: bytes) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected UTF-8, got byte 0x{error.object[error.start]:02x} at position "
            f"{error.start}; convert it, or train a model with `vocab='bytes'`"
        ) from error


def _unknown(point: int, position: int) -> InputError:
    return InputError(
        f"the character {chr(point)!r} (U+{point:04X}) at position {position} is not "
        "in the vocabulary; leave it out, or train a model on a corpus that has it or "
        "with `vocab='bytes'`"
    )

"""The file that compression writes, and what its header promises.

::

    magic, 8 bytes | length of the header, 4 bytes | header, JSON | code | rest
    | SHA-256 of the original, 32 bytes | CRC-32 of all before, 4 bytes

All numbers are little-endian. The header has the lengths of the code and of the rest.
"""

import dataclasses
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtext.errors import InputError

MAGIC = b"jaxtext\n"
FORMAT = 1
_LENGTH, _CRC, _DIGEST = struct.Struct("<I"), struct.Struct("<I"), 32


@dataclass(frozen=True)
class Header:
    """What a compressed file says of itself.

    Attributes:
      model: SHA-256 of the parameters and the vocabulary.
      made_with: Versions and device, as `jaxtext.compression.machine.here` gives them.
      probe: SHA-256 of probabilities that the program computed of a fixed text.
      symbols: How many symbols are coded.
      streams: Into how many parts they were cut.
      code: Bytes of the code.
      rest: Bytes of what has no symbol.
      dynamic: The rule of dynamic evaluation, if there was any.
      note: What the caller wants to know again.
    """

    model: str
    made_with: dict[str, str]
    probe: str
    symbols: int
    streams: int
    code: int
    rest: int
    dynamic: dict[str, Any] | None
    note: dict[str, Any]


class Parts(NamedTuple):
    """A compressed file, taken apart.

    Attributes:
      header: Its header.
      code: The code of the symbols.
      rest: What has no symbol.
      digest: SHA-256 of the original.
    """

    header: Header
    code: bytes
    rest: bytes
    digest: bytes


def put_together(parts: Parts) -> bytes:
    """The file that has these parts."""
    fields = {"format": FORMAT, **dataclasses.asdict(parts.header)}
    text = json.dumps(fields, separators=(",", ":")).encode()
    whole = MAGIC + _LENGTH.pack(len(text)) + text + parts.code + parts.rest
    whole += parts.digest
    return whole + _CRC.pack(zlib.crc32(whole))


def take_apart(file: bytes) -> Parts:
    """The parts of a file.

    Raises:
      InputError: If it is no such file, is of another format, or is damaged.
    """
    if not file.startswith(MAGIC):
        raise InputError(
            "expected a file that compression wrote, which begins with "
            f"{MAGIC.decode().strip()}, got {file[: len(MAGIC)]!r}; it is not one"
        )
    body, (crc,) = file[: -_CRC.size], _CRC.unpack(file[-_CRC.size :])
    begin = len(MAGIC) + _LENGTH.size
    if len(body) < begin + _DIGEST or zlib.crc32(body) != crc:
        raise InputError(
            "the compressed file is damaged or cut short: its checksum is not that of "
            "its contents; get it again"
        )
    (length,) = _LENGTH.unpack_from(body, len(MAGIC))
    fields = json.loads(body[begin : begin + length])
    if (found := fields.pop("format")) != FORMAT:
        raise InputError(
            f"expected a compressed file of format {FORMAT}, got {found}; use the "
            "version of jaxtext that wrote it"
        )
    header = Header(**fields)
    code = begin + length
    rest = code + header.code
    digest = rest + header.rest
    return Parts(header, body[code:rest], body[rest:digest], body[digest:])

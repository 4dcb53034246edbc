"""What a file holds, by its first bytes and not by its name; and the text in it."""

import codecs
import importlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from jaxtext.errors import InputError
from jaxtext.text.vocabulary import Kind

_HEAD = 512  # bytes that are looked at

# What the standard library unpacks: how it begins, its name, the module.
_PACKED = (
    (b"\x1f\x8b\x08", "gzip", "gzip"),
    *(
        (b"BZh%d%b" % (level, block), "bzip2", "bz2")
        for level in range(1, 10)
        for block in (b"1AY&SY", b"\x17rE8P\x90")  # the first one, or there is none
    ),
    (b"\xfd7zXZ\0", "xz", "lzma"),
)
# Where it begins, how, what it is, and what to type for the text in it.
_ARCHIVES = (
    (0, b"\x28\xb5\x2f\xfd", "zstd", "zstd -d"),
    (0, b"\x04\x22\x4d\x18", "LZ4", "lz4 -d"),
    (0, b"\x1f\x9d", "compress", "uncompress"),
    (0, b"PK\x03\x04", "ZIP (docx, epub and others are such)", "unzip"),
    (0, b"PK\x05\x06", "ZIP", "unzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z x"),
    (0, b"Rar!\x1a\x07", "RAR", "unrar x"),
    (257, b"ustar", "tar", "tar -xf"),
    *((0, begins, name, f"{name} -d") for begins, name, _ in _PACKED),
)
# What no encoding makes a text of, though it is read as bytes.
_NO_TEXT = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "an executable"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"SQLite format 3\0", "a database"),
)
# UTF-32 first, for its mark begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Opened(NamedTuple):
    """A file whose text can be read."""

    file: BinaryIO  # unpacked, and behind the byte order mark of UTF-8
    encoding: str  # of what it holds: utf-8, or with a mark that stays utf-16, utf-32
    is_empty: bool
    position: Callable[[], int]  # how many of the file's own bytes were read


@contextmanager
def opened(path: Path, kind: Kind) -> Iterator[Opened]:
    """Open a file, unpacking it where that is what it takes.

    Args:
      path: the file.
      kind: ``"chars"`` asks for a text in UTF-8, or in another encoding of Unicode that
        a byte order mark names; ``"bytes"`` takes any file but archives as it is.
        Either unpacks gzip, bzip2 and xz, and refuses other archives.

    Yields:
      The open file. It is the block's own affair to read it; what the disk refuses
      there, and packed data that is damaged, is reported.

    Raises:
      InputError: the file cannot be read, is damaged or is no text, saying what it is.

    Example:
      >>> with opened(Path(codecs.__file__), "chars") as source:
      ...     source.encoding, source.file.read(3)
      ('utf-8', b'\"\"\"')
    """
    with reading(path), path.open("rb") as own:
        packed = _packed(_head(own))
        with _unpacked(path, own, packed) if packed else _as_it_is(own) as file:
            try:
                yield _looked_at(path, kind, file, own)
            except InputError:
                # What is damaged may unpack to anything: that its checksum, at the
                # end, is wrong is to be told then.
                while packed and file.read(1 << 20):
                    pass
                raise


def _looked_at(path, kind, file, own):
    """The file behind its byte order mark, if its beginning may be a text's."""
    head = _head(file)
    _refuse_archive(path, head)
    encoding, mark = "utf-8", b""
    if kind == "chars":
        encoding, mark = _encoding(head)
        if encoding == "utf-8":
            _refuse_no_text(path, head[len(mark) :])
            file.seek(len(mark))
    return Opened(file, encoding, head == mark, own.tell)


def refuse_nul(path: Path, data: bytes, offset: int) -> None:
    """Raise `InputError` for a NUL, which is in no text, but in most other files.

    Args:
      path: what is read.
      data: a piece of it, in UTF-8.
      offset: where the piece begins.

    Example:
      >>> refuse_nul(Path("text"), b"a b", 0)
    """
    if (at := data.find(b"\0")) < 0:
        return
    even, odd = data[::2].count(0), data[1::2].count(0)
    if max(even, odd) > max(10 * min(even, odd), len(data) // 32, 3):
        name = "utf-16be" if (even > odd) == (offset % 2 == 0) else "utf-16le"
        raise InputError(
            f"expected UTF-8 text, but {path} looks like UTF-16 without a byte order "
            f"mark (NUL at offset {offset + at}); convert it: iconv -f {name} -t utf-8"
        )
    raise InputError(
        f"expected text, but {path} has a NUL byte at offset {offset + at}, as files "
        "have that are no text; leave the file or that byte out, or use --vocab bytes"
    )


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Report whatever a disk refuses in the block, which reads a file.

    Args:
      path: the file, or what else to call it.

    Raises:
      InputError: any ``OSError`` of the block.

    Example:
      >>> with reading("the tape"):
      ...     raise OSError(5, "Input/output error")
      Traceback (most recent call last):
        ...
      jaxtext.errors.InputError: cannot read the tape (Input/output error); check ...
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot read {path} ({error.strerror or error}); check the file and its "
            "disk"
        ) from error


def _head(file: BinaryIO) -> bytes:
    head = file.read(_HEAD)
    file.seek(0)
    return head


def _packed(head: bytes) -> tuple[str, str] | None:
    """The name of the packing and the module that undoes it, if there is one."""
    for begins, name, module in _PACKED:
        if head.startswith(begins):
            return name, module
    return None


@contextmanager
def _unpacked(path: Path, own: BinaryIO, packed: tuple[str, str]) -> Iterator[BinaryIO]:
    name, module = packed
    try:
        # Imported here, for some Pythons are built without one or the other.
        unpacker = importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{path} is packed ({name}), and this Python has no module {module}; "
            f"unpack it first: {name} -d"
        ) from error
    damage = EOFError, zlib.error, getattr(unpacker, "LZMAError", EOFError)
    try:
        with unpacker.open(own, "rb") as file:
            yield file
    except (OSError, *damage) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault
        raise InputError(
            f"cannot unpack {path} ({error}): it is {name}, cut off or damaged; get it "
            "again"
        ) from error


@contextmanager
def _as_it_is(own: BinaryIO) -> Iterator[BinaryIO]:
    yield own


def _refuse_archive(path: Path, head: bytes) -> None:
    for offset, begins, name, command in _ARCHIVES:
        if head.startswith(begins, offset):
            raise InputError(
                f"{path} is packed, by its first bytes {name}, and not read so; unpack "
                f"it first: {command}"
            )


def _refuse_no_text(path: Path, head: bytes) -> None:
    for begins, name in _NO_TEXT:
        if head.startswith(begins):
            raise InputError(
                f"expected text, but {path} is {name}; leave it out, naming the texts "
                "alone as in --corpus 'DIR/**/*.txt', or use --vocab bytes"
            )
    refuse_nul(path, head, 0)


def _encoding(head: bytes) -> tuple[str, bytes]:
    """The encoding that a byte order mark names, UTF-8 without one; and the mark."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, mark
    return "utf-8", b""

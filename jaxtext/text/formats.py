"""Opens a file as text. Its first bytes tell its format, not its name."""

import codecs
import contextlib
import importlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from jaxtext.errors import InputError
from jaxtext.text.vocabulary import Kind

_HEAD = 512  # how many bytes are checked

# What can be unpacked: first bytes, name, the modules that do it (the first one found).
_PACKED = (
    (b"\x1f\x8b\x08", "gzip", ("gzip",)),
    *(
        (b"BZh%d%b" % (level, block), "bzip2", ("bz2",))
        for level in range(1, 10)
        for block in (b"1AY&SY", b"\x17rE8P\x90")  # a first block, or an empty file
    ),
    (b"\xfd7zXZ\0", "xz", ("lzma",)),
    # In the standard library since Python 3.14; the other is the same code before that.
    (b"\x28\xb5\x2f\xfd", "zstd", ("compression.zstd", "backports.zstd")),
)
# Archives that are refused: offset, bytes there, name, command that unpacks it.
_ARCHIVES = (
    (0, b"\x04\x22\x4d\x18", "LZ4", "lz4 -d"),
    (0, b"\x1f\x9d", "compress", "uncompress"),
    (0, b"PK\x03\x04", "ZIP (as are docx, epub and others)", "unzip"),
    (0, b"PK\x05\x06", "ZIP", "unzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z x"),
    (0, b"Rar!\x1a\x07", "RAR", "unrar x"),
    (257, b"ustar", "tar", "tar -xf"),
    *((0, begins, name, f"{name} -d") for begins, name, _ in _PACKED),
)
# Files that are not text in any encoding: first bytes, name.
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
# UTF-32 comes first, because its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Opened(NamedTuple):
    """An open file of text."""

    file: BinaryIO  # unpacked; positioned after a byte order mark of UTF-8
    encoding: str  # utf-8; or utf-16 or utf-32, whose mark is still to be read
    is_empty: bool
    position: Callable[[], int]  # how many bytes were read from the disk


@contextmanager
def opened(path: Path, kind: Kind) -> Iterator[Opened]:
    """Opens a file, and unpacks it if it is packed with gzip, bzip2, xz or zstd.

    Args:
      path: The file.
      kind: ``"chars"`` expects UTF-8, or the UTF-16 or UTF-32 of a byte order mark.
        ``"bytes"`` accepts any file. Both refuse other archives.

    Yields:
      The open file. Errors of the disk, and damage in packed data, are reported while
      the block reads it.

    Raises:
      InputError: If the file cannot be read, is damaged, or is not text. The message
        says what it is.

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
                # Damaged data may unpack to anything. Reading to the checksum at the
                # end reports the damage instead.
                while packed and file.read(1 << 20):
                    pass
                raise


def _looked_at(path, kind, file, own):
    """Checks the beginning of a file, and skips its byte order mark."""
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
    """Raises `InputError` for a NUL, which most files have that are not text.

    Args:
      path: The file.
      data: A piece of it, in UTF-8.
      offset: Where the piece begins.

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
        f"expected text, but {path} has a NUL byte at offset {offset + at}, so it is "
        "probably not text; leave out the file or that byte, or use `vocab='bytes'`"
    )


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Reports disk errors in a block that reads a file.

    Args:
      path: The file, or another name for what is read.

    Raises:
      InputError: For any ``OSError`` in the block.

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


def _packed(head: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Returns the name of the packing and the modules for it, or None."""
    for begins, name, modules in _PACKED:
        if head.startswith(begins):
            return name, modules
    return None


@contextmanager
def _unpacked(
    path: Path, own: BinaryIO, packed: tuple[str, tuple[str, ...]]
) -> Iterator[BinaryIO]:
    name, modules = packed
    unpacker = _unpacker(path, name, modules)
    damage = (
        EOFError,
        zlib.error,
        *(getattr(unpacker, x, EOFError) for x in ("LZMAError", "ZstdError")),
    )
    try:
        with unpacker.open(own, "rb") as file:
            yield file
    except (OSError, *damage) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk
        if "too much memory" in str(error):  # zstd allows itself 128 MiB
            raise InputError(
                f"cannot unpack {path}, which was packed with a window of more than "
                f"128 MiB; unpack it first: {name} -d --long=31"
            ) from error
        raise InputError(
            f"cannot unpack {path} ({error}): it is a truncated or damaged {name} "
            "file; get it again"
        ) from error


def _unpacker(path: Path, name: str, modules: tuple[str, ...]) -> Any:
    # Imported here, because some Pythons are built without some of them.
    for module in modules:
        with contextlib.suppress(ImportError):
            return importlib.import_module(module)
    extra = "" if len(modules) == 1 else f", or pip install 'jaxtext[{name}]'"
    raise InputError(
        f"{path} is packed ({name}), but this Python has no module "
        f"{' or '.join(modules)}; unpack it first: {name} -d{extra}"
    )


@contextmanager
def _as_it_is(own: BinaryIO) -> Iterator[BinaryIO]:
    yield own


def _refuse_archive(path: Path, head: bytes) -> None:
    for offset, begins, name, command in _ARCHIVES:
        if head.startswith(begins, offset):
            raise InputError(
                f"{path} is packed: its first bytes are those of {name}; unpack it "
                f"first: {command}"
            )


def _refuse_no_text(path: Path, head: bytes) -> None:
    for begins, name in _NO_TEXT:
        if head.startswith(begins):
            raise InputError(
                f"expected text, but {path} is {name}; leave it out, for example with "
                "the pattern 'DIR/**/*.txt', or use `vocab='bytes'`"
            )
    refuse_nul(path, head, 0)


def _encoding(head: bytes) -> tuple[str, bytes]:
    """Returns the encoding by the byte order mark (default UTF-8), and the mark."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, mark
    return "utf-8", b""

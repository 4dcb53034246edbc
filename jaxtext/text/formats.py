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
from jaxtext.text.signatures import HEAD, Format, identify, markup
from jaxtext.text.vocabulary import Kind

# What is unpacked: first bytes, name, the modules that do it (the first one found).
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
# UTF-32 comes first, because its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class NoTextError(InputError):
    """A file is no text.

    Args:
      message: What it is, and what to do.
      what: What several such files are called.
    """

    def __init__(self, message: str, what: str):
        super().__init__(message)
        self.what = what


class Opened(NamedTuple):
    """An open file of text."""

    file: BinaryIO  # unpacked; positioned after a byte order mark of UTF-8
    encoding: str  # utf-8; or utf-16 or utf-32, whose mark is still to be read
    is_empty: bool
    position: Callable[[], int]  # how many bytes were read from the disk
    markup: Format | None  # how the text is marked up, if it is


@contextmanager
def opened(path: Path, kind: Kind, any_bytes: bool = False) -> Iterator[Opened]:
    """Opens a file, and unpacks it if it is packed with gzip, bzip2, xz or zstd.

    Args:
      path: The file.
      kind: ``"chars"`` expects UTF-8, or the UTF-16 or UTF-32 of a byte order mark.
        ``"bytes"`` accepts any file but those whose bytes are compressed in another
        way: archives, images, recordings, documents of word processors.
      any_bytes: With ``"bytes"``, accept these as well.

    Yields:
      The open file. Errors of the disk, and damage in packed data, are reported while
      the block reads it.

    Raises:
      InputError: If the file cannot be read, is damaged, or is not text
        (`NoTextError`). The message says what it is, and what makes text of it.

    Example:
      >>> with opened(Path(codecs.__file__), "chars") as source:
      ...     source.encoding, source.file.read(3)
      ('utf-8', b'\"\"\"')
    """
    with reading(path), path.open("rb") as own:
        packed = _packed(_head(own))
        with _unpacked(path, own, packed) if packed else _as_it_is(own) as file:
            try:
                yield _looked_at(path, kind, any_bytes, file, own)
            except InputError:
                # Damaged data may unpack to anything. Reading to the checksum at the
                # end reports the damage instead.
                while packed and file.read(1 << 20):
                    pass
                raise


def _looked_at(path, kind, any_bytes, file, own):
    """Checks the beginning of a file, and skips its byte order mark."""
    head = _head(file)
    encoding, mark = "utf-8", b""
    if kind == "chars":
        encoding, mark = _encoding(head)
    found = identify(head, own if file is own else None) if not mark else None
    if found is not None and kind == "chars":
        raise _no_text(path, found)
    if found is not None and found.packed and not any_bytes:
        raise _no_bytes(path, found)
    if kind == "chars" and encoding == "utf-8":
        refuse_nul(path, head[len(mark) :], 0)
        file.seek(len(mark))
    return Opened(file, encoding, head == mark, own.tell, markup(head[len(mark) :]))


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
    name = _wide_encoding(data, offset)
    if name is not None:
        raise InputError(
            f"expected UTF-8 text, but {path} looks like {name[:-2]} without a byte "
            f"order mark (NUL at offset {offset + at}); convert it: "
            f"iconv -f {name} -t UTF-8 FILE > FILE.txt"
        )
    raise NoTextError(
        f"expected text, but {path} has a NUL byte at offset {offset + at}, so it is "
        "probably not text; leave out the file or that byte, or use `vocab='bytes'`",
        "binary files",
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
    head = file.read(HEAD)
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


def _no_text(path: Path, found: Format) -> NoTextError:
    made = f"get its text with: {found.command}" if found.command else "leave it out"
    return NoTextError(
        f"expected text, but {path} is {found.name}; {made}", found.plural
    )


def _no_bytes(path: Path, found: Format) -> NoTextError:
    made = f"get its text with: {found.command}, or " if found.command else ""
    return NoTextError(
        f"expected the bytes of a text, but {path} is {found.name}, whose bytes are "
        f"packed and tell little; {made}add `any_bytes=True` to use them",
        found.plural,
    )


def _encoding(head: bytes) -> tuple[str, bytes]:
    """Returns the encoding by the byte order mark (default UTF-8), and the mark."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, mark
    return "utf-8", b""


def _wide_encoding(data: bytes, offset: int) -> str | None:
    """The encoding whose zero bytes stand where those of a piece of a file do."""
    enough = max(len(data) // 32, 3)
    four = [data[(at - offset) % 4 :: 4].count(0) for at in range(4)]
    # A character of UTF-32 is below 0x110000, so one of its bytes is always zero.
    quarter = len(data) // 4
    if quarter and four[3] >= quarter and four[2] > quarter // 2:
        return "UTF-32LE"
    if quarter and four[0] >= quarter and four[1] > quarter // 2:
        return "UTF-32BE"
    even, odd = four[0] + four[2], four[1] + four[3]
    if max(even, odd) > max(10 * min(even, odd), enough):
        return "UTF-16BE" if even > odd else "UTF-16LE"
    return None

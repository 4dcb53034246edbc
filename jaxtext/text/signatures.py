"""Knows what a file is by its first bytes, if it is no plain text.

One table lists the formats, with the command that makes text of each.
"""

import os
from typing import BinaryIO, NamedTuple

HEAD = 8192  # how many of its first bytes tell what a file is

_TAIL = 1 << 16  # where a ZIP archive lists its files
# What a text may have in one byte: all but most control characters.
_TEXTUAL = bytes({7, 8, 9, 10, 11, 12, 13, 27} | set(range(0x20, 0x100)) - {0x7F})
# Printable signatures up to this length may also be how a text begins.
_SHORT = 4


class Format(NamedTuple):
    """A format of files that is no plain text.

    Attributes:
      name: What one such file is called, with its article.
      packed: Whether it is an archive, or its bytes are compressed: a model that reads
        them learns next to nothing of what they hold.
      command: What makes text of ``FILE``. Empty: no command does.
    """

    name: str
    packed: bool
    command: str = ""

    @property
    def plural(self) -> str:
        """The name of several.

        Example:
          >>> Format("a PNG image", True).plural
          'PNG images'
        """
        return f"{self.name.split(' ', 1)[1]}s"


_PANDOC = "pandoc -t plain FILE -o FILE.txt"
_OCR = "tesseract FILE FILE"  # adds .txt to the second
_SPEECH = "whisper --output_format txt FILE"
_LZ4 = Format("an LZ4 file", True, "lz4 -d FILE FILE.txt")
_TAR = Format("a tar archive", True, "tar -xf FILE")
_ZIP = Format("a ZIP archive", True, "unzip FILE")
_DATA_FRAME = (
    'python -c "import pandas; '
    "pandas.read_{}('FILE').to_csv('FILE.csv', index=False)\""
)

# What is in a ZIP archive of a certain kind.
_ZIPPED = (
    (b"mimetypeapplication/vnd.oasis.", Format("an OpenDocument file", True, _PANDOC)),
    (b"mimetypeapplication/epub+zip", Format("an EPUB book", True, _PANDOC)),
    (b"word/document", Format("a Word document", True, _PANDOC)),
    (
        b"xl/workbook",
        Format("an Excel workbook", True, "soffice --headless --convert-to csv FILE"),
    ),
    (
        b"ppt/presentation",
        Format("a PowerPoint file", True, "soffice --headless --convert-to pdf FILE"),
    ),
)

# Offset, bytes there, format.
_FORMATS = (
    (0, b"PK\x03\x04", _ZIP),
    (0, b"PK\x05\x06", _ZIP),
    (0, b"7z\xbc\xaf\x27\x1c", Format("a 7-Zip archive", True, "7z x FILE")),
    (0, b"Rar!\x1a\x07", Format("a RAR archive", True, "unrar x FILE")),
    (257, b"ustar", _TAR),
    (0, b"!<arch>\n", Format("an ar archive", True, "ar x FILE")),
    (0, b"\x04\x22\x4d\x18", _LZ4),
    (0, b"\x02\x21\x4c\x18", _LZ4),
    (0, b"\x1f\x9d", Format("a .Z file", True, "uncompress FILE")),
    (0, b"\x1f\x8b\x08", Format("a gzip file", True, "gzip -d FILE")),
    *(
        (0, b"BZh%d%b" % (level, block), Format("a bzip2 file", True, "bzip2 -d FILE"))
        for level in range(1, 10)
        for block in (b"1AY&SY", b"\x17rE8P\x90")  # a first block, or an empty file
    ),
    (0, b"\xfd7zXZ\0", Format("an xz file", True, "xz -d FILE")),
    (0, b"\x28\xb5\x2f\xfd", Format("a zstd file", True, "zstd -d FILE")),
    (0, b"%PDF-", Format("a PDF document", True, "pdftotext FILE FILE.txt")),
    (0, b"AT&TFORM", Format("a DjVu document", True, "djvutxt FILE FILE.txt")),
    (
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        Format(
            "an old Office document", False, "soffice --headless --convert-to txt FILE"
        ),
    ),
    (0, b"\x89PNG\r\n", Format("a PNG image", True, _OCR)),
    (0, b"\xff\xd8\xff", Format("a JPEG image", True, _OCR)),
    (0, b"GIF87a", Format("a GIF image", True, _OCR)),
    (0, b"GIF89a", Format("a GIF image", True, _OCR)),
    (8, b"WEBPVP8", Format("a WebP image", True, _OCR)),
    (0, b"II*\0", Format("a TIFF image", True, _OCR)),
    (0, b"MM\0*", Format("a TIFF image", True, _OCR)),
    (0, b"\0\0\1\0", Format("a Windows icon", True)),
    *(
        (4, b"ftyp" + brand, Format("a HEIF image", True))
        for brand in (b"heic", b"heix", b"mif1", b"avif")
    ),
    (0, b"8BPS\0\1", Format("a Photoshop image", True)),
    (0, b"BM", Format("a BMP image", True, _OCR)),
    (4, b"ftyp", Format("an MPEG-4 file", True, _SPEECH)),
    (0, b"\x1a\x45\xdf\xa3", Format("a Matroska file", True, _SPEECH)),
    (8, b"AVI LIST", Format("an AVI video", True, _SPEECH)),
    (8, b"WAVEfmt ", Format("a WAVE recording", True, _SPEECH)),
    (0, b"fLaC", Format("a FLAC recording", True, _SPEECH)),
    (0, b"OggS", Format("an Ogg recording", True, _SPEECH)),
    (0, b"ID3", Format("an MP3 recording", True, _SPEECH)),
    *(
        (0, begins, Format("an MP3 recording", True, _SPEECH))
        for begins in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
    ),
    (0, b"MThd\0\0\0\6", Format("a MIDI file", False)),
    (0, b"PAR1", Format("a Parquet table", True, _DATA_FRAME.format("parquet"))),
    (0, b"ARROW1\0\0", Format("an Arrow table", True, _DATA_FRAME.format("feather"))),
    (0, b"ORC", Format("an ORC table", True, _DATA_FRAME.format("orc"))),
    (0, b"Obj\1", Format("an Avro file", True)),
    (
        0,
        b"SQLite format 3\0",
        Format("an SQLite database", False, "sqlite3 FILE .dump > FILE.sql"),
    ),
    (0, b"\x89HDF\r\n\x1a\n", Format("an HDF5 file", False)),
    (0, b"\x93NUMPY", Format("a NumPy array", False)),
    (0, b"\x7fELF", Format("an executable", False)),
    (0, b"\xcf\xfa\xed\xfe", Format("an executable", False)),
    (0, b"\xca\xfe\xba\xbe", Format("an executable", False)),
    (0, b"MZ", Format("an executable", False)),
    (0, b"\0asm", Format("a WebAssembly module", False)),
    (0, b"wOF2", Format("a font", True)),
    (0, b"wOFF", Format("a font", True)),
    (0, b"OTTO", Format("a font", False)),
    (0, b"\0\1\0\0\0", Format("a font", False)),
)

# Texts that are marked up. They can be learnt as they are.
_MARKED_UP = (
    (
        (b"<!doctype html", b"<html"),
        Format("an HTML page", False, "pandoc -f html -t plain FILE -o FILE.txt"),
    ),
    (
        (b"{\\rtf1",),
        Format("an RTF document", False, "pandoc -f rtf -t plain FILE -o FILE.txt"),
    ),
    ((b"%!ps",), Format("a PostScript document", False, "ps2ascii FILE FILE.txt")),
)
_NOTEBOOK = Format("a Jupyter notebook", False, "jupyter nbconvert --to markdown FILE")


def identify(head: bytes, file: BinaryIO | None = None) -> Format | None:
    """Returns the format of a file that is no plain text.

    Args:
      head: Its first bytes, `HEAD` of them or all.
      file: The file, if it can be read at any place. It tells what is in a ZIP archive.

    Returns:
      The format, or ``None`` if it is a text or not known.

    Example:
      >>> identify(b"%PDF-1.7")
      Format(name='a PDF document', packed=True, command='pdftotext FILE FILE.txt')
      >>> identify(b"BM is short for bench mark")
    """
    for offset, begins, found in _FORMATS:
        if not head.startswith(begins, offset):
            continue
        if len(begins) <= _SHORT and begins.isalnum() and not _is_binary(head):
            continue
        return _zipped(head, file) if found is _ZIP else found
    return None


def markup(head: bytes) -> Format | None:
    """Returns the format of a text that is marked up, or ``None``.

    Args:
      head: Its first bytes, `HEAD` of them or all.

    Example:
      >>> markup(b"<html><body>text</body></html>").name
      'an HTML page'
    """
    begin = head.lstrip().lower()
    for begins, found in _MARKED_UP:
        if begin.startswith(begins):
            return found
    is_notebook = begin.startswith(b"{") and b'"cell_type"' in begin
    return _NOTEBOOK if is_notebook else None


def _is_binary(head: bytes) -> bool:
    return bool(head.translate(None, _TEXTUAL))


def _zipped(head: bytes, file: BinaryIO | None) -> Format:
    names = head
    if file is not None:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        names += file.read(_TAIL)
        file.seek(0)
    for name, found in _ZIPPED:
        if name in names:
            return found
    return _ZIP

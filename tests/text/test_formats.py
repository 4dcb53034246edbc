"""Files as they lie about: packed, in other encodings, or no text at all."""

import bz2
import contextlib
import errno
import gzip
import hashlib
import importlib
import io
import lzma
import os
import random
import sys
import tarfile
import zipfile
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from jaxtext.errors import InputError
from jaxtext.text import Vocabulary, load, reader
from jaxtext.text.encoded import encode
from jaxtext.text.reader import How, blocks
from jaxtext.text.sources import Sources, resolve

TEXT = "naïve café, 5 €, Москва 😀\n" * 8


def _zstd():
    """The module for zstd: that of Python 3.14, or of the extra; None without it."""
    for name in "compression.zstd", "backports.zstd":
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None


ZSTD = _zstd()
needs_zstd = pytest.mark.skipif(ZSTD is None, reason="needs jaxtext[zstd]")


def zstd(data):
    # With a checksum, as the program zstd packs.
    return ZSTD.compress(data, options={ZSTD.CompressionParameter.checksum_flag: 1})


PACKINGS = [
    gzip.compress,
    bz2.compress,
    lzma.compress,
    pytest.param(zstd, marks=needs_zstd),
]
# Without the time, which would name a test otherwise in each process.
gzipped = partial(gzip.compress, mtime=0)


def archive(kind):
    """An archive that holds a text, as bytes."""
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("text", TEXT)
    else:
        with tarfile.open(fileobj=file, mode="w") as archive:
            info = tarfile.TarInfo("text")
            info.size = len(TEXT.encode())
            archive.addfile(info, io.BytesIO(TEXT.encode()))
    return file.getvalue()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "text"


def read(path, kind="chars", limit=None):
    return b"".join(block.raw for block in blocks([path], kind, limit))


def points(path, limit=None):
    found = [block.points for block in blocks([path], "chars", limit)]
    return [int(x) for piece in found for x in piece]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("kind", ["chars", "bytes"])
def test_what_is_packed_is_read_unpacked(file, monkeypatch, chunk, pack, kind):
    monkeypatch.setattr(reader, "CHUNK", chunk)
    file.write_bytes(pack(TEXT.encode()))
    assert read(file, kind) == TEXT.encode()
    limit = 9 if kind == "chars" else 10  # ï is two bytes
    assert read(file, kind, limit) == "naïve caf".encode()


@pytest.mark.parametrize("pack", PACKINGS)
def test_a_packed_text_is_the_text(file, tmp_path, pack):
    file.write_bytes(TEXT.encode())
    plain = load(str(file), cache=tmp_path / "cache")
    file.write_bytes(pack(TEXT.encode()))
    calls = []
    packed = load(
        str(file), cache=tmp_path / "cache", progress=lambda *call: calls.append(call)
    )
    assert (packed.sha256, packed.ids.path) == (plain.sha256, plain.ids.path)
    assert packed.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert calls[-1] == (2 * file.stat().st_size,) * 2


@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("kind", ["chars", "bytes"])
@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_a_packed_text_that_is_damaged_is_named(file, pack, kind, harm):
    data = bytearray(pack(random.Random(0).randbytes(5000).hex().encode()))
    if harm == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(InputError, match=rf"cannot unpack {file} .*get it again"):
        read(file, kind)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lzma.compress(b"text"), r"no module lzma; unpack it first: xz -d$"),
        (b"\x28\xb5\x2f\xfd text", r"zstd -d, or pip install 'jaxtext\[zstd\]'"),
    ],
)
def test_a_python_without_the_module(file, monkeypatch, data, said):
    def refuse(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    file.write_bytes(data)
    with pytest.raises(InputError, match=said):
        read(file)


@needs_zstd
def test_zstd_that_wants_more_memory_than_it_may_have(file):
    option = ZSTD.CompressionParameter.window_log
    packer = ZSTD.ZstdCompressor(options={option: 28})  # 256 MiB
    file.write_bytes(packer.compress(b"text" * 9) + packer.flush())
    with pytest.raises(InputError, match=r"window of more than 128 MiB.*--long=31"):
        read(file)


@pytest.mark.parametrize("kind", ["chars", "bytes"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (archive("zip"), "a ZIP archive.* get its text with: unzip FILE"),
        (archive("tar"), "a tar archive.* get its text with: tar -xf FILE"),
        (gzipped(archive("tar")), "a tar archive.* with: tar -xf FILE"),
        (bz2.compress(gzipped(b"text")), "a gzip file.* with: gzip -d FILE"),
        (gzipped(b"\x28\xb5\x2f\xfd text"), "a zstd file.* with: zstd -d FILE"),
    ],
)
def test_other_archives_are_named_with_what_unpacks_them(file, kind, data, said):
    file.write_bytes(data)
    with pytest.raises(InputError, match=rf"{file} is {said}"):
        read(file, kind)


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"]
)
def test_a_byte_order_mark_names_the_encoding_and_is_no_text(
    file, monkeypatch, chunk, encoding
):
    monkeypatch.setattr(reader, "CHUNK", chunk)
    mark = "\ufeff" if encoding.endswith("be") else ""
    file.write_bytes((mark + TEXT).encode(encoding))
    assert read(file) == TEXT.encode()
    assert points(file) == [ord(x) for x in TEXT]
    assert points(file, 23) == [ord(x) for x in TEXT[:23]]
    assert read(file, "bytes") == file.read_bytes()  # bytes stay bytes


def test_a_mark_within_a_text_is_a_character(file, tmp_path):
    file.write_text("a\ufeffb", encoding="utf-8-sig")
    assert read(file) == "a\ufeffb".encode()


@pytest.mark.parametrize(
    "encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize(
    "text", [TEXT, "plain words\n" * 9, "Москва, я тебя люблю " * 9]
)
def test_utf_16_and_32_without_a_mark_are_named(file, encoding, text):
    name = encoding.replace("16-", "16").replace("32-", "32").upper()
    file.write_bytes(text.encode(encoding))
    with pytest.raises(
        InputError, match=f"looks like {name[:-2]} .*: iconv -f {name} -t UTF-8 FILE"
    ):
        read(file)


def test_utf_16_that_ends_within_a_character(file):
    file.write_bytes("ab".encode("utf-16")[:-1])
    with pytest.raises(InputError, match=r"expected UTF-16 text, .* at offset 4"):
        read(file)


@pytest.mark.parametrize("at", [0, 5, 5000])
def test_a_nul_is_no_text_and_a_byte_like_any_other(file, at):
    file.write_bytes(b"a" * at + b"\0" + b"b" * 100)
    with pytest.raises(
        InputError, match=f"{file} has a NUL byte at offset {at}, .*bytes"
    ):
        read(file)
    assert read(file, "bytes") == file.read_bytes()


def riff(what):
    return b"RIFF\x24\x08\0\0" + what


def zipped(*names):
    """A ZIP archive as office programs write it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "text" * 5000)
    return file.getvalue()


def zipped_as(media):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", media)
    return file.getvalue()


PACKED = [
    (b"\x89PNG\r\n\x1a\n", "a PNG image", "tesseract"),
    (b"\xff\xd8\xff\xe0", "a JPEG image", "tesseract"),
    (b"GIF89a", "a GIF image", "tesseract"),
    (riff(b"WEBPVP8 "), "a WebP image", "tesseract"),
    (b"BM\x36\0\0\0\0\0\0\0", "a BMP image", "tesseract"),
    (b"II*\0\x08", "a TIFF image", "tesseract"),
    (b"\0\0\0\x18ftypheic", "a HEIF image", "leave it out"),
    (b"\0\0\0\x18ftypmp42", "an MPEG-4 file", "whisper"),
    (b"\x1a\x45\xdf\xa3\x01", "a Matroska file", "whisper"),
    (riff(b"WAVEfmt "), "a WAVE recording", "whisper"),
    (b"ID3\x04\0", "an MP3 recording", "whisper"),
    (b"\xff\xfb\x90", "an MP3 recording", "whisper"),
    (b"OggS\0\x02", "an Ogg recording", "whisper"),
    (b"fLaC\0\0", "a FLAC recording", "whisper"),
    (b"%PDF-1.7\n", "a PDF document", "pdftotext FILE FILE.txt"),
    (b"AT&TFORM", "a DjVu document", "djvutxt"),
    (zipped("a", "word/document.xml", "z"), "a Word document", "pandoc -t plain"),
    (zipped("a", "xl/workbook.xml", "z"), "an Excel workbook", "to csv FILE"),
    (zipped("ppt/presentation.xml"), "a PowerPoint file", "to pdf FILE"),
    (
        zipped_as("application/vnd.oasis.opendocument.text"),
        "an OpenDocument file",
        "pandoc -t plain",
    ),
    (zipped_as("application/epub+zip"), "an EPUB book", "pandoc -t plain"),
    (zipped("a.txt"), "a ZIP archive", "unzip FILE"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x FILE"),
    (b"Rar!\x1a\x07\x01\0", "a RAR archive", "unrar x FILE"),
    (b"\x04\x22\x4d\x18", "an LZ4 file", "lz4 -d"),
    (b"PAR1\x15\x04", "a Parquet table", "pandas.read_parquet"),
    (b"ARROW1\0\0", "an Arrow table", "pandas.read_feather"),
]
AS_BYTES = [
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", "to txt FILE"),
    (b"SQLite format 3\0", "an SQLite database", "sqlite3 FILE .dump"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "leave it out"),
    (b"\x93NUMPY\1\0", "a NumPy array", "leave it out"),
    (b"\x7fELF\2\1", "an executable", "leave it out"),
    (b"MZ\x90\0", "an executable", "leave it out"),
    (b"\0\1\0\0\0", "a font", "leave it out"),
]


@pytest.mark.parametrize(("begins", "said", "command"), [*PACKED, *AS_BYTES])
def test_what_is_no_text_is_named_with_what_makes_text_of_it(
    file, begins, said, command
):
    file.write_bytes(begins + b"data" * 50)
    with pytest.raises(
        InputError, match=rf"^expected text, but {file} is {said}; .*{command}"
    ):
        read(file)


@pytest.mark.parametrize(("begins", "said", "command"), PACKED)
def test_packed_bytes_are_read_only_by_their_flag(file, begins, said, command):
    file.write_bytes(begins + b"data" * 50)
    command = "any_bytes=True" if command == "leave it out" else command
    with pytest.raises(
        InputError, match=rf"{file} is {said}, .*{command}.*`any_bytes=True`|{command}"
    ):
        read(file, "bytes")
    found = blocks([file], "bytes", None, how=How(any_bytes=True))
    assert b"".join(block.raw for block in found) == file.read_bytes()


@pytest.mark.parametrize(("begins", "said", "command"), AS_BYTES)
def test_other_bytes_are_read_as_they_are(file, begins, said, command):
    file.write_bytes(begins + b"data" * 50)
    assert read(file, "bytes") == file.read_bytes()


@pytest.mark.parametrize(
    "text", ["BM", "MZ", "ID3 tags", "ORC", "PAR1", "OTTO", "wOFF", "OggS", "fLaC"]
)
def test_a_text_may_begin_like_a_file_of_another_kind(file, text):
    file.write_text(f"{text} is how this text begins, café\n")
    assert read(file) == file.read_bytes()


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("latin-1", "looks like Latin-1; convert it: iconv -f LATIN1 -t UTF-8"),
        ("cp1252", "looks like Windows-1252; convert it: iconv -f WINDOWS-1252"),
        ("shift-jis", "find its encoding, .* convert it: iconv -f ENCODING"),
        ("koi8-r", "find its encoding, .* convert it: iconv -f ENCODING"),
    ],
)
def test_a_text_in_another_encoding_is_named(file, encoding, said):
    text = {
        "latin-1": "voilà, déjà vu",
        "cp1252": "“voilà”, déjà vu",
        "shift-jis": "吾輩は猫である。",
        "koi8-r": "Москва, я тебя люблю",
    }[encoding]
    file.write_bytes((text * 50).encode(encoding))
    with pytest.raises(InputError, match=rf"expected UTF-8 text, but {file} .*{said}"):
        read(file)


def test_what_is_wrong_is_found_before_anything_is_read(file, tmp_path):
    (tmp_path / "a").write_text(TEXT)
    (tmp_path / "z.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    both = tmp_path / "a", tmp_path / "z.png"

    def progress(done, total):
        raise AssertionError("something was read")

    for call in (
        lambda: load(both, progress=progress),
        lambda: encode(
            Sources("all", both),
            Vocabulary("chars", "a"),
            progress=progress,
        ),
    ):
        with pytest.raises(InputError, match=r"z\.png is a PNG image"):
            call()


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", gzipped(b"")])
def test_an_empty_file_is_nothing(file, data):
    file.write_bytes(data)
    assert read(file) == b""


def test_a_pipe_is_named_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for spec in tmp_path / "pipe", os.devnull:
        with (
            pytest.raises(InputError, match="neither a file nor a directory"),
            resolve(spec, cache=tmp_path),
        ):
            pass


def test_a_disk_that_fails_amid_a_packed_file_is_no_damage(file, monkeypatch):
    file.write_bytes(gzip.compress(os.urandom(1 << 16)))

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    source = blocks([file], "bytes", None)
    monkeypatch.setattr(reader, "CHUNK", 1 << 10)
    next(source)
    monkeypatch.setattr(gzip.GzipFile, "read", fail)
    with pytest.raises(InputError, match=r"cannot read .*Input/output error"):
        next(source)


def test_what_is_wrong_with_standard_input_is_said_of_it(tmp_path, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(archive("zip")))
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(
        InputError, match=r"^expected text, but standard input is a ZIP .*unzip"
    ):
        load("-", cache=tmp_path)


def test_standard_input_may_be_packed(tmp_path, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(gzip.compress(TEXT.encode())))
    monkeypatch.setattr(sys, "stdin", stdin)
    corpus = load("-", cache=tmp_path)
    assert corpus.vocabulary.decode(np.asarray(corpus.ids)) == TEXT

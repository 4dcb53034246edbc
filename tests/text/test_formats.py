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
from jaxtext.text.reader import blocks
from jaxtext.text.sources import Sources, resolve

TEXT = "naïve café, 5 €, Москва 😀\r\n" * 8


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
        (archive("zip"), r"ZIP .*unzip"),
        (archive("tar"), r"tar; .*tar -xf"),
        (gzipped(archive("tar")), r"tar; .*tar -xf"),
        (bz2.compress(gzipped(b"text")), r"gzip; .*gzip -d"),
        (gzipped(b"\x28\xb5\x2f\xfd text"), r"zstd; .*zstd -d"),
    ],
)
def test_other_archives_are_named_with_what_unpacks_them(file, kind, data, said):
    file.write_bytes(data)
    with pytest.raises(
        InputError, match=rf"{file} is packed: its first bytes are those of {said}"
    ):
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


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", [TEXT, "plain words\n" * 9, "Москва, я тебя люблю " * 9]
)
def test_utf_16_without_a_mark_is_named(file, encoding, text):
    name = encoding.replace("16-", "16")
    file.write_bytes(text.encode(encoding))
    with pytest.raises(
        InputError, match=f"looks like UTF-16 .*iconv -f {name} -t utf-8"
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


@pytest.mark.parametrize(
    ("begins", "said"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"GIF89a", "a GIF image"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\x7fELF\2\1", "an executable"),
    ],
)
def test_what_is_no_text_is_named_and_read_as_bytes(file, begins, said):
    file.write_bytes(begins + b"data" * 50)
    with pytest.raises(
        InputError, match=rf"{file} is {said}; leave it out.*`vocab='bytes'`"
    ):
        read(file)
    assert read(file, "bytes") == file.read_bytes()


def test_what_is_wrong_is_found_before_anything_is_read(file, tmp_path):
    (tmp_path / "a").write_text(TEXT)
    (tmp_path / "z.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    def progress(done, total):
        raise AssertionError("something was read")

    for call in (
        lambda: load(tmp_path, progress=progress),
        lambda: encode(
            Sources("all", (tmp_path / "a", tmp_path / "z.png")),
            Vocabulary("chars", "a"),
            progress=progress,
        ),
    ):
        with pytest.raises(InputError, match=r"z\.png is a PNG image"):
            call()


def test_line_ends_stay_as_they_are(file):
    file.write_bytes(b"a\r\nb\rc\n")
    assert read(file) == b"a\r\nb\rc\n"


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
    with pytest.raises(InputError, match=r"^standard input is packed: .*unzip"):
        load("-", cache=tmp_path)


def test_standard_input_may_be_packed(tmp_path, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(gzip.compress(TEXT.encode())))
    monkeypatch.setattr(sys, "stdin", stdin)
    corpus = load("-", cache=tmp_path)
    assert corpus.vocabulary.decode(np.asarray(corpus.ids)) == TEXT

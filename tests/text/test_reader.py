"""Files in blocks, and where their bytes go wrong."""

import sys

import pytest

from jaxtext.errors import InputError
from jaxtext.text import reader
from jaxtext.text.reader import How, blocks, check

TEXT = "a\r\n\1é€😀\ufeffz"  # characters of one to four bytes
JOINED = f"{TEXT}\n{TEXT}"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "text.txt"


def read(paths, kind="chars", limit=None, newlines="keep"):
    """The joined bytes and code points of all blocks."""
    found = list(blocks(paths, kind, limit, how=How(newlines)))
    return (
        b"".join(block.raw for block in found),
        [int(point) for block in found for point in block.points],
    )


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 1000])
def test_characters_survive_the_borders_of_chunks(file, monkeypatch, chunk):
    monkeypatch.setattr(reader, "CHUNK", chunk)
    file.write_bytes(TEXT.encode())
    points = [ord(character) for character in TEXT]
    assert read([file]) == (TEXT.encode(), points)
    assert read([file, file]) == (JOINED.encode(), [ord(x) for x in JOINED])
    assert read([file], "bytes") == (TEXT.encode(), list(TEXT.encode()))


@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize("limit", range(1, len(JOINED) + 2))
def test_a_limit_counts_characters_over_all_files(file, monkeypatch, chunk, limit):
    monkeypatch.setattr(reader, "CHUNK", chunk)
    file.write_bytes(TEXT.encode())
    wanted = JOINED[:limit]
    assert read([file, file], limit=limit) == (
        wanted.encode(),
        [ord(character) for character in wanted],
    )


@pytest.mark.parametrize("kind", ["chars", "bytes"])
@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["end", "begin"], "end\nbegin"),
        (["end\n", "begin\n"], "end\nbegin\n"),
        (["end\r\n", "begin"], "end\r\nbegin"),
        (["", "begin"], "begin"),
        (["end", ""], "end"),
        (["end", "", "", "begin"], "end\nbegin"),
        (["end", "\n", "begin"], "end\n\nbegin"),
        (["end"], "end"),
    ],
)
def test_a_new_line_stands_between_two_files(tmp_path, kind, texts, joined):
    paths = [tmp_path / str(number) for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode())
    raw = joined.encode()
    assert read(paths, kind) == (raw, list(raw))
    for limit in range(1, len(raw) + 2):
        assert read(paths, kind, limit) == (raw[:limit], list(raw[:limit]))


def test_a_limit_counts_bytes_for_bytes(file):
    file.write_bytes(TEXT.encode())
    assert read([file], "bytes", 5)[0] == TEXT.encode()[:5]


def test_nothing_beyond_the_limit_is_looked_at(file, tmp_path):
    file.write_bytes(b"ab\xff")
    assert read([file, tmp_path / "missing"], limit=2) == (b"ab", [97, 98])


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("data", "offset", "byte"),
    [
        (b"abc\xffdef", 3, "ff"),
        ("é€".encode() + b"\x80", 5, "80"),
        (b"ab\xe2\x82", 2, "e2"),  # the file ends within a character
        (b"ab\xe2\x82c", 2, "e2"),
        (b"\xed\xa0\x80", 0, "ed"),  # half a surrogate pair
        ("é".encode("latin-1"), 0, "e9"),
    ],
)
def test_a_wrong_byte_is_named_with_its_offset(
    file, tmp_path, monkeypatch, chunk, data, offset, byte
):
    monkeypatch.setattr(reader, "CHUNK", chunk)
    good = tmp_path / "good.txt"
    good.write_bytes(b"good")
    file.write_bytes(data)
    message = rf"text\.txt has byte 0x{byte} at offset {offset} .*`vocab='bytes'`"
    with pytest.raises(InputError, match=message):
        read([good, file])
    assert read([good, file], "bytes")[0] == b"good\n" + data


def test_files_are_not_glued_into_a_character(file, tmp_path):
    file.write_bytes("é".encode()[:1])
    rest = tmp_path / "rest"
    rest.write_bytes("é".encode()[1:])
    with pytest.raises(InputError, match=r"text\.txt has byte 0xc3 at offset 0"):
        read([file, rest])


def test_an_empty_file_has_no_blocks(file):
    file.touch()
    assert read([file]) == (b"", [])


def test_a_directory_in_place_of_a_file(tmp_path):
    with pytest.raises(InputError, match=f"cannot read {tmp_path} .Is a directory"):
        read([tmp_path])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_failing_disk():
    # Opens like any file; its first page is mapped nowhere, so reading it is EIO.
    with pytest.raises(InputError, match=r"cannot read /proc/self/mem \(.*error\)"):
        read([reader.Path("/proc/self/mem")], "bytes")


def test_check_adds_up_sizes(file, tmp_path):
    file.write_bytes(b"12345")
    assert check([file, file], "chars").size == 10
    with pytest.raises(InputError, match=r"cannot read .*missing"):
        check([tmp_path / "missing"], "chars")


ENDS = "\r\né\r\r\n\r€\n\r\nend\rab\rcd\r\r"
FEEDS = "\né\n\n\n€\n\nend\nab\ncd\n\n"


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("limit", [None, *range(1, 2 * len(FEEDS) + 2)])
def test_line_ends_become_lf_over_the_borders_of_chunks(
    file, monkeypatch, chunk, limit
):
    monkeypatch.setattr(reader, "CHUNK", chunk)
    file.write_bytes(ENDS.encode())
    wanted = (FEEDS + FEEDS)[:limit]
    assert read([file, file], limit=limit, newlines="lf") == (
        wanted.encode(),
        [ord(character) for character in wanted],
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_line_ends_are_counted_and_become_lf_in_any_encoding(file, encoding):
    file.write_bytes(ENDS.encode(encoding))
    turned = []
    found = blocks([file], "chars", None, how=How(turned=turned.append))
    assert b"".join(block.raw for block in found) == FEEDS.encode()
    assert sum(turned) == 9  # of 10, one was LF
    assert read([file])[0] == ENDS.encode()  # newlines="keep"


def test_bytes_stay_as_they_are(file):
    file.write_bytes(ENDS.encode())
    assert read([file], "bytes", newlines="lf")[0] == ENDS.encode()

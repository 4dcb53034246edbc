"""Symbols to ids and back."""

import json

import numpy as np
import pytest

from jaxtext.errors import InputError
from jaxtext.text import Vocabulary

SAMPLE = "a\r\nb\0\té😀\ufeff"
CHARS = Vocabulary("chars", "".join(sorted(set(SAMPLE))))
BYTES = Vocabulary("bytes")


@pytest.mark.parametrize("vocabulary", [CHARS, BYTES], ids=["chars", "bytes"])
@pytest.mark.parametrize("text", [SAMPLE, "", "😀😀"])
def test_decode_inverts_encode(vocabulary, text):
    ids = vocabulary.encode(text)
    assert ids.dtype == np.uint8
    assert vocabulary.decode(ids) == text


@pytest.mark.parametrize("vocabulary", [CHARS, BYTES], ids=["chars", "bytes"])
def test_bytes_are_utf8_and_come_back(vocabulary):
    raw = SAMPLE.encode()
    ids = vocabulary.encode(raw)
    np.testing.assert_array_equal(ids, vocabulary.encode(SAMPLE))
    assert vocabulary.to_bytes(ids) == raw


def test_bytes_stay_bytes_in_whichever_encoding():
    raw = bytes(range(256))
    assert BYTES.encode(raw).tolist() == list(raw)
    assert BYTES.to_bytes(BYTES.encode(raw)) == raw


def test_characters_take_bytes_of_utf8_alone():
    assert CHARS.encode(b"\xef\xbb\xbfab").tolist() == CHARS.encode("ab").tolist()
    with pytest.raises(
        InputError, match=r"expected UTF-8, got byte 0xe9 at position 1"
    ):
        CHARS.encode(b"a\xe9b")


def test_ids_are_positions_among_the_characters_or_utf8_bytes():
    assert Vocabulary("chars", "abc").encode("cab").tolist() == [2, 0, 1]
    assert BYTES.encode("é").tolist() == [0xC3, 0xA9]
    assert (len(CHARS), len(BYTES)) == (9, 256)


@pytest.mark.parametrize(("size", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_ids_are_as_narrow_as_the_vocabulary_allows(size, dtype):
    vocabulary = Vocabulary("chars", "".join(map(chr, range(1000, 1000 + size))))
    ids = vocabulary.encode(vocabulary.characters)
    assert ids.dtype == vocabulary.dtype == dtype
    assert ids.tolist() == list(range(size))


def test_the_largest_vocabulary_uses_every_16_bit_id():
    characters = "".join(map(chr, range(0x10000, 0x20000)))
    assert Vocabulary("chars", characters).encode(characters[-1]).tolist() == [65535]
    with pytest.raises(InputError, match=r"65,537; use `vocab='bytes'`"):
        Vocabulary("chars", characters + chr(0x20000))


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("x", r"'x' \(U\+0078\)"),  # within the lookup table
        ("\x01", r"'\\x01' \(U\+0001\)"),
        # Beyond the table, which ends after U+1F601: at "a", if it were repeated.
        ("🙣", r"'🙣' \(U\+1F663\)"),
        ("\U0010ffff", r"'\\U0010ffff' \(U\+10FFFF\)"),
        ("\ud800", r"'\\ud800' \(U\+D800\)"),
    ],
)
def test_an_unknown_character_is_named_with_its_position(character, shown):
    with pytest.raises(InputError, match=shown + " at position 2 "):
        CHARS.encode("ab" + character + character)


def test_bytes_cannot_encode_half_a_surrogate_pair():
    with pytest.raises(InputError, match=r"U\+D800\) at position 1"):
        BYTES.encode("a\ud800")


def test_an_empty_vocabulary_knows_no_character():
    with pytest.raises(InputError, match="'a'"):
        Vocabulary("chars", "").encode("a")


def test_stray_bytes_decode_to_the_replacement_character():
    assert BYTES.decode([0x61, 0xFF, 0x62]) == "a\ufffdb"


@pytest.mark.parametrize("vocabulary", [CHARS, BYTES], ids=["chars", "bytes"])
def test_a_decoder_joins_what_arrives_in_pieces(vocabulary):
    decode = vocabulary.decoder()
    pieces = [decode([symbol]) for symbol in vocabulary.encode(SAMPLE)]
    assert "".join(pieces) == SAMPLE
    assert "\ufffd" not in pieces
    assert decode([], final=True) == ""


def test_flushing_a_decoder_shows_an_incomplete_character():
    decode = BYTES.decoder()
    assert decode([0xF0, 0x9F]) == ""
    assert decode([], final=True) == "\ufffd"


def test_decoders_are_independent():
    first, second = BYTES.decoder(), BYTES.decoder()
    first([0xC3])
    assert second([0x61]) == "a"


@pytest.mark.parametrize("vocabulary", [CHARS, BYTES], ids=["chars", "bytes"])
def test_json_round_trip(vocabulary):
    data = json.loads(json.dumps(vocabulary.to_json()))
    assert Vocabulary.from_json(data) == vocabulary


def test_json_without_a_key_is_rejected():
    with pytest.raises(InputError, match="expected the keys"):
        Vocabulary.from_json({"kind": "chars"})


@pytest.mark.parametrize(
    ("kind", "characters"),
    [("words", ""), ("chars", "ba"), ("chars", "aa"), ("bytes", "a")],
)
def test_a_malformed_vocabulary_is_rejected(kind, characters):
    with pytest.raises(InputError, match="expected"):
        Vocabulary(kind, characters)


@pytest.mark.parametrize("size", [100, 255, 256, 300])
def test_bytes_are_encoded_as_code_points_are(size):
    vocabulary = Vocabulary("chars", "".join(map(chr, range(size))))
    points = np.arange(min(size, 256), dtype=np.uint8)
    found = vocabulary.encode_points(points)
    assert found.dtype == vocabulary.dtype
    np.testing.assert_array_equal(found, points)


@pytest.mark.parametrize("size", [100, 255])
def test_an_unknown_byte_is_named(size):
    vocabulary = Vocabulary("chars", "".join(map(chr, range(size))))
    with pytest.raises(InputError, match=rf"U\+00{size:02X}\) at position 1 is not"):
        vocabulary.encode_points(np.array([7, size], np.uint8))


def test_a_union_has_the_symbols_of_both():
    one, other = Vocabulary("chars", "bdf"), Vocabulary("chars", "abé😀")
    union = one.union(other)
    assert union == other.union(one) == Vocabulary("chars", "abdfé😀")
    for vocabulary in one, other:
        ids = vocabulary.ids_in(union)
        assert union.decode(ids) == vocabulary.characters
    assert BYTES.union(BYTES) == BYTES
    assert BYTES.ids_in(BYTES).tolist() == list(range(256))


@pytest.mark.parametrize("name", ["union", "ids_in"])
def test_characters_and_bytes_do_not_mix(name):
    with pytest.raises(InputError, match="vocabulary of chars, got one of bytes"):
        getattr(CHARS, name)(BYTES)
    with pytest.raises(InputError, match="vocabulary of bytes, got one of chars"):
        getattr(BYTES, name)(CHARS)


def test_a_symbol_that_is_not_there_has_no_id():
    with pytest.raises(InputError, match="'b'"):
        Vocabulary("chars", "ab").ids_in(Vocabulary("chars", "ac"))

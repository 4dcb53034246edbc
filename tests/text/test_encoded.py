"""Texts in a vocabulary that is given."""

import hashlib

import numpy as np
import pytest

from jaxtext.errors import InputError
from jaxtext.text import Vocabulary
from jaxtext.text.encoded import encode
from jaxtext.text.sources import Sources

VOCABULARY = Vocabulary("chars", "\n abcé😀")


def encoded(tmp_path, *texts, vocabulary=VOCABULARY, **options):
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(text.encode())
    sources = Sources("text", tuple(paths))
    return encode(sources, vocabulary, cache=tmp_path / "cache", **options)


@pytest.mark.parametrize("text", ["", "a", "a bc\n", "é😀 a"])
def test_a_text_is_its_ids(tmp_path, text):
    corpus = encoded(tmp_path, text)
    np.testing.assert_array_equal(corpus.ids, VOCABULARY.encode(text))
    assert corpus.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (corpus.name, corpus.vocabulary) == ("text", VOCABULARY)
    assert not list((tmp_path / "cache" / "corpora").iterdir())  # nothing is kept


def test_ids_of_two_bytes(tmp_path):
    vocabulary = Vocabulary("chars", "".join(map(chr, range(0x4E00, 0x4E00 + 300))))
    corpus = encoded(tmp_path, chr(0x4E00 + 299) + chr(0x4E00), vocabulary=vocabulary)
    assert corpus.ids.dtype == np.uint16
    np.testing.assert_array_equal(corpus.ids, [299, 0])


def test_bytes(tmp_path):
    corpus = encoded(tmp_path, "é!", vocabulary=Vocabulary("bytes"))
    np.testing.assert_array_equal(corpus.ids, list("é!".encode()))


def test_files_and_a_limit(tmp_path):
    calls = []
    corpus = encoded(
        tmp_path, "ab", "ca", limit=3, progress=lambda *call: calls.append(call)
    )
    np.testing.assert_array_equal(corpus.ids, VOCABULARY.encode("ab\n"))
    assert corpus.sha256 == hashlib.sha256(b"ab\n").hexdigest()
    assert calls == [(2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ax", r"know the character 'x' \(U\+0078\) of this text; leave it out"),
        (
            "xaü",
            r"characters 'x' \(U\+0078\), 'ü' \(U\+00FC\) of this text; leave them",
        ),
        ("0123456789AB", r"'9' \(U\+0039\) and 2 more of this text"),
    ],
)
def test_what_is_unknown_is_named(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        encoded(tmp_path, text)
    assert not list((tmp_path / "cache" / "corpora").iterdir())


def test_a_model_without_new_lines_reads_one_file_at_a_time(tmp_path):
    vocabulary = Vocabulary("chars", "abc")
    with pytest.raises(InputError, match=r"'\\n' .*; a newline is added between files"):
        encoded(tmp_path, "ab", "ca", vocabulary=vocabulary)


def test_unknown_characters_in_any_file(tmp_path):
    with pytest.raises(InputError, match=r"'x' \(U\+0078\), 'y' \(U\+0079\)"):
        encoded(tmp_path, "ay", "abc", "xa")

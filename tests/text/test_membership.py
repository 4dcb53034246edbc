"""Which documents stand in a text: those that are the same, symbol by symbol."""

import numpy as np
import pytest

from jaxtext.text import Documents, Vocabulary, load
from jaxtext.text.membership import isin

END = 3


def text_of(documents):
    return np.array([END, *(x for one in documents for x in (*one, END))], np.uint8)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_as_one_would_compare_them(at_once, monkeypatch):
    monkeypatch.setattr("jaxtext.text.membership._AT_ONCE", at_once)
    rng = np.random.default_rng(0)

    def drawn(number):
        return [tuple(rng.integers(0, END, rng.integers(1, 7))) for _ in range(number)]

    text, candidates = drawn(60), drawn(80)
    found = isin(candidates, Documents.of(text_of(text), END))
    assert found.tolist() == [one in text for one in candidates]
    assert 0 < found.sum() < len(found)


def test_of_a_text_in_a_file(tmp_path):
    (tmp_path / "names").write_text("anna\nbert\nannabel\n" * 20)
    corpus = load(tmp_path / "names", documents="lines", cache=tmp_path / "cache")
    assert isinstance(corpus.vocabulary, Vocabulary)
    candidates = [corpus.vocabulary.encode(x) for x in ("bert", "anna", "ann", "annab")]
    assert isin(candidates, corpus.documents).tolist() == [True, True, False, False]
    assert isin([], corpus.documents).tolist() == []


def test_ids_of_another_type_are_the_same():
    documents = Documents.of(text_of([[1, 2]]), END)
    for dtype in (np.int64, np.int32, np.uint16):
        assert isin([np.array([1, 2], dtype)], documents).tolist() == [True]

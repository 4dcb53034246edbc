"""Where a text is cut into documents."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxtext.errors import InputError
from jaxtext.text import Vocabulary, load, looks, reader
from jaxtext.text.modes import document_blocks
from jaxtext.text.vocabulary import END, MAX_CHARACTERS

ODD = st.text(st.sampled_from("aé\n\n\n \tb"), max_size=40)
CHUNKS = st.sampled_from([1, 2, 3, 7, 1 << 20])


@pytest.fixture
def documents(tmp_path):
    """``documents(mode, *texts, …)``: the documents of files with these texts."""

    def documents(mode, *texts, field=None, limit=None):
        paths = [tmp_path / f"{i}.txt" for i in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_bytes(text.encode())
        whole = b"".join(
            x.raw for x in document_blocks(paths, mode, field, limit)
        ).decode()
        assert {whole[0], whole[-1]} == {END}
        return whole[1:-1].split(END) if len(whole) > 1 else []

    return documents


def lines_of(text):
    return [line for line in text.split("\n") if line]


def paragraphs_of(text):
    """By the definition: runs of lines that are not blank."""
    found, lines = [], []
    for line in [*text.split("\n"), ""]:
        if line.strip(" \t\r"):
            lines.append(line)
        elif lines:
            found.append("\n".join(lines))
            lines = []
    return found


@pytest.mark.parametrize(
    ("mode", "cut"), [("lines", lines_of), ("paragraphs", paragraphs_of)]
)
def test_lines_and_paragraphs_are_found_in_blocks_of_any_size(documents, mode, cut):
    @given(first=ODD, second=ODD, chunk=CHUNKS)
    @settings(max_examples=150, deadline=None)
    def check(first, second, chunk):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader, "CHUNK", chunk)
            assert documents(mode, first, second) == [*cut(first), *cut(second)]

    check()


def test_a_file_is_a_document_as_it_is(documents):
    poems = ["roses are red", "violets\n\nare blue\n", ""]
    assert documents("files", *poems) == poems[:2]


def test_rows_give_a_field(documents):
    chat = [{"text": "hi\nyou", "id": 1}, {"id": 2}, {"text": ""}, {"text": "é"}]
    rows = "\n\n".join(map(json.dumps, chat))
    assert documents("jsonl", rows, field="text") == ["hi\nyou", "é"]
    assert documents("jsonl", '"one"\n"two"\n') == ["one", "two"]
    table = 'id;message\r\n1;"a;b\nc"\r\n2;d\r\n'
    assert documents("csv", table, field="message") == ["a;b\nc", "d"]
    assert documents("csv", "x\ty\n1\t2\n", field="y") == ["2"]


@pytest.mark.parametrize(
    ("mode", "text", "field", "told"),
    [
        ("jsonl", '{"a": "b"}', None, "expected one of a, as line 1 of"),
        ("jsonl", '{"a": "b"}\n{"a": "c"}', "text", "got text, which none has"),
        ("jsonl", '{"a": 3}', "a", "expected a string, but line 1 of"),
        ("jsonl", '{"a": "b"}\nhello', "a", "line 2 of"),
        ("jsonl", '"\\u0000"', None, "has a NUL"),
        ("jsonl", '"\\ud800"', None, "half of a surrogate pair (U+D800)"),
        ("csv", "a,b\n1,2\n", "c", "expected one of a, b, as the header"),
        ("csv", "a,b\n1,2,3\n", "b", "expected 2 cells"),
    ],
)
def test_rows_that_cannot_be_read_are_told(documents, mode, text, field, told):
    with pytest.raises(InputError) as error:
        documents(mode, text, field=field)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_row_may_be_long_but_not_endless(documents, monkeypatch):
    monkeypatch.setattr("jaxtext.text.rows._LONGEST_ROW", 40)
    monkeypatch.setattr(reader, "CHUNK", 16)
    with pytest.raises(InputError, match="a single JSON document"):
        documents("jsonl", "[" + " " * 100)


def test_a_limit_ends_the_last_document(documents):
    assert documents("lines", "anna\nbert\n", limit=7) == ["anna", "be"]
    assert documents("lines", "anna\nbert\n", limit=5) == ["anna"]


def test_a_corpus_of_documents(tmp_path):
    names = [f"name{n}é" for n in range(40)]
    path = tmp_path / "names.txt"
    path.write_text("\n".join(names))
    corpus = load(path, documents="lines", cache=tmp_path / "cache")
    vocabulary = corpus.vocabulary
    assert vocabulary.end == len(vocabulary) - 1
    assert vocabulary.characters == "".join(sorted({*"".join(names)}))
    assert [vocabulary.decode(x) for x in corpus.documents] == names
    assert vocabulary.decode(corpus.ids) == "\n" + "".join(f"{x}\n" for x in names)
    # The same documents are the same text, however they were written.
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps(name) for name in names))
    same = load(rows, documents="jsonl", cache=tmp_path / "cache")
    assert same.sha256 == corpus.sha256
    assert len([*(tmp_path / "cache" / "corpora").iterdir()]) == 1
    # As one text they are another, with another entry in the cache.
    one = load(path, cache=tmp_path / "cache")
    assert one.sha256 != corpus.sha256
    assert np.array_equal(one.ids, one.vocabulary.encode(path.read_text()))
    with pytest.raises(InputError, match="expected a text of documents, got names"):
        _ = one.documents


def test_several_files_are_documents_unless_they_are_a_data_set(tmp_path):
    (tmp_path / "poems").mkdir()
    for n in range(3):
        (tmp_path / "poems" / f"{n}").write_text("roses are red " * 4)

    def mode(specs, **options):
        return load(specs, documents=None, cache=tmp_path / "cache", **options).mode

    assert mode(tmp_path / "poems") == "files"
    assert mode([*(tmp_path / "poems").iterdir()]) == "files"
    assert mode(tmp_path / "poems", vocab="bytes") == "none"
    assert mode("stdlib", limit=1000) == "none"
    (tmp_path / "poems" / "1").unlink()
    (tmp_path / "poems" / "2").write_text("violets are blue, roses red " * 9)
    (tmp_path / "poems" / "0").unlink()
    assert mode(tmp_path / "poems") == "none"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"documents": "words"}, "expected none, files, lines"),
        ({"documents": "lines", "vocab": "bytes"}, "got 'bytes'"),
        ({"documents": "lines", "field": "x"}, "expected documents of jsonl or csv"),
        ({"documents": "csv"}, "expected the name of a column"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, options, told):
    (tmp_path / "text").write_text("anna\nbert\n" * 20)
    with pytest.raises(InputError, match=told):
        load(tmp_path / "text", cache=tmp_path / "cache", **options)


def test_a_vocabulary_with_an_end():
    vocabulary = Vocabulary("chars", "\nab", ends=True)
    assert (len(vocabulary), vocabulary.end) == (4, 3)
    assert vocabulary.decode([1, 3, 2]) == "a\nb"
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    assert "ends" not in Vocabulary("chars", "ab").to_json()
    # It is no character: no text that is given has it.
    with pytest.raises(InputError, match=r"'\\x00' \(U\+0000\) at position 1"):
        vocabulary.encode("a\0")
    wider = vocabulary.union(Vocabulary("chars", "c"))
    assert wider == Vocabulary("chars", "\nabc", ends=True)
    assert vocabulary.ids_in(wider).tolist() == [0, 1, 2, 4]
    with pytest.raises(InputError, match="with an end of documents"):
        vocabulary.ids_in(Vocabulary("chars", "\nab"))
    for wrong in ("\0a", "".join(map(chr, range(1, MAX_CHARACTERS + 2)))):
        with pytest.raises(InputError):
            Vocabulary("chars", wrong.replace("\ud800", ""), ends=True)
    with pytest.raises(InputError, match="got bytes"):
        Vocabulary("bytes", ends=True)


NAMES = [f"name{n}" for n in range(200)]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("\n".join(NAMES), "lines"),
        ("\n".join(json.dumps({"text": x}) for x in NAMES), "jsonl"),
        ("\n".join(map(json.dumps, NAMES)), "jsonl"),
        ("id,name\n" + "\n".join(f'{n},"a, {x}"' for n, x in enumerate(NAMES)), "csv"),
        ("id\tname\n" + "\n".join(f"{n}\t{x}" for n, x in enumerate(NAMES)), "csv"),
        ("\n".join(NAMES * 2), None),  # not distinct
        ("\n".join(x * 20 for x in NAMES), None),  # not short
        ("\n\n".join(NAMES), None),  # verses
        ("1,2\n" * 50, None),  # numbers, and no header
        ("\n".join(f"def f{n}(x, y):\n    return x + y\n" for n in range(99)), None),
        ("It was, as I said,\na fine day, and so\non, and on, it went.\n" * 40, None),
        ("", None),
    ],
)
def test_what_a_text_seems_to_be(text, mode):
    found = looks.seems(text)
    assert (found and found[0]) == mode


def test_a_program_does_not_look_like_documents():
    for module in (json, np, pytest):
        assert looks.seems(Path(module.__file__).read_text()) is None


@pytest.mark.parametrize(
    ("mode", "nothing"),
    [("jsonl", ""), ("jsonl", "\n \n"), ("csv", ""), ("csv", "t\n")],
)
def test_a_file_without_rows_is_skipped(tmp_path, mode, nothing):
    (tmp_path / "a").write_text({"jsonl": '{"t": "one"}\n', "csv": "t\none\n"}[mode])
    (tmp_path / "b").write_text(nothing)
    paths = [tmp_path / "b", tmp_path / "a"]
    read = b"".join(x.raw for x in document_blocks(paths, mode, "t", None))
    assert read == b"\0one\0"


def test_json_of_any_depth_is_told(tmp_path):
    (tmp_path / "a").write_text("[" * 100_000 + "\n")
    with pytest.raises(InputError, match="expected JSON in each line, but line 1 "):
        list(document_blocks([tmp_path / "a"], "jsonl", "t", None))

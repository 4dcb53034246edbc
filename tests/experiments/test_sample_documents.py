"""sample.py --documents: whole documents, in the form of the text of the run."""

import json

import char_gen
import jax
import numpy as np
import optax
import pytest
import sample

import jaxtext as jt
from jaxtext.generation import generate_documents, log_probabilities
from jaxtext.runs.checkpoint import Checkpoints, describe, restore_model
from writing import documents
from writing.documents import Form, printed

# So short that a network that has learnt little writes many of them.
NAMES = ["a", "b", "ab", "ba", "aba"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    (folder / "names").write_text("\n".join(NAMES * 60))
    small = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "5"]
    small += ["--documents", "lines", "--val-split", "end"]
    argv = ["--corpus", str(folder / "names"), *small]
    assert char_gen.main([*argv, "--workdir", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def wrote(workdir, capfd):
    """What the run writes with some flags, as lines, and what is told."""

    def run(*args, status=0):
        words = ["--workdir", workdir, "--temperature", 1, *args]
        assert sample.main([str(word) for word in words]) == status
        out, err = capfd.readouterr()
        return out.splitlines(), err

    return run


def test_documents_are_whole_and_the_same_again(wrote, workdir):
    found = restore_model(workdir)
    expected = generate_documents(
        *(found.model, found.params, 6), length=500, key=jax.random.key(0)
    )
    lines, told = wrote("--documents", 6)
    assert lines == [found.vocabulary.decode(document.ids) for document in expected]
    assert len(set(lines)) > 2
    assert "cut" not in told
    assert wrote("--documents", 3)[0] == lines[:3]
    assert wrote("--documents", 6, "--seed", 1)[0] != lines


def test_a_prompt_is_the_beginning_of_each(wrote):
    lines, _ = wrote("--documents", 5, "--prompt", "bb")
    assert all(line.startswith("bb") for line in lines)
    assert len(set(lines)) > 1
    longer, _ = wrote("--documents", 5, "--prompt", "bb", "--min-length", 4)
    assert min(map(len, longer)) >= 6


def test_what_is_cut_is_told(wrote):
    whole, _ = wrote("--documents", 9)
    lines, told = wrote("--documents", 9, "--length", 2)
    assert lines == [line[:2] for line in whole]
    # The end of one of two letters comes where there is no room any more.
    cut = sum(len(line) >= 2 for line in whole)
    assert 0 < cut < 9
    assert f"note: cut at --length, before their end: {cut} of 9" in told


def test_a_text_that_is_no_document_begins_as_one_does(wrote, workdir):
    found = restore_model(workdir)
    lines, _ = wrote("--length", 30)
    first = wrote("--documents", 1)[0][0]
    assert "\n".join(lines).startswith(f"{first}\n")
    (line,), _ = wrote("--length", 5, "--prompt", "b", "--jsonl", "--score")
    row, of = json.loads(line), (found.model, found.params)
    characters = ["a", "b", "\n"]  # by their ids; the end is written as a newline
    ids = np.array([[characters.index(x) for x in row["text"]]])
    alone = found.vocabulary.encode("b")[None]
    whole = np.append(found.model.end, alone)[None]
    totals = [float(log_probabilities(*of, x, ids).sum()) for x in (whole, alone)]
    assert row["log_probability"] == pytest.approx(totals[0], rel=1e-6)
    assert abs(totals[0] - totals[1]) > 1e-4


def test_what_stands_in_the_training_text_is_left_out(wrote, monkeypatch):
    many, _ = wrote("--documents", 60)
    new = [line for line in many if line not in NAMES]
    assert 20 < len(new) < 50
    lines, told = wrote("--documents", 20, "--unlike-training")
    assert lines == new[:20]
    known = many.index(new[19], [i for i, x in enumerate(many) if x not in NAMES][19])
    assert f"stand in the training text: {known + 1 - 20}" in told
    monkeypatch.setattr(documents, "MOST", 1)
    fewer, told = wrote("--documents", 20, "--unlike-training")
    assert fewer == [line for line in many[:20] if line not in NAMES]
    assert f"given up after 20 documents, with {len(fewer)} of the 20" in told


def test_a_training_text_that_is_not_where_it_was(wrote, workdir):
    text = workdir.parent / "names"
    moved = text.rename(workdir.parent / "moved")
    try:
        args = "--documents", 3, "--unlike-training"
        lines, told = wrote(*args, status=2)
        assert lines == []
        assert told.startswith(
            "error: --unlike-training: expected the run's text where"
        )
        assert len(told.splitlines()) == 1
        assert len(wrote(*args, moved)[0]) == 3
    finally:
        moved.rename(text)


def test_lines_of_json_and_scores(wrote, workdir):
    lines, _ = wrote("--documents", 7, "--length", 3, "--prompt", "a")
    rows, _ = wrote(
        *("--documents", 7, "--length", 3, "--prompt", "a", "--jsonl", "--score")
    )
    found = restore_model(workdir)
    prompt = np.append(found.model.end, found.vocabulary.encode("a"))[None]
    rows = [json.loads(row) for row in rows]
    assert [row["text"] for row in rows] == lines
    assert {row["ended"] for row in rows} == {True, False}
    for row in rows:
        ids = found.vocabulary.encode(row["text"][1:]).astype(int)
        ids = np.append(ids, found.model.end) if row["ended"] else ids
        log_p = log_probabilities(found.model, found.params, prompt, ids[None])
        total = float(log_p.sum())
        assert row["log_probability"] == pytest.approx(total, rel=1e-5)
    _, told = wrote("--documents", 2, "--score")
    assert "note: document 2: log-probability -" in told


@pytest.mark.parametrize(
    "form",
    [
        *(Form("lines"), Form("paragraphs"), Form("jsonl", "text"), Form("jsonl")),
        *(Form("csv", "name"), Form("files")),
    ],
    ids=str,
)
def test_what_is_printed_can_be_read_again(form, tmp_path):
    texts = ["anna", 'a "quoted", one', "é😀"] * 9
    if form.mode != "lines":
        texts += ["of two\nlines"]
    (tmp_path / "written").write_text(printed(texts, form))
    # Files are printed one after the other, as paragraphs.
    mode = "paragraphs" if form.mode == "files" else form.mode
    corpus = jt.text.load(
        *(tmp_path / "written",),
        documents=mode,
        field=form.field,
        cache=tmp_path / "cache",
    )
    assert [corpus.vocabulary.decode(x) for x in corpus.documents] == texts


def test_what_another_program_has_saved(tmp_path, capfd):
    vocabulary = jt.text.Vocabulary("chars", "abc", ends=True)
    model = jt.LanguageModel(jt.gru(4), 4, end=vocabulary.end)
    state = jt.training.create_state(model, optax.sgd(0.1), jax.random.key(3), 2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(state, describe(model, vocabulary))
    checkpoints.finish()
    argv = ["--workdir", str(tmp_path), "--documents", "4"]
    assert sample.main(argv) == 0
    assert len(capfd.readouterr().out.splitlines()) == 4
    assert sample.main([*argv, "--unlike-training"]) == 2
    assert "expected a run of char_gen.py" in capfd.readouterr().err


def test_a_run_on_one_text_has_no_documents(tmp_path, capfd):
    vocabulary = jt.text.Vocabulary("chars", "abc")
    model = jt.LanguageModel(jt.gru(4), 3)
    state = jt.training.create_state(model, optax.sgd(0.1), jax.random.key(3), 2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(state, describe(model, vocabulary))
    checkpoints.finish()
    assert sample.main(["--workdir", str(tmp_path), "--documents", "4"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: --documents: expected a run on documents")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--documents", 2, "--count", 2], "--count: expected no --documents with it"),
        (["--documents", 2, "--best-of", 2], "--best-of: expected no --documents"),
        (["--documents", 0], "--documents: expected a whole number of 1 or more"),
        (["--unlike-training"], "--unlike-training: expected --documents with it"),
        (["--min-length", 3], "--min-length: expected --stop or --documents with it"),
    ],
)
def test_what_does_not_go_together_is_told(flags, said, wrote):
    lines, told = wrote(*flags, status=2)
    assert lines == []
    assert told.startswith(f"error: {said}")
    assert len(told.splitlines()) == 1

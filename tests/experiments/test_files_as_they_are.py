"""Files as people have them: what char_gen.py learns of them, and what it says."""

import gzip
import io
import json
import re
import sys
from types import SimpleNamespace

import char_gen
import evaluate
import pytest
import sample

from charlm import run as run_module

TEXT = "the quick brown fox jumps over the lazy dog. (what a day!)\n" * 30
CRLF = TEXT.replace("\n", "\r\n").encode()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--sample-every", "0"]
SMALL += ["--eval-every", "5", "--schedule", "constant", "--warmup-steps", "0"]


@pytest.fixture
def gen(capfd, monkeypatch, tmp_path):
    """Trains in ``run`` for some steps: exit status, the result, what was said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXTEXT_CACHE", str(tmp_path / "cache"))

    def gen(*args, steps=5):
        flags = ["--workdir", "run", "--steps", str(steps), *SMALL, *args]
        status = char_gen.main(flags)
        out, err = capfd.readouterr()
        return status, json.loads(out) if out else None, err

    return gen


def measured(capfd, *args):
    status = evaluate.main(["--workdir", "run", *args])
    out, err = capfd.readouterr()
    assert status == 0, err
    return json.loads(out)


def test_line_ends_of_windows_are_those_of_unix(gen, capfd, tmp_path):
    (tmp_path / "unix.txt").write_text(TEXT)
    (tmp_path / "windows.txt").write_bytes(CRLF)
    status, result, err = gen("--corpus", "windows.txt")
    assert status == 0
    assert "30 line ends of windows were CRLF or CR and are LF now; --newlines" in err
    # It is the run on the same text with other line ends, which goes on with it.
    status, again, err = gen("--corpus", "unix.txt", steps=10)
    assert (status, again["corpus_sha256"]) == (0, result["corpus_sha256"])
    assert "line ends" not in err
    for text in ("unix.txt", "windows.txt"):
        assert measured(capfd, "--corpus", text)["own_corpus"]


def test_a_run_that_is_older_than_the_flag_goes_on_with_its_line_ends(
    gen, capfd, tmp_path, monkeypatch
):
    (tmp_path / "windows.txt").write_bytes(CRLF)
    monkeypatch.setattr(run_module, "READING", ())
    status, result, err = gen("--corpus", "windows.txt", "--newlines", "keep")
    assert (status, result["vocabulary"]) == (0, len(set(CRLF.decode())))
    flags = tmp_path / "run/flags.json"
    kept = json.loads(flags.read_text())
    for name in ("newlines", "any_bytes", "exclude"):
        del kept[name]
    flags.write_text(json.dumps(kept))
    assert measured(capfd)["own_corpus"]  # and its checkpoint does not know it either
    status, again, err = gen("--corpus", "windows.txt", steps=10)
    assert (status, again["resumed_from_step"]) == (0, 5), err
    assert again["corpus_sha256"] == result["corpus_sha256"]
    assert "--newlines keep" in err


def test_a_folder_is_read_without_what_is_no_text(gen, capfd, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT)
    (folder / "b.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (folder / "c.txt").write_text(TEXT, encoding="utf-16")
    (folder / "photo.png").write_bytes(PNG)
    (folder / "paper.pdf").write_bytes(b"%PDF-1.7\n")
    (folder / "page.html").write_text("<html>")
    flags = ["--documents", "none", "--exclude", "*.html"]
    status, _, err = gen("--corpus", "texts", *flags)
    assert status == 0, err
    assert "as they are no text: PDF documents (1), PNG images (1)" in err
    assert "left out of texts: excluded (1)" in err
    # The run remembers what it leaves out, and so does its checkpoint.
    assert measured(capfd)["own_corpus"]
    status, again, err = gen(steps=10)
    assert (status, again["resumed_from_step"]) == (0, 5), err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "expected text, but photo.png is a PNG image; get its text with:"),
        (["--vocab", "bytes"], "whose bytes are packed and tell little; .*--any-bytes"),
        (["--vocab", "bytes", "--newlines", "keep"], "--newlines: expected --vocab ch"),
        (["--any-bytes"], "--any-bytes: expected --vocab bytes with it"),
    ],
)
def test_what_is_no_text_is_one_line(gen, tmp_path, flags, said):
    (tmp_path / "photo.png").write_bytes(PNG)
    status, _, err = gen("--corpus", "photo.png", *flags)
    assert status == 2
    assert re.search(said, err.splitlines()[-1])
    assert "Traceback" not in err


def test_packed_bytes_are_learnt_where_a_flag_says_so(gen, capfd, tmp_path):
    (tmp_path / "photo.png").write_bytes(PNG)
    status, result, err = gen("--corpus", "photo.png", "--vocab=bytes", "--any-bytes")
    assert (status, result["vocabulary"]) == (0, 256), err
    assert measured(capfd)["own_corpus"]


def test_a_prompt_in_a_file_is_read_as_a_text_is(gen, capfd, monkeypatch, tmp_path):
    (tmp_path / "unix.txt").write_text(TEXT)
    assert gen("--corpus", "unix.txt")[0] == 0
    prompt = "the fox\njumps\n"
    (tmp_path / "unix").write_text(prompt)
    (tmp_path / "windows").write_bytes(prompt.replace("\n", "\r\n").encode())
    (tmp_path / "wide").write_text(prompt, encoding="utf-16")
    (tmp_path / "packed").write_bytes(gzip.compress(prompt.encode()))
    written = set()
    for name in ("unix", "windows", "wide", "packed", "-"):
        stdin = SimpleNamespace(buffer=io.BytesIO((tmp_path / "windows").read_bytes()))
        monkeypatch.setattr(sys, "stdin", stdin)
        flags = ["--workdir", "run", "--length", "30", "--prompt-file", name]
        assert sample.main(flags) == 0, capfd.readouterr().err
        written.add(capfd.readouterr().out)
    assert len(written) == 1

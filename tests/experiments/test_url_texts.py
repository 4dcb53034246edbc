"""Texts at URLs, in every script that takes a text."""

import json

import char_gen
import evaluate
import look_inside
import pytest
import sample
import web_server

TEXT = 'if a < b & "c" > d:\n\tsay("hello world, é 😀")\n' * 60
SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "5"]


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("JAXTEXT_CACHE", str(tmp_path / "cache"))
    with web_server.serving() as server:
        server.content, server.etag = TEXT.encode(), '"one"'
        yield server


def test_every_script_reads_a_text_from_the_web(server, tmp_path, capfd, monkeypatch):
    url, here = server.url("text.txt"), tmp_path / "text.txt"
    here.write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert char_gen.main(["--corpus", url, "--val-corpus", url, *SMALL]) == 0
    [run] = tmp_path.glob("runs/*")
    assert json.loads((run / "flags.json").read_text())["corpus"] == [url]
    # The same text from a disk is the same run, with the same default directory.
    capfd.readouterr()
    flags = ["--corpus", str(here), "--val-corpus", str(here), *SMALL]
    assert char_gen.main(flags) == 0
    assert [*tmp_path.glob("runs/*")] == [run]
    # The directory alone knows where the text is.
    assert char_gen.main(["--workdir", str(run)]) == 0
    for main, more in (
        (evaluate.main, []),
        (evaluate.main, ["--corpus", url]),
        (look_inside.main, ["--corpus", url]),
        (sample.main, ["--prompt-file", url, "--length", "5"]),
    ):
        assert main(["--workdir", str(run), *more]) == 0, capfd.readouterr().err
    # All of it was read once. After that, only whether it had changed was asked.
    assert server.requests.count(None) == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("http://127.0.0.1:1/text", "cannot read http://127.0.0.1:1/text (Connection"),
        ("MISSING", "(the server answers 404, Not Found); check the address"),
        ("PAGE", "(the server sends a web page, text/html;"),
        ("ftp://host/text", "expected a path, gs://, s3://, https:// or http://, got"),
    ],
)
def test_a_url_without_a_text_is_one_line(server, capsys, spec, said):
    server.manner = "missing" if spec == "MISSING" else "well"
    server.kind = "text/html" if spec == "PAGE" else "text/plain"
    spec = server.url() if spec.isupper() else spec
    for flags in (["--corpus", spec], ["--val-corpus", spec]):
        assert char_gen.main([*flags, *SMALL]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert said in line

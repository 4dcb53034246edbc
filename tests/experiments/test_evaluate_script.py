"""evaluate.py: the loss of a trained run, by each protocol, and the page."""

import hashlib
import html
import html.parser
import json
import math
import shutil
from pathlib import Path

import char_gen
import evaluate
import jax
import numpy as np
import pytest

from charlm.build import build_model, restore
from evaluation import page as eval_page
from jaxtext.runs import checkpoint
from jaxtext.text import Vocabulary, split
from jaxtext.training import Predicted, surprisals
from jaxtext.training import evaluate as library_evaluate

TEXT = 'if a < b & "c" > d:\n\tsay("hello world, é 😀")\n' * 60
SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "6"]


def train(folder, *args):
    """A run, its text and what char_gen.py reported of it."""
    (folder / "own.txt").write_text(TEXT)
    argv = ["--corpus", folder / "own.txt", "--workdir", folder / "run", *SMALL, *args]
    assert char_gen.main([str(a) for a in argv]) == 0
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return train(tmp_path_factory.mktemp("evaluate"), "--eval-every", "3")


@pytest.fixture
def run(folder, capsys):
    """Evaluates; returns the result."""

    def run(*args, workdir=folder / "run"):
        argv = ["--workdir", workdir, *args]
        status = evaluate.main([str(a) for a in argv])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return json.loads(captured.out.splitlines()[-1])

    return run


@pytest.fixture
def refused(folder, capsys):
    """Evaluates; returns the one line that says why not."""

    def refused(*args, workdir=folder / "run"):
        argv = ["--workdir", workdir, *args]
        assert evaluate.main([str(a) for a in argv]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        assert line.startswith("error: ")
        return line

    return refused


def test_carried_validation_is_what_the_run_reported(folder, run):
    result = run("--corpus", folder / "own.txt")
    reported = json.loads((folder / "run" / "result.json").read_text())
    assert result["nats_per_char"] == reported["val_nats_per_char"]
    assert result["corpus_sha256"] == reported["corpus_sha256"]
    assert result["step"] == reported["best_step"]
    _, text = split(np.array(list(TEXT)), 0.1)
    text = "".join(text)
    assert (result["protocol"], result["part"]) == ("carried", "validation")
    assert result["characters"] == len(text) - 1
    assert result["text_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    nats = result["nats_per_char"]
    assert result["bits_per_char"] == pytest.approx(nats / math.log(2))
    assert result["perplexity"] == pytest.approx(math.exp(nats))
    size = len(text[1:].encode())
    assert size > len(text) - 1
    per_byte = nats * (len(text) - 1) / size
    assert result["nats_per_byte"] == pytest.approx(per_byte)
    assert result["bits_per_byte"] == pytest.approx(per_byte / math.log(2))


def test_cold_windows_are_the_library_s(folder, run):
    page = folder / "cold.html"
    result = run(
        "--corpus", folder / "own.txt", "--protocol", "cold-256", "--part", "all",
        "--page", page,
    )  # fmt: skip
    found = checkpoint.read_about(folder / "run")
    vocabulary = Vocabulary.from_json(found.about["vocabulary"])
    model = build_model(found.about["identity"], len(vocabulary))
    ids = vocabulary.encode(TEXT)
    shapes = jax.eval_shape(
        model.init, jax.random.key(0), model.initial_state((1,)), ids[None].astype(int)
    )
    params = checkpoint.restore_params(folder / "run", shapes["params"]).arrays
    expected = library_evaluate(model, params, ids, window=256)
    assert result["nats_per_char"] == pytest.approx(expected, 1e-6)
    assert (result["protocol"], result["part"]) == ("cold-256", "all")
    assert result["characters"] == len(TEXT) - 1
    written = page.read_text()
    windows, rest = divmod(len(TEXT) - 1, 256)
    for where, count in [("1", windows + 1), ("129–256", 128 * windows + rest - 128)]:
        assert f"<td>{where}</td>" in written
        assert f"<td>{count:,}</td>" in written
    assert written.count(' s" data-t') == windows + 1


def test_dynamic_is_told_apart(folder, run):
    static = run("--corpus", folder / "own.txt", "--page-characters", 0)
    both = run(
        "--corpus", folder / "own.txt", "--dynamic", "--segment", 5,
        "--page-characters", 0,
    )  # fmt: skip
    assert {k: v for k, v in both.items() if "dynamic" not in k} == static
    assert both["dynamic_nats_per_char"] < static["nats_per_char"]
    assert both["dynamic"]["segment"] == 5
    assert {"rate", "decay", "epsilon"} < both["dynamic"].keys()


def test_an_ensemble_predicts_with_the_mean_of_probabilities(
    folder, tmp_path, run, refused
):
    other = train(tmp_path, "--seed", "1")
    train(tmp_path, "--val-fraction", "0.2", "--workdir", str(tmp_path / "less"))
    own = ["--corpus", folder / "own.txt", "--page-characters", 0]
    static = run(*own, "--protocol", "cold-256")
    both = run(*own, "--protocol", "cold-256", "--ensemble", other / "run")
    assert {k: v for k, v in both.items() if "ensemble" not in k} == static
    assert both["ensemble_of"] == 2

    def probabilities(folder):
        about = checkpoint.read_about(folder / "run").about
        model, found = restore(folder / "run", about, warn=pytest.fail)
        text = split(Vocabulary.from_json(about["vocabulary"]).encode(TEXT), 0.1)[1]
        return np.exp(-surprisals(model, found.arrays, text, window=256))

    mean = (probabilities(folder) + probabilities(other)) / 2
    assert both["ensemble_nats_per_char"] == pytest.approx(-np.log(mean).mean(), 1e-6)

    said = refused(*own, "--ensemble", other / "run", tmp_path / "less")
    assert "same part of the same text as --workdir, got" in said


def test_another_text(folder, tmp_path, run, refused):
    other = tmp_path / "other.txt"
    other.write_text("😀 hello\n")
    result = run("--corpus", other)
    assert (result["part"], result["own_corpus"]) == ("all", False)
    assert result["characters"] == 7
    assert result["bytes"] == len(" hello\n")
    assert Path(result["page"]).name == "evaluation-other-carried-all.html"
    assert "no such part" in refused("--corpus", other, "--part", "validation")
    said = refused("--corpus", other, "--dynamic")
    assert "give it as --statistics" in said
    dynamic = ["--corpus", other, "--dynamic", "--statistics"]
    assert "expected the text that the run was trained on" in refused(*dynamic, other)
    result = run(*dynamic, folder / "own.txt", "--page-characters", 0)
    assert result["dynamic_nats_per_char"] > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least 2 symbols, got 0"),
        ("h", "at least 2 symbols, got 1"),
        ("help", "the character 'p' (U+0070) of this text"),
    ],
)
def test_texts_that_cannot_be_evaluated(tmp_path, refused, text, said):
    (tmp_path / "text").write_text(text)
    assert said in refused("--corpus", tmp_path / "text")


def test_bad_flags(folder, tmp_path, refused):
    own = ["--corpus", folder / "own.txt"]
    cold = ["--protocol", "cold-256"]
    assert "expected --protocol carried" in refused(*own, *cold, "--dynamic")
    assert "--statistics: expected --dynamic" in refused("--statistics", "stdlib")
    for flag, value in (("segment", 5), ("rate", 1e-3), ("decay", 0.5)):
        assert f"--{flag}: expected --dynamic" in refused(*own, f"--{flag}", value)
    assert "cannot write the page" in refused(
        *own, "--page", tmp_path / "no" / "x.html"
    )
    assert "cannot write the page" in refused(*own, "--page", tmp_path)
    assert "a whole number of 0 or more" in refused(*own, "--page-characters", -1)
    assert "0, or 2 or more" in refused(*own, "--page-characters", 1)
    page = ["--page", tmp_path / "x.html", "--page-characters", 0]
    assert "--page-characters above 0 with it" in refused(*own, *page)
    assert "a finite number above 0" in refused(*own, "--dynamic", "--rate", -1)
    assert "holds no checkpoint" in refused(*own, workdir=tmp_path / "none")


def test_a_run_knows_where_its_text_is(tmp_path, run, refused):
    """What it validated on, as it was then."""
    folder = train(tmp_path)
    options = {"workdir": folder / "run"}
    shown = ("--page-characters", 0)
    own = run("--corpus", folder / "own.txt", *shown, **options)
    assert run(*shown, **options) == own
    (folder / "own.txt").rename(folder / "moved")
    assert "where it was, " in refused(**options)
    (folder / "own.txt").write_text(TEXT * 2)
    assert "but it has changed" in refused(**options)
    (folder / "run" / "flags.json").unlink()
    assert "expected the text to evaluate on" in refused(**options)


def test_latest_or_best(tmp_path, run, refused):
    folder = train(tmp_path, "--steps", "3")
    best = folder / "run" / "checkpoints" / "best"
    shutil.copytree(best, tmp_path / "early")
    train(tmp_path)
    shutil.rmtree(best)
    args = ["--corpus", folder / "own.txt", "--page-characters", 0]
    options = {"workdir": folder / "run"}
    fallen_back = run(*args, **options)
    shutil.copytree(tmp_path / "early", best)
    early = run(*args, **options)
    late = run(*args, "--checkpoint", "latest", **options)
    assert (early["step"], early["checkpoint"]) == (3, "best")
    assert (late["step"], late["checkpoint"]) == (6, "latest")
    assert late["nats_per_char"] == fallen_back["nats_per_char"]
    assert late["nats_per_char"] != early["nats_per_char"]
    of_step = run(*args, "--checkpoint", "3", **options)
    assert of_step["nats_per_char"] == early["nats_per_char"]
    assert "of step 3, 6" in refused(*args, "--checkpoint", "5", **options)
    shutil.rmtree(folder / "run" / "checkpoints" / "latest")
    said = refused(*args, "--checkpoint", "latest", **options)
    assert "holds no checkpoint" in said


def test_a_run_on_the_beginning_of_a_text_that_kept_nothing(tmp_path, run, refused):
    args = ("--characters", "900", "--val-fraction", "0", "--vocab", "bytes")
    folder = train(tmp_path, *args)
    options = {"workdir": folder / "run"}
    own = ["--corpus", folder / "own.txt"]
    result = run(*own, **options)
    assert (result["own_corpus"], result["part"]) == (True, "all")
    assert (result["characters"], result["bytes"]) == (899, 899)
    assert result["vocab"] == "bytes"
    assert result["bits_per_char"] == result["bits_per_byte"]
    expected = hashlib.sha256(TEXT.encode()[:900]).hexdigest()
    assert result["text_sha256"] == result["corpus_sha256"] == expected
    assert "\\xf0" in Path(result["page"]).read_text()
    assert "kept nothing" in refused(*own, "--part", "validation", **options)
    (tmp_path / "other").write_bytes(b"\xff?" + TEXT.encode())
    result = run("--corpus", tmp_path / "other", **options)
    assert result["characters"] == len(TEXT.encode()) + 1


def test_ctrl_c(folder, monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("evaluation.measure.predict", interrupted)
    argv = ["--workdir", str(folder / "run"), "--corpus", str(folder / "own.txt")]
    assert evaluate.main(argv) == 130
    assert capsys.readouterr().out == ""


class Cells(html.parser.HTMLParser):
    """What a browser would make of the heat map: symbols, hints and shades."""

    def __init__(self, source):
        super().__init__()
        self.shown, self.told, self.shades, self.tags = [], [], [], set()
        self.inside = self.cell = False
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        attrs = dict(attrs)
        self.inside |= attrs.get("class") == "text"
        if self.inside and tag == "b":
            self.cell = True
            self.shown.append("")
            self.told.append(attrs["data-t"])
            self.shades.append(attrs["class"])

    def handle_endtag(self, tag):
        if tag == "b":
            self.cell = False

    def handle_data(self, data):
        if self.cell:
            self.shown[-1] += data


def test_the_page_shows_the_text(folder, run):
    page = folder / "page.html"
    result = run("--corpus", folder / "own.txt", "--part", "all", "--page", page)
    assert result["page"] == str(page)
    source = page.read_text()
    cells = Cells(source)
    seen = TEXT.replace(" ", "·").replace("\t", "→\t").replace("\n", "↵\n")
    assert "".join(cells.shown) == seen
    assert len(cells.shown) == len(TEXT)
    assert "not predicted" in cells.told[0]
    assert cells.told[5].startswith("“<”: ")
    assert cells.told[11].startswith('“"”: ')
    assert "nats" in cells.told[5]
    assert cells.told[5].count("%") == 3
    for character in '<&"':
        assert f">{html.escape(character)}</b>" in source
    assert "script" not in cells.tags
    assert "http" not in source
    assert f"{result['nats_per_char']:.4f} nats" in source


def test_the_page_says_how_much_it_shows(folder, run):
    page = folder / "short.html"
    args = ["--corpus", folder / "own.txt", "--part", "all", "--page", page]
    run(*args, "--page-characters", 100)
    assert f"The first 100 of {len(TEXT):,}" in page.read_text()
    assert len(Cells(page.read_text()).shown) == 100
    page.unlink()
    assert "page" not in run(*args[:-2], "--page-characters", 0)
    assert not page.exists()


def test_what_cannot_be_seen_is_named():
    text = "\u0301\r\u200b\u202e😀"
    vocabulary = Vocabulary("chars", "".join(sorted(set(text))))
    n, k = len(text) - 1, 1
    said = Predicted(
        np.array([0.0, 0.6, 99.0, 7.0], np.float32),
        np.zeros((n, k), int),
        np.ones((n, k)),
    )
    cells = Cells(
        '<div class="text">'
        + eval_page.heat_map(vocabulary, vocabulary.encode(text), [said], 2)
    )
    assert cells.shown == ["◌\u0301", "␍", "U+200B", "U+202E", "😀"]
    assert cells.shades == ["", "c0 s", "c1", "c14 s", "c14"]
    assert cells.told[1].startswith("carriage return: 0.00 nats")
    assert cells.told[3].endswith("likeliest carriage return 100.0%")

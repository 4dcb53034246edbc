"""Runs of char_gen.py on documents: told, divided, killed, gone on, and measured."""

import dataclasses
import json
import os
import random
import subprocess
import sys
import time

import char_gen
import evaluate
import numpy as np
import pytest

from charlm.identity import identity
from charlm.parse import parse

SMALL = ["--hidden", 8, "--sample-every", 0, "--batch-size", 8, "--seq-len", 8]
SMALL += ["--schedule=constant", "--warmup-steps=0"]


@pytest.fixture
def call(capfd):
    """Runs a script that ends well: its result, and standard error."""

    def call(script, *args, status=0):
        found = script.main([str(a) for a in args])
        out, err = capfd.readouterr()
        assert found == status, err
        return (json.loads(out) if out else None), err

    return call


@pytest.fixture
def names(tmp_path):
    """A list of 400 names, in alphabetical order."""
    rng = random.Random(0)
    letters = "abcdefghij"
    found = {"".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(400)}
    path = tmp_path / "names.txt"
    path.write_text("".join(f"{name}\n" for name in sorted(found)))
    return path


def folder(path, texts):
    path.mkdir()
    for n, text in enumerate(texts):
        (path / f"{n}.txt").write_text(text)
    return path


POEMS = [f"roses are red, violet {n} is blue\n" * 9 for n in range(6)]


def test_what_was_taken_for_a_document_is_told_before_training(
    call, names, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    listed = names.read_text().split()
    corpus = ["--corpus", names, "--documents", "lines", "--steps", 2]
    result, err = call(char_gen, *corpus, *SMALL)
    lengths = sorted(map(len, listed))
    assert (
        f"{len(listed)} documents (lines), of {lengths[0]} to {lengths[-1]} "
        f"characters, {lengths[(len(lengths) - 1) // 2]} in the median; the first: "
        f"'{listed[0]}'\n" in err
    )
    assert result["documents"] == "lines"
    assert "nats per symbol" in err
    kept = json.loads((tmp_path / result["workdir"] / "config.json").read_text())
    assert (kept["documents"], kept["val_split"]) == ("lines", "documents")


def test_a_run_on_documents_that_is_stopped_ends_as_if_it_had_not(
    call, names, tmp_path
):
    """Over several epochs, each of which has an order of its own."""
    command = ["--corpus", names, "--documents", "lines", *SMALL, "--workdir"]
    whole, _ = call(char_gen, *command, tmp_path / "whole", "--steps", 90)
    assert whole["epochs"] > 2
    for steps in (20, 61, 90):
        # The second time, the directory knows what a document is.
        given = command[:-1] if steps == 20 else SMALL
        parts, _ = call(
            char_gen, *given, "--workdir", tmp_path / "parts", "--steps", steps
        )
    assert parts["resumed_from_step"] == 61
    assert parts["parameters_sha256"] == whole["parameters_sha256"]
    other = [*command, tmp_path / "other", "--document-order", "as-is"]
    as_they_are, _ = call(char_gen, *other, "--steps", 90)
    assert as_they_are["parameters_sha256"] != whole["parameters_sha256"]


def test_the_order_of_a_list_decides_nothing_about_its_validation(
    call, names, tmp_path
):
    mixed = tmp_path / "mixed.txt"
    listed = names.read_text().split()
    random.Random(1).shuffle(listed)
    mixed.write_text("\n".join(listed))
    kept = []
    for corpus in (names, mixed):
        workdir = tmp_path / corpus.stem
        of = ["--corpus", corpus, "--documents", "lines", "--workdir", workdir]
        call(char_gen, *of, *SMALL, "--steps", 1)
        kept.append(call(evaluate, "--workdir", workdir, "--page-characters", 0)[0])
    for of in ("documents", "characters"):
        assert kept[0][of] == kept[1][of]
    assert 10 < kept[0]["documents"] < 100


def test_a_run_on_a_folder_from_before_goes_on_as_one_text(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = ["--corpus", folder(tmp_path / "poems", POEMS), *SMALL]
    # As then: the identity has nothing about documents, nor have the flags.
    old, _ = call(char_gen, *corpus, "--documents", "none", "--steps", 2)
    workdir = tmp_path / old["workdir"]
    known = json.loads((workdir / "config.json").read_text())
    assert not known.keys() & {"documents", "field", "document_order", "val_split"}
    flags = json.loads((workdir / "flags.json").read_text())
    for name in ("documents", "field", "document_order", "val_split"):
        del flags[name]
    (workdir / "flags.json").write_text(json.dumps(flags))
    # By the same command, and by the name of its directory.
    found, err = call(char_gen, *corpus, "--steps", 3)
    assert "began as one text, and goes on" in err
    assert (found["workdir"], found["resumed_from_step"]) == (old["workdir"], 2)
    found, _ = call(char_gen, "--workdir", workdir, "--steps", 4)
    assert found["resumed_from_step"] == 3
    assert "documents" not in found
    # Another run is on documents.
    new, err = call(char_gen, *corpus, "--steps", 2, "--seed", 1)
    assert "6 documents (files)" in err
    assert (new["documents"], new["resumed_from_step"]) == ("files", 0)
    assert new["corpus_sha256"] != old["corpus_sha256"]


def test_one_text_is_the_run_that_it_was(tmp_path, monkeypatch):
    """The flags about documents are no part of it."""
    monkeypatch.chdir(tmp_path)
    before = identity(parse([]), "text")
    assert "documents" not in before
    assert identity(parse(["--documents", "none"]), "text") == before
    config = dataclasses.replace(parse([]), documents="lines", val_split="end")
    changed = identity(config, "text")
    assert changed.keys() - before.keys() == {
        *("documents", "field", "document_order", "val_split")
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("".join(f"name{n}\n" for n in range(300)), "add --documents lines\n"),
        (
            "".join(json.dumps({"id": n, "text": "hi"}) + "\n" for n in range(99)),
            "the fields id, text; to learn where each ends, add --documents jsonl "
            "--field NAME\n",
        ),
        ("id,name\n" + "".join(f"{n},anna\n" for n in range(99)), "--documents csv"),
    ],
)
def test_a_text_that_looks_like_documents_is_told_so(call, tmp_path, text, told):
    (tmp_path / "text").write_text(text)
    of = ["--corpus", tmp_path / "text", *SMALL, "--workdir", tmp_path / "run"]
    _, err = call(char_gen, *of, "--steps", 1)
    assert told in err
    # Who has said what a document is need not be told.
    of[-1] = tmp_path / "other"
    _, err = call(char_gen, *of, "--steps", 1, "--documents", "none")
    assert told not in err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--documents", "lines", "--stride", 3], "expected streams"),
        (["--documents", "lines", "--vocab", "bytes"], "expected --vocab chars"),
        (["--documents", "csv"], "--field NAME, the column"),
        (["--documents", "lines", "--field", "x"], "expected --documents jsonl or csv"),
        (["--field", "x"], "got none of them"),
        (
            ["--documents", "none", "--document-order", "as-is"],
            "expected --documents other than none",
        ),
        (["--document-order", "as-is"], "names is one text; leave it out"),
        (["--documents", "none", "--val-split", "documents"], "other than none"),
        (["--val-split", "documents"], "names is one text; say what a document is"),
        (
            ["--documents", "lines", "--val-split", "end", "--val-corpus", "stdlib"],
            "--val-split: expected no --val-corpus",
        ),
        (
            ["--documents", "files", "--val-split", "documents"],
            "keeps none of 1 documents for validation",
        ),
        (
            ["--documents", "files", "--val-split", "end"],
            "keeps none of 1 documents for validation",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(call, names, tmp_path, flags, told):
    workdir = tmp_path / "run"
    of = ["--corpus", names, "--workdir", workdir, *SMALL, "--steps", 1, *flags]
    _, err = call(char_gen, *of, status=2)
    *_, last = err.splitlines()
    assert last.startswith("error: ")
    assert told in last
    assert not workdir.exists()


def test_a_text_to_validate_on_is_divided_as_the_corpus_is(call, names, tmp_path):
    listed = names.read_text().split()
    rows = [tmp_path / f"{part}.jsonl" for part in ("train", "val")]
    for path, part in zip(rows, (listed[40:], listed[:40]), strict=True):
        path.write_text("\n".join(json.dumps({"name": x, "n": 1}) for x in part))
    of = ["--corpus", rows[0], "--val-corpus", rows[1], "--workdir", tmp_path / "run"]
    of += ["--documents", "jsonl", "--field", "name"]
    call(char_gen, *of, *SMALL, "--steps", 1)
    page = ["--page-characters", 0]
    found, err = call(evaluate, "--workdir", tmp_path / "run", *page)
    assert found["documents"] == 40
    assert found["characters"] == sum(map(len, listed[:40]))
    assert found["protocol"] == "carried-documents"
    assert "of 40 documents predicted" in err
    # Any other text too; a list of lines is no JSON lines.
    found, _ = call(evaluate, "--workdir", tmp_path / "run", "--corpus", rows[0], *page)
    assert found["documents"] == len(listed) - 40
    of = ["--workdir", tmp_path / "run", "--corpus", names, *page]
    _, err = call(evaluate, *of, status=2)
    assert "expected JSON in each line, but line 1 of" in err


def test_losses_with_and_without_the_ends(call, names, tmp_path):
    of = ["--corpus", names, "--documents", "lines", "--workdir", tmp_path / "run"]
    call(char_gen, *of, *SMALL, "--steps", 3)
    found, err = call(evaluate, "--workdir", tmp_path / "run", "--dynamic")
    documents, characters = found["documents"], found["characters"]
    whole = found["nats_per_symbol"] * (documents + characters)
    assert found["nats_per_document"] == pytest.approx(whole / documents)
    of_ends = whole - found["nats_per_char"] * characters
    assert 0 < of_ends < whole
    assert found["bytes"] == characters
    assert found["bits_per_char"] == pytest.approx(found["nats_per_char"] / np.log(2))
    assert found["dynamic_nats_per_symbol"] == pytest.approx(
        found["nats_per_symbol"], abs=0.2
    )
    assert f"{found['nats_per_symbol']:.4f} nats per symbol" in err
    page = (tmp_path / "run").glob("evaluation-*.html")
    assert "end of the document" in next(page).read_text()


@pytest.mark.parametrize(
    ("devices", "kills"),
    [
        (1, 1),
        pytest.param(8, 3, marks=pytest.mark.exhaustive),
    ],
)
def test_a_run_on_documents_that_is_killed_ends_as_if_it_had_not(
    names, tmp_path, devices, kills
):
    """Killed outright, at moments that nothing in it has chosen."""
    command = [sys.executable, char_gen.__file__, "--corpus", names, *SMALL]
    command += ["--documents", "lines", "--eval-every", 1000, "--save-minutes", 0.003]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)}

    def run(workdir, steps, kill=False):
        words = [*command, "--workdir", tmp_path / workdir, "--steps", steps]
        with subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        ) as process:
            if kill:
                before = saved(workdir)
                while saved(workdir) <= before and process.poll() is None:
                    time.sleep(0.01)
                process.kill()
            out = process.communicate()[0]
        return None if kill else json.loads(out)

    def saved(workdir):
        latest = tmp_path / workdir / "checkpoints" / "latest"
        steps = [int(p.name) for p in latest.glob("*") if p.name.isdigit()]
        return max(steps, default=0)  # that of the beginning is no progress

    steps = 400 * kills
    whole = run("whole", steps)
    for _ in range(kills):
        run("killed", steps, kill=True)
    killed = run("killed", steps)
    assert killed["resumed_from_step"] > 0
    assert whole["epochs"] > 5
    assert killed["parameters_sha256"] == whole["parameters_sha256"]
    assert killed["val_nats_per_char"] == whole["val_nats_per_char"]


def test_a_text_that_is_nearly_all_validated_on_is_refused(call, tmp_path):
    (tmp_path / "a.txt").write_text("short\n" * 30)
    (tmp_path / "b.txt").write_text("a long text of many lines\n" * 400)
    both = [tmp_path / "a.txt", tmp_path / "b.txt"]
    flags = ["--corpus", *both, "--workdir", tmp_path / "run", *SMALL, "--steps", 1]
    _, err = call(char_gen, *flags, status=2)
    assert "keeps 98% of the text for validation" in err.splitlines()[-1]
    _, err = call(char_gen, *flags, "--documents", "none")

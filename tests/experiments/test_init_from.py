"""A run that starts from the parameters of another one (``--init-from``)."""

import contextlib
import io
import json
import os
import re
import shutil
import signal

import char_gen
import pytest
import sample

from jaxtext.runs.checkpoint import read_about
from jaxtext.runs.log import read_metrics

FOX = "the quick brown fox jumps over the lazy dog. (what a day!)\n"
HEN = "das flinke Huhn läuft über den Hof, und der Hund schläft\n"
SMALL = [
    *("--batch-size", 8, "--seq-len", 8, "--sample-every", 0, "--eval-every", 10),
    *("--hidden", 8),
]
NEW = SMALL[:-2]  # without what the origin says


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "fox.txt").write_text(FOX * 60)
    (folder / "hen.txt").write_text(HEN * 60)
    return folder


def gen(*args):
    """Runs the script; returns its status, its result and what it said."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as said,
    ):
        status = char_gen.main([str(x) for x in args])
    result = json.loads(out.getvalue() or "null")
    return status, result, said.getvalue()


@pytest.fixture(scope="module")
def origin(texts, tmp_path_factory):
    """A run, and its result."""
    workdir = tmp_path_factory.mktemp("origin") / "run"
    command = ["--corpus", texts / "fox.txt", "--workdir", workdir, *SMALL]
    status, result, said = gen(*command, "--steps", 20)
    assert status == 0, said
    return workdir, result


def first_validation(workdir):
    record = read_metrics(workdir / "metrics.jsonl")[0]
    assert record["step"] == 0
    return record["val_nats_per_char"]


FORMS = {
    "layers": (["--layers", 2, "--dropout", 0.3], ["--dropout", 0]),
    "tied": (["--tied", "--frequent", 9], ["--dropout-input", 0.2]),
    "average": (
        ["--average-decay", 0.9, "--layer-norm", "--weight-drop", 0.3],
        ["--dropout-hidden", 0.1],
    ),
    "bytes": (
        ["--vocab", "bytes", "--embedding", 6, "--cell", "gru", "--zoneout", 0.1],
        ["--weight-drop", 0.1],
    ),
    "rows": (["--cell", "rnn", "--frequent", 9], ["--average-decay", 0.9]),
}


@pytest.mark.everyday(name=("layers", "tied", "average"))
@pytest.mark.parametrize("name", FORMS)
def test_before_its_first_step_it_is_the_origin(name, texts, tmp_path):
    of_origin, of_new = FORMS[name]
    text = ["--corpus", texts / "fox.txt"]
    workdir = tmp_path / "origin"
    status, result, said = gen(
        *text, *SMALL, "--workdir", workdir, "--steps", 9, *of_origin
    )
    assert status == 0, said
    start = [*text, *NEW, "--init-from", workdir, "--seed", 5, "--steps", 1]
    new, other = tmp_path / "new", tmp_path / "other"
    status, _, said = gen(*start, "--workdir", new)
    assert status == 0, said
    assert first_validation(new) == result["val_nats_per_char"]
    assert f"{result['vocabulary']} symbols, none new" in said
    if "--average-decay" not in of_origin:  # the best parameters are the last ones
        kept = json.loads((new / "config.json").read_text())["init_from"]
        assert kept["parameters_sha256"] == result["parameters_sha256"]
    # With other noise it is another program, which rounds in other places.
    status, _, said = gen(*start, "--workdir", other, *of_new)
    assert status == 0, said
    expected = pytest.approx(result["val_nats_per_char"], rel=1e-6)
    assert first_validation(other) == expected


def test_the_symbols_of_both_texts_are_known(origin, texts, tmp_path, capfdbinary):
    workdir, _ = origin
    new = tmp_path / "new"
    status, result, said = gen(
        *("--corpus", texts / "hen.txt", *NEW, "--steps", 20),
        *("--workdir", new, "--init-from", workdir),
    )
    assert status == 0, said
    known, more = set(FOX), sorted(set(HEN) - set(FOX))
    assert f": {len(known)} symbols, and {len(more)} new ones, which start" in said
    assert all(f"{x!r} (U+{ord(x):04X})" in said for x in more)
    assert result["vocabulary"] == len(known) + len(more)
    found = read_about(new).about["vocabulary"]["characters"]
    assert found == "".join(sorted(known | set(more)))
    argv = ["--workdir", str(new), "--prompt", "(ä!", "--length", "5"]
    assert sample.main(argv) == 0
    assert len(capfdbinary.readouterr().out.decode()) == 5


def test_frequent_symbols_stay_the_same_ones(texts, tmp_path):
    common = [*NEW, "--steps", 1, "--workdir"]
    workdir, new = tmp_path / "origin", tmp_path / "new"
    counts = "--hidden", 8, "--frequent", 5
    assert gen("--corpus", texts / "fox.txt", *common, workdir, *counts)[0] == 0
    text = "--corpus", texts / "hen.txt"
    assert gen(*text, *common, new, "--init-from", workdir)[0] == 0

    def symbols(workdir):
        about = read_about(workdir).about
        characters = about["vocabulary"]["characters"]
        return [characters[x] for x in about["model"]["frequent"]]

    assert symbols(new) == symbols(workdir)
    assert len(symbols(new)) == 5


@pytest.mark.everyday(at=(3,))
@pytest.mark.parametrize("at", [1, 3, 12, 19])
def test_it_goes_on_without_the_origin_to_the_same_bits(at, origin, texts, tmp_path):
    workdir = shutil.copytree(origin[0], tmp_path / "origin")
    command = ["--corpus", texts / "hen.txt", *NEW, "--steps", 20, "--average-decay"]
    command += [0.9, "--init-from", workdir, "--workdir"]
    _, whole, _ = gen(*command, tmp_path / "whole")

    run_steps = char_gen.run_steps

    def interrupted(*args):
        for progress in run_steps(*args):
            if progress.step == at:
                os.kill(os.getpid(), signal.SIGINT)
            yield progress

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(char_gen, "run_steps", interrupted)
        assert gen(*command, tmp_path / "parts")[0] == 130
    shutil.rmtree(workdir)
    # By its directory alone, or by the same command.
    again = command if at == 3 else ["--steps", 20, "--workdir"]
    status, parts, said = gen(*again, tmp_path / "parts")
    assert status == 0, said
    assert ("holds no run any more" in said) == (at == 3)
    assert parts["resumed_from_step"] == at
    assert parts["parameters_sha256"] == whole["parameters_sha256"]
    records = [read_metrics(tmp_path / x / "metrics.jsonl") for x in ("whole", "parts")]
    steps = [[r["step"] for r in found] for found in records]
    assert steps[0] == steps[1]


def test_another_origin_is_refused(origin, texts, tmp_path):
    workdir, result = origin
    new, text = tmp_path / "new", ["--corpus", texts / "fox.txt", *NEW]
    command = [*text, "--workdir", new, "--steps", 3, "--init-from"]
    assert gen(*command, workdir)[0] == 0
    status, _, said = gen(*command, new)
    assert status == 2
    digests = re.findall("[0-9a-f]{64}", said)
    assert digests[0] == result["parameters_sha256"] != digests[1]
    # The same command continues, and the origin may have another name.
    moved = shutil.copytree(workdir, tmp_path / "moved")
    status, again, _ = gen(*command, moved, "--steps", 4)
    assert (status, again["resumed_from_step"]) == (0, 3)


def test_one_that_has_saved_nothing_needs_its_origin_again(origin, texts, tmp_path):
    workdir, _ = origin
    new = tmp_path / "new"
    command = ["--corpus", texts / "fox.txt", *NEW, "--workdir", new, "--steps", 3]
    assert gen(*command, "--init-from", workdir)[0] == 0
    shutil.rmtree(new / "checkpoints")
    (new / "result.json").unlink()
    status, _, said = gen("--workdir", new)
    assert status == 2
    assert "give that run as --init-from again" in said
    assert gen("--workdir", new, "--init-from", workdir)[0] == 0


def test_a_new_run_is_named_by_what_it_starts_from(
    origin, texts, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command = ["--corpus", texts / "fox.txt", *NEW, "--steps", 2, "--seed", 3]
    named = [
        gen(*command, *more)[1]["workdir"]
        for more in (["--hidden", 8], ["--init-from", origin[0]])
    ]
    assert named[0] != named[1]
    assert gen(*command, "--init-from", origin[0])[1]["workdir"] == named[1]

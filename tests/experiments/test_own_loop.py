"""Runs of the scripts and of your own loop: each restores what the other saved."""

import evaluate
import jax
import numpy as np
import optax
import pytest
import sample
import talk
from test_sample import TEXT, train, write

import jaxtext as jt
from jaxtext.runs.checkpoint import Checkpoints, describe, read_about, restore_model
from jaxtext.text import Vocabulary

WRITTEN = ["--length", 40, "--temperature", 1]


def writes(found, length):
    """What `sample.py` writes at temperature 1, with public functions."""
    prompt = found.vocabulary.encode("\n")[None]
    pieces = jt.generation.generate(
        found.model, found.params, prompt, length, key=jax.random.key(0)
    )
    return found.vocabulary.decode(np.concatenate(list(pieces), axis=1)[0])


def test_scripts_and_library_restore_each_other(tmp_path, capfdbinary):
    run = train(tmp_path, TEXT.encode(), "--frequent", "5", "--dropout", "0.1")
    found = restore_model(run)
    assert found.vocabulary == Vocabulary("chars", "".join(sorted(set(TEXT))))
    capfdbinary.readouterr()
    status, out, _ = write(capfdbinary, "--workdir", run, *WRITTEN)
    assert (status, out) == (0, writes(found, 40))

    # With an activation that no flag gives.
    cell = jt.rnn(8, activation=jax.nn.relu)
    model = jt.LanguageModel(cell, len(found.vocabulary))
    state = jt.training.create_state(model, optax.sgd(0.1), jax.random.key(3), 2)
    checkpoints = Checkpoints(tmp_path / "own")
    checkpoints.save_latest(state, describe(model, found.vocabulary))
    checkpoints.finish()
    own = restore_model(tmp_path / "own")
    status, out, err = write(capfdbinary, "--workdir", tmp_path / "own", *WRITTEN)
    assert (status, out) == (0, writes(own, 40))
    assert "note: from the checkpoint of step 0, of which no loss is known" in err


def test_a_run_that_does_not_describe_its_model(tmp_path, capfdbinary, monkeypatch):
    """As those were saved before `describe` was there."""

    def as_before(model, vocabulary):
        return {"vocabulary": vocabulary.to_json(), "frequent": list(model.frequent)}

    new = train(tmp_path, TEXT.encode(), "--frequent", "5", "--dropout", "0.1")
    monkeypatch.setattr("charlm.run.describe", as_before)
    (tmp_path / "old").mkdir()
    old = train(tmp_path / "old", TEXT.encode(), "--frequent", "5", "--dropout", "0.1")
    assert "model" not in read_about(old).about
    capfdbinary.readouterr()
    texts = [write(capfdbinary, "--workdir", x, *WRITTEN)[1] for x in (old, new)]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 40


@pytest.mark.parametrize(
    ("script", "vocabulary", "said"),
    [
        (sample, None, "does not say what its symbols are; save it with"),
        (talk, None, "does not say what its symbols are; save it with"),
        (evaluate, Vocabulary("chars", "abcde"), "expected a run of char_gen.py"),
    ],
)
def test_what_a_script_cannot_read_is_told_in_a_line(
    script, vocabulary, said, tmp_path, capfd
):
    model = jt.LanguageModel(jt.gru(4), 5)
    state = jt.training.create_state(model, optax.sgd(0.1), jax.random.key(3), 2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(state, describe(model, vocabulary))
    checkpoints.finish()
    assert script.main(["--workdir", str(tmp_path)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1

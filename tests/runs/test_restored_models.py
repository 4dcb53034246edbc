"""Models that a checkpoint describes, and those that it cannot."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.runs.checkpoint import (
    Checkpoints,
    describe,
    restore_model,
    restore_params,
)
from jaxtext.text import Vocabulary

VOCABULARY = Vocabulary("chars", "abc😀")
LAYERS = jt.stack(jt.gru(6, dtype="bfloat16"), jt.dropout(0.5), jt.rnn(5))
MODEL = jt.LanguageModel(LAYERS, 4, embedding=3, frequent=(2, 0))


def state_of(model, seed=0):
    return jt.training.create_state(model, optax.sgd(1.0), jax.random.key(seed), 2)


def save(workdir, model, about):
    checkpoints, state = Checkpoints(workdir), state_of(model)
    checkpoints.save_latest(state._replace(step=jnp.int32(7)), about)
    checkpoints.save_best(5, state_of(model, seed=1).params, about)
    checkpoints.finish()
    return state.params


def same(a, b):
    leaves = zip(*map(jax.tree.leaves, (a, b)), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in leaves)


def test_a_directory_is_all_that_a_model_is_restored_from(tmp_path):
    params = save(tmp_path, MODEL, describe(MODEL, VOCABULARY) | {"note": "é"})
    best, latest = (restore_model(tmp_path, which=x) for x in ("best", "latest"))
    for found in (best, latest):
        assert (found.model, found.vocabulary) == (MODEL, VOCABULARY)
        assert found.about["note"] == "é"
    assert (best.step, latest.step) == (5, 7)
    assert same(latest.params, params)
    assert same(best.params, state_of(MODEL, seed=1).params)
    assert not same(best.params, latest.params)


def test_a_model_of_your_own_is_given(tmp_path):
    own = jt.LanguageModel(jt.rnn(4, activation=lambda x: x / 2), 4)
    with pytest.raises(InputError, match="made of jaxtext's constructors"):
        describe(own, VOCABULARY)
    save(tmp_path, own, {"vocabulary": VOCABULARY.to_json()})
    with pytest.raises(InputError, match="does not describe it, got none; give it"):
        restore_model(tmp_path)
    found = restore_model(tmp_path, own)
    assert (found.model, found.vocabulary) == (own, VOCABULARY)
    assert same(found.params, restore_params(tmp_path, found.params).arrays)


def test_a_model_that_does_not_fit_is_refused(tmp_path):
    save(tmp_path, MODEL, describe(MODEL))
    for other in (MODEL.clone(embedding=2), jt.LanguageModel(jt.gru(6), 4)):
        with pytest.raises(InputError, match=r"of another run: .* was saved with"):
            restore_model(tmp_path, other)
    with pytest.raises(InputError, match=r"expected one of 4 symbols.* got 3"):
        describe(MODEL, Vocabulary("chars", "abc"))


@pytest.mark.parametrize("said", [None, "abc😀", {"size": 4}])
def test_a_vocabulary_that_is_not_ours_is_left_alone(said, tmp_path):
    about = describe(MODEL) | ({} if said is None else {"vocabulary": said})
    save(tmp_path, MODEL, about)
    assert restore_model(tmp_path).vocabulary is None

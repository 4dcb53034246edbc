"""A trained model with more symbols computes of the old ones what it did before."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import create_state, extend_vocabulary, predicting

V, W = 7, 10
NEW_IDS = np.array([8, 0, 3, 9, 5, 2, 6])  # of the old symbols; 1, 4 and 7 are new
TEXT = np.random.default_rng(0).integers(V, size=(2, 12))
CELL = jt.stack(jt.layer_norm_lstm(8), jt.dropout(0.1), jt.gru(6))
MODELS = {
    "one-hot": jt.LanguageModel(CELL, V),
    "bidirectional": jt.LanguageModel(jt.bidirectional(jt.rnn(4)), V),
    "mogrifier": jt.LanguageModel(jt.mogrifier(jt.lstm(5), 4), V),
    "embedding": jt.LanguageModel(CELL, V, embedding=5),
    "tied": jt.LanguageModel(CELL, V, tied=True),
    "frequent": jt.LanguageModel(CELL, V, frequent=(4, 1, 6)),
    "frequent, tied": jt.LanguageModel(CELL, V, tied=True, frequent=(4, 1, 6)),
}


def parameters(model, seed=1):
    """Parameters of which none is zero, as after training."""
    params = model.init(jax.random.key(0), None, [[0]])["params"]
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return structure.unflatten(
        leaf + 0.3 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    )


def log_probabilities(model, params, ids):
    _, logits = model.apply({"params": params}, None, ids)
    return np.asarray(jax.nn.log_softmax(logits))


@pytest.mark.parametrize("name", MODELS)
def test_without_new_symbols_it_is_the_same_function_by_other_ids(name):
    model, params = MODELS[name], parameters(MODELS[name])
    order = np.random.default_rng(1).permutation(V)
    key = jax.random.key(2)
    moved, other = extend_vocabulary(model, params, order, V, key=key)
    np.testing.assert_allclose(
        log_probabilities(moved, other, order[TEXT])[..., order],
        log_probabilities(model, params, TEXT),
        atol=1e-6,
    )
    same, equal = extend_vocabulary(model, params, np.arange(V), V, key=key)
    assert same == model
    jax.tree.map(np.testing.assert_array_equal, equal, params)


@pytest.mark.parametrize("name", MODELS)
def test_old_symbols_keep_their_ratios_among_new_ones(name):
    model, params = MODELS[name], parameters(MODELS[name])
    larger, more = extend_vocabulary(model, params, NEW_IDS, W, key=jax.random.key(2))
    before = log_probabilities(model, params, TEXT)
    after = log_probabilities(larger, more, NEW_IDS[TEXT])
    np.testing.assert_allclose(np.exp(after).sum(-1), 1, atol=1e-5)
    change = after[..., NEW_IDS] - before
    frequent = list(model.frequent)
    if frequent:  # new symbols are rare ones, and share what the rare ones had
        np.testing.assert_allclose(change[..., frequent], 0, atol=1e-6)
        change = np.delete(change, frequent, axis=-1)
    assert (change < 0).all()  # the new ones have a share
    np.testing.assert_allclose(change - change[..., :1], 0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_new_symbols_start_as_in_a_new_model(name):
    model, params = MODELS[name], parameters(MODELS[name])
    key = jax.random.key(2)
    larger, more = extend_vocabulary(model, params, NEW_IDS, W, key=key)
    fresh = jax.jit(lambda: larger.init(key, None, [[0]])["params"])()
    assert jax.tree.map(jnp.shape, more) == jax.tree.map(jnp.shape, fresh)
    changed = jax.tree.map(lambda x, start: int((x != start).sum()), more, fresh)
    assert changed == jax.tree.map(jnp.size, params)  # the rest is as it was there


def test_parameters_keep_their_types():
    model = MODELS["embedding"]
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), parameters(model))
    _, more = extend_vocabulary(model, params, NEW_IDS, W, key=jax.random.key(2))
    assert {x.dtype for x in jax.tree.leaves(more)} == {np.dtype(jnp.bfloat16)}


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([0, 1, 2, 3, 4, 5], r"integer for each of the 7 symbols.*int64\[6\]"),
        ([0, 1, 2, 3, 4, 5, 6.0], r"integer for each of the 7 symbols.*float64\[7\]"),
        ([0, 1, 2, 3, 4, 5, 5], "7 distinct integers of 0 to 9, got 6 of 0 to 5"),
        ([0, 1, 2, 3, 4, 5, 10], "7 distinct integers of 0 to 9, got 7 of 0 to 10"),
        ([0, 1, 2, 3, 4, 5, -1], "7 distinct integers of 0 to 9, got 7 of -1 to 5"),
    ],
)
def test_ids_that_are_none_are_refused(ids, said):
    model = MODELS["embedding"]
    params = parameters(model)
    with pytest.raises(InputError, match=said):
        extend_vocabulary(model, params, ids, W, key=jax.random.key(0))


def test_parameters_of_another_model_are_refused():
    params = parameters(MODELS["embedding"])
    with pytest.raises(InputError, match="params: expected"):
        extend_vocabulary(MODELS["tied"], params, NEW_IDS, W, key=jax.random.key(0))


def test_a_state_begins_from_given_parameters():
    model, optimizer, key = MODELS["tied"], optax.adam(0.1), jax.random.key(3)
    params = parameters(model)
    new = create_state(model, optimizer, key, 2, average=True)
    given = create_state(model, optimizer, key, 2, params=params, average=True)
    jax.tree.map(np.testing.assert_array_equal, given.params, params)
    jax.tree.map(np.testing.assert_array_equal, predicting(given), params)
    assert jnp.array_equal(jax.random.key_data(given.key), jax.random.key_data(new.key))
    with pytest.raises(InputError, match=r"params\['bias'\]: expected shape"):
        create_state(model.clone(vocab_size=9), optimizer, key, 2, params=params)

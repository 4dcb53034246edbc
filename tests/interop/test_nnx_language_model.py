"""The language model in nnx against the linen module that it is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx, traverse_util

import jaxtext as jt
from jaxtext.interop import NNXLanguageModel
from jaxtext.training import create_state

V = 7
CELL = jt.stack(jt.lstm(6), jt.dropout(0.5), jt.gru(5))
IDS = jnp.array([[3, 1, 4, 1, 5], [2, 6, 5, 3, 5]])
OPTIONS = {"one-hot": {}, "embedding": {"embedding": 4}, "tied": {"tied": True}}


def pair(**options):
    """The linen module with its parameters, and the module of nnx with the same."""
    linen = jt.LanguageModel(CELL, V, **options)
    params = linen.init(jax.random.key(1), None, IDS)["params"]
    module = NNXLanguageModel(linen, rngs=nnx.Rngs(0))
    nnx.update(module, params)
    return linen, params, module


def assert_same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", OPTIONS)
def test_parameters_are_those_of_linen_by_path(name):
    linen, params, module = pair(**OPTIONS[name])
    assert_same_bits(module.parameters(), params)
    paths = dict(nnx.to_flat_state(nnx.state(module, nnx.Param)))
    assert paths.keys() == traverse_util.flatten_dict(params).keys()
    fresh = NNXLanguageModel(linen, rngs=nnx.Rngs(params=3))
    key = nnx.Rngs(params=3).params()
    assert_same_bits(fresh.parameters(), linen.init(key, None, IDS)["params"])


@pytest.mark.parametrize("name", OPTIONS)
def test_numbers_are_those_of_linen(name):
    linen, params, module = pair(**OPTIONS[name])
    start, variables = linen.initial_state((2,)), {"params": params}
    options = {
        "lengths": jnp.array([3, 5]),
        "resets": jnp.array([[0, 1, 0, 0, 0], [0, 0, 0, 1, 0]], bool),
        "streams": jnp.array([4, 2]),
        "last": 2,
    }
    noise = {"rngs": {"dropout": nnx.Rngs(dropout=2).dropout()}}
    assert_same_bits(module.initial_state((2,)), start)
    assert_same_bits(module(start, IDS), linen.apply(variables, start, IDS))
    assert_same_bits(
        module(start, IDS, rngs=nnx.Rngs(dropout=2), **options),
        linen.apply(variables, start, IDS, **options, **noise),
    )
    assert_same_bits(
        module.step(start, IDS[:, 0]),
        linen.apply(variables, start, IDS[:, 0], method="step"),
    )


def test_noise_changes_with_each_call():
    _, _, module = pair()
    rngs = nnx.Rngs(dropout=2)
    first, second = (module(None, IDS, rngs=rngs)[1] for _ in range(2))
    assert (first != second).any()


def test_training_takes_the_same_steps():
    linen, params, module = pair(tied=True)
    optax_adam = optax.adam(0.1)
    optimizer = nnx.Optimizer(module, optax_adam, wrt=nnx.Param)
    start = linen.initial_state((2,))

    def loss(logits):
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, IDS[:, 1:])
        return losses.mean()

    @nnx.jit
    def train(module, optimizer):
        def of_module(module):
            return loss(module(start, IDS[:, :-1])[1])

        value, gradient = nnx.value_and_grad(of_module)(module)
        optimizer.update(module, gradient)
        return value

    @jax.jit
    def expected(params, opt_state):
        def of_params(params):
            return loss(linen.apply({"params": params}, start, IDS[:, :-1])[1])

        value, gradient = jax.value_and_grad(of_params)(params)
        updates, opt_state = optax_adam.update(gradient, opt_state, params)
        return value, optax.apply_updates(params, updates), opt_state

    opt_state = optax_adam.init(params)
    for _ in range(8):
        value, params, opt_state = expected(params, opt_state)
        assert train(module, optimizer) == value
    assert_same_bits(module.parameters(), params)
    assert value < 1.5


def test_it_generates_and_is_evaluated():
    linen, params, module = pair()
    own = module.linen, module.parameters()
    assert_same_bits(
        [*jt.generation.generate(*own, IDS, 9, key=jax.random.key(0))],
        [*jt.generation.generate(linen, params, IDS, 9, key=jax.random.key(0))],
    )
    text = np.arange(30) % V
    assert jt.training.evaluate(*own, text) == jt.training.evaluate(linen, params, text)


def test_weights_of_a_checkpoint_go_in():
    """As `create_state` and a run's checkpoint hold them."""
    linen, _, module = pair()
    state = create_state(linen, optax.sgd(0.1), jax.random.key(5), 2)
    nnx.update(module, state.params)
    assert_same_bits(module.parameters(), state.params)

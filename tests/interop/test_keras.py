"""Keras on JAX: outputs, gradients and weights both ways, and what is refused."""

import os
from functools import partial

import exactness
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exactness import D, H

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop import from_keras, to_keras

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras", reason="needs pip install keras")
layers = keras.layers

SEQUENCES = {"return_sequences": True, "bias_initializer": "random_normal"}
MODULES = {
    "SimpleRNN": lambda: layers.SimpleRNN(H, **SEQUENCES),
    "LSTM": lambda: layers.LSTM(H, **SEQUENCES),
    "GRU": lambda: layers.GRU(H, **SEQUENCES),
    "GRU, reset before": lambda: layers.GRU(H, reset_after=False, **SEQUENCES),
    "GRU without bias": lambda: layers.GRU(H, use_bias=False, return_sequences=True),
    "LSTM without bias": lambda: layers.LSTM(H, use_bias=False, return_sequences=True),
    "Bidirectional": lambda: layers.Bidirectional(layers.GRU(H, **SEQUENCES)),
    "StackedRNNCells": lambda: layers.RNN(
        [layers.LSTMCell(H), layers.GRUCell(4)], return_sequences=True
    ),
    "Sequential": lambda: keras.Sequential(
        [
            keras.Input((None, D)),
            layers.Bidirectional(layers.LSTM(H, **SEQUENCES)),
            layers.Dropout(0.5),
            layers.SimpleRNN(4, **SEQUENCES),
        ]
    ),
}
CELLS = {
    "rnn": jt.rnn(H),
    "lstm": jt.lstm(H),
    "gru": jt.gru(H),
    "gru, reset before": jt.gru(H, reset_after=False),
    "bidirectional": jt.bidirectional(jt.gru(H), jt.lstm(4)),
    "stack": jt.stack(jt.lstm(H), jt.bidirectional(jt.rnn(2)), jt.gru(3)),
}


def one_bias_only(values, variables):
    """Where two biases merge into one both have its gradient: one of them counts."""
    values = [np.array(x) for x in values]
    for x, variable in zip(values, variables, strict=True):
        if variable.name == "bias" and x.ndim == 2:
            x[1, : x.shape[1] // 3 * 2] = 0
    return values


def assign(module, values):
    for variable, value in zip(module.trainable_variables, values, strict=True):
        variable.assign(value)


def same_function(name, module, cell, params):
    xs = exactness.inputs()

    def run(weights, xs):
        rest = [v.value for v in module.non_trainable_variables]
        return module.stateless_call(weights, rest, xs)[0]

    weights = [v.value for v in module.trainable_variables]
    theirs, gradients = exactness.outputs_and_gradients(run, weights, xs)
    here, mine = exactness.outputs_and_gradients(
        partial(exactness.ours, cell), params, xs
    )
    exactness.compare(f"{name}, outputs", theirs, here, 3e-6)
    slopes, to_inputs = gradients
    assign(module, one_bias_only(slopes, module.trainable_variables))
    to_weights = from_keras(module)[1]
    assign(module, weights)
    if "without bias" in name:  # a bias that is not there has no gradient
        mine, to_weights = (kernels(mine[0]), mine[1]), kernels(to_weights)
    exactness.compare(f"{name}, gradients", (to_weights, to_inputs), mine, 1.5e-5)


def kernels(params):
    return {name: x for name, x in params.items() if "kernel" in name}


def built(module):
    module.build((None, None, D))
    return module


@pytest.mark.parametrize("name", MODULES)
def test_from_keras(name):
    keras.utils.set_random_seed(0)
    module = built(MODULES[name]())
    same_function(f"from Keras {name}", module, *from_keras(module))


@pytest.mark.parametrize("name", CELLS)
def test_to_keras_and_back(name):
    cell, params = CELLS[name], exactness.start(CELLS[name])
    module = to_keras(cell, params)
    again = from_keras(module)
    exactness.same_weights(again[1], params)
    same_function(f"to Keras {name}", module, *again)
    here = exactness.ours(cell, params, exactness.inputs())
    exactness.compare(
        f"to Keras {name}, outputs", module(exactness.inputs()), here, 3e-6
    )


@pytest.mark.parametrize(
    ("dtype", "param_dtype"),
    [("bfloat16", "bfloat16"), ("bfloat16", "float32"), ("float16", "float32")],
)
def test_dtypes_are_kept(dtype, param_dtype):
    params = jt.gru(H).init(jax.random.key(0), D)
    params = jax.tree.map(lambda x: x.astype(param_dtype), params)
    cell = jt.gru(H, dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(param_dtype))
    module = to_keras(cell, params)
    assert (module.compute_dtype, module.variable_dtype) == (dtype, param_dtype)
    back, again = from_keras(module)
    exactness.same_weights(again, params)
    assert back.initial_state(()).dtype == dtype


def test_dtypes_without_a_policy_are_refused():
    params = exactness.narrow(jt.gru(H).init(jax.random.key(0), D))
    with pytest.raises(InputError, match="no policy to compute in float32"):
        to_keras(jt.gru(H, param_dtype=jnp.bfloat16), params)


def test_training_on_does_not_move_ours():
    module = built(layers.LSTM(H))
    _, params = from_keras(module)
    before = jax.tree.map(np.array, params)
    assign(module, [v.value + 1 for v in module.trainable_variables])
    exactness.same_weights(params, before)


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("got Dense", lambda: layers.Dense(H)),
        ("got ConvLSTMCell", lambda: layers.ConvLSTM1D(2, 1)),
        ("other activations", lambda: layers.SimpleRNN(H, activation="relu")),
        ("other activations", lambda: layers.GRU(H, recurrent_activation="tanh")),
        ("dropout within the layer", lambda: layers.LSTM(H, dropout=0.1)),
        ("dropout within the layer", lambda: layers.GRU(H, recurrent_dropout=0.1)),
        ("go_backwards=True", lambda: layers.GRU(H, go_backwards=True)),
        (
            "merge_mode='sum'",
            lambda: layers.Bidirectional(layers.GRU(H), merge_mode="sum"),
        ),
    ],
)
def test_other_functions_are_refused(reason, make):
    module = make()
    module.build((None, None, D, 1) if "Conv" in reason else (None, None, D))
    with pytest.raises(InputError, match=reason):
        from_keras(module)


def test_a_layer_without_weights_is_refused():
    with pytest.raises(InputError, match="build"):
        from_keras(layers.LSTM(H))

"""flax.nnx: outputs, gradients and weights both ways, and what is refused."""

import exactness
import jax
import jax.numpy as jnp
import pytest
from exactness import D, H
from flax import nnx

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop import from_nnx, to_nnx


def rnn(cell, *sizes, **options):
    return nnx.RNN(cell(*sizes, rngs=nnx.Rngs(0), **options))


MODULES = {
    "SimpleCell": lambda: rnn(nnx.SimpleCell, D, H),
    "LSTMCell": lambda: rnn(nnx.LSTMCell, D, H),
    "OptimizedLSTMCell": lambda: rnn(nnx.OptimizedLSTMCell, D, H),
    "GRUCell": lambda: rnn(nnx.GRUCell, D, H),
    "bidirectional": lambda: nnx.Bidirectional(
        rnn(nnx.GRUCell, D, H), rnn(nnx.LSTMCell, D, 4)
    ),
    "stack": lambda: nnx.Sequential(
        rnn(nnx.LSTMCell, D, H),
        nnx.Dropout(0.5, deterministic=True),
        nnx.Bidirectional(rnn(nnx.SimpleCell, H, 2), rnn(nnx.SimpleCell, H, 4)),
        rnn(nnx.GRUCell, 6, 3),
    ),
}
CELLS = {
    "rnn": jt.rnn(H),
    "lstm": jt.lstm(H),
    "gru": jt.gru(H),
    "bidirectional": jt.bidirectional(jt.gru(H), jt.lstm(4)),
    "stack": jt.stack(jt.lstm(H), jt.bidirectional(jt.rnn(2), jt.rnn(4)), jt.gru(3)),
}


def without_b_hn(params):
    """nnx's GRU has no such bias."""

    def zero(path, x):
        return 0 * x if "recurrent_bias" in jax.tree_util.keystr(path) else x

    return jax.tree_util.tree_map_with_path(zero, params)


def apart(module):
    """``run``, ``convert`` and weights, as `exactness.same_function` takes them."""
    graph, weights, rest = nnx.split(module, nnx.Param, ...)

    def merged(weights):
        return nnx.merge(graph, weights, rest, copy=True)

    def run(weights, xs):
        return merged(weights)(xs)

    return run, lambda weights: from_nnx(merged(weights)), weights


@pytest.mark.everyday(name=("GRUCell", "OptimizedLSTMCell", "stack"))
@pytest.mark.parametrize("name", MODULES)
def test_from_nnx(name):
    run, convert, weights = apart(MODULES[name]())
    weights = exactness.noisy(weights)
    exactness.same_function(
        f"from nnx {name}", run, convert, weights, exactness.inputs()
    )


@pytest.mark.everyday(name=("lstm", "bidirectional"))
@pytest.mark.parametrize("name", CELLS)
def test_to_nnx_and_back(name):
    params, xs = without_b_hn(exactness.start(CELLS[name])), exactness.inputs()
    module = to_nnx(CELLS[name], params)
    exactness.compare(
        f"to nnx {name}, outputs",
        module(xs),
        exactness.ours(CELLS[name], params, xs),
        3e-6,
    )
    exactness.same_function(f"to nnx {name}", *apart(module), xs)
    exactness.same_weights(from_nnx(module)[1], params)


def test_a_cell_alone_is_converted_too():
    module = rnn(nnx.LSTMCell, D, H)
    exactness.same_weights(from_nnx(module.cell)[1], from_nnx(module)[1])


@pytest.mark.parametrize("cell", [jt.rnn, jt.lstm, jt.gru])
def test_dtypes_are_kept(cell):
    params = exactness.narrow(cell(H).init(jax.random.key(0), D))
    cell = cell(H, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
    back, again = from_nnx(to_nnx(cell, params))
    exactness.same_weights(again, params)
    assert jax.tree.leaves(back.initial_state(()))[-1].dtype == jnp.bfloat16


REFUSED = {
    "got Linear": lambda: nnx.Linear(D, H, rngs=nnx.Rngs(0)),
    "no residual": lambda: rnn(nnx.SimpleCell, D, H, residual=True),
    "with tanh": lambda: rnn(nnx.LSTMCell, D, H, activation_fn=nnx.relu),
    "sigmoid gates": lambda: rnn(nnx.GRUCell, D, H, gate_fn=nnx.hard_sigmoid),
    "got reverse=True": lambda: nnx.RNN(
        nnx.GRUCell(D, H, rngs=nnx.Rngs(0)), reverse=True
    ),
    "another merge_fn": lambda: nnx.Bidirectional(
        rnn(nnx.GRUCell, D, H), rnn(nnx.GRUCell, D, H), merge_fn=jnp.add
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_other_functions_are_refused(reason):
    with pytest.raises(InputError, match=reason):
        from_nnx(REFUSED[reason]())


def test_a_gru_with_b_hn_is_refused():
    with pytest.raises(InputError, match="no bias b_hn"):
        to_nnx(jt.gru(H), exactness.start(jt.gru(H)))


def test_a_gru_that_resets_before_is_refused():
    cell = jt.gru(H, reset_after=False)
    with pytest.raises(InputError, match="another function"):
        to_nnx(cell, exactness.start(cell))

"""Equinox: outputs, gradients and weights both ways, and what is refused."""

import exactness
import jax
import jax.numpy as jnp
import pytest
from exactness import D, H

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop import from_equinox, to_equinox

eqx = pytest.importorskip("equinox", reason="needs pip install equinox")

KEY = jax.random.key(0)
MODULES = {
    "LSTMCell": lambda: eqx.nn.LSTMCell(D, H, key=KEY),
    "GRUCell": lambda: eqx.nn.GRUCell(D, H, key=KEY),
    "LSTMCell without bias": lambda: eqx.nn.LSTMCell(D, H, use_bias=False, key=KEY),
    "GRUCell without bias": lambda: eqx.nn.GRUCell(D, H, use_bias=False, key=KEY),
    "tuple": lambda: (
        eqx.nn.LSTMCell(D, H, key=KEY),
        eqx.nn.GRUCell(H, 4, key=KEY),
        eqx.nn.LSTMCell(4, 3, key=KEY),
    ),
}
CELLS = {
    "lstm": jt.lstm(H),
    "gru": jt.gru(H),
    "stack": jt.stack(jt.lstm(H), jt.gru(4), jt.lstm(3)),
}


def run(module, xs):
    for cell in module if isinstance(module, tuple) else (module,):
        gru = isinstance(cell, eqx.nn.GRUCell)

        def step(state, x, cell=cell, gru=gru):
            state = cell(x, state)
            return state, state if gru else state[0]

        zeros = jnp.zeros(cell.hidden_size)
        start = zeros if gru else (zeros, zeros)
        xs = jax.vmap(lambda x, step=step, s=start: jax.lax.scan(step, s, x)[1])(xs)
    return xs


@pytest.mark.parametrize("name", MODULES)
def test_from_equinox(name):
    module = exactness.noisy(MODULES[name]())
    exactness.same_function(
        f"from Equinox {name}", run, from_equinox, module, exactness.inputs()
    )


@pytest.mark.parametrize("name", CELLS)
def test_to_equinox_and_back(name):
    params, xs = exactness.start(CELLS[name]), exactness.inputs()
    module = to_equinox(CELLS[name], params)
    here = exactness.ours(CELLS[name], params, xs)
    exactness.compare(f"to Equinox {name}, outputs", run(module, xs), here, 3e-6)
    exactness.same_function(f"to Equinox {name}", run, from_equinox, module, xs)
    exactness.same_weights(from_equinox(module)[1], params)


def test_dtypes_are_kept():
    params = exactness.narrow(jt.gru(H).init(KEY, D))
    cell = jt.gru(H, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
    back, again = from_equinox(to_equinox(cell, params))
    exactness.same_weights(again, params)
    assert back.initial_state(()).dtype == jnp.bfloat16


def test_another_module_is_refused():
    with pytest.raises(InputError, match="got Linear"):
        from_equinox(eqx.nn.Linear(D, H, key=KEY))


@pytest.mark.parametrize(
    ("reason", "cell"),
    [
        ("no plain tanh cell", jt.rnn(H)),
        ("another function", jt.gru(H, reset_after=False)),
        ("no bidirectional layer", jt.bidirectional(jt.lstm(H))),
    ],
)
def test_what_equinox_has_no_cell_for_is_refused(reason, cell):
    with pytest.raises(InputError, match=reason):
        to_equinox(cell, exactness.start(cell))

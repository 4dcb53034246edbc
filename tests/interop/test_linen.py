"""flax.linen: outputs, gradients and weights both ways, and what is refused."""

import exactness
import jax
import jax.numpy as jnp
import pytest
from exactness import D, H
from flax import linen as nn

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop import from_linen, to_linen

MODULES = {
    "SimpleCell": lambda: nn.RNN(nn.SimpleCell(H)),
    "LSTMCell": lambda: nn.RNN(nn.LSTMCell(H)),
    "OptimizedLSTMCell": lambda: nn.RNN(nn.OptimizedLSTMCell(H)),
    "GRUCell": lambda: nn.RNN(nn.GRUCell(H)),
    "bidirectional": lambda: nn.Bidirectional(
        nn.RNN(nn.GRUCell(H)), nn.RNN(nn.LSTMCell(4))
    ),
    "stack": lambda: nn.Sequential(
        [
            nn.RNN(nn.LSTMCell(H)),
            nn.Dropout(0.5, deterministic=True),
            nn.Bidirectional(nn.RNN(nn.SimpleCell(2)), nn.RNN(nn.SimpleCell(4))),
            nn.RNN(nn.GRUCell(3)),
        ]
    ),
}
CELLS = {
    "rnn": jt.rnn(H),
    "lstm": jt.lstm(H),
    "gru": jt.gru(H),
    "bidirectional": jt.bidirectional(jt.gru(H), jt.lstm(4)),
    "stack": jt.stack(jt.lstm(H), jt.bidirectional(jt.rnn(2), jt.rnn(4)), jt.gru(3)),
    "stack, all of one width": jt.stack(jt.lstm(3), jt.lstm(3)),
    "bidirectional, all of one width": jt.bidirectional(jt.gru(3)),
}


def run(module):
    return lambda variables, xs: module.apply(variables, xs)


@pytest.mark.everyday(name=("LSTMCell", "bidirectional", "stack"))
@pytest.mark.parametrize("name", MODULES)
def test_from_linen(name):
    module, xs = MODULES[name](), exactness.inputs()
    variables = exactness.noisy(module.init(jax.random.key(0), xs))

    def convert(variables):
        return from_linen(module, variables)

    exactness.same_function(f"from linen {name}", run(module), convert, variables, xs)


@pytest.mark.everyday(name=("gru", "bidirectional", "stack"))
@pytest.mark.parametrize("name", CELLS)
def test_to_linen_and_back(name):
    params, xs = exactness.start(CELLS[name]), exactness.inputs()
    module, variables = to_linen(CELLS[name], params)

    def convert(variables):
        return from_linen(module, variables)

    exactness.compare(
        f"to linen {name}, outputs",
        module.apply(variables, xs),
        exactness.ours(CELLS[name], params, xs),
        3e-6,
    )
    exactness.same_function(f"to linen {name}", run(module), convert, variables, xs)
    exactness.same_weights(from_linen(module, variables)[1], params)


def test_a_cell_alone_is_converted_too():
    xs = exactness.inputs()
    cell, rnn = nn.LSTMCell(H), nn.RNN(nn.LSTMCell(H))
    variables = rnn.init(jax.random.key(0), xs)
    alone = from_linen(cell, {"params": variables["params"]["cell"]})
    exactness.same_weights(alone[1], from_linen(rnn, variables)[1])


def test_dropout_between_layers_becomes_ours():
    module, xs = MODULES["stack"](), exactness.inputs()
    cell, params = from_linen(module, module.init(jax.random.key(0), xs))
    state = cell.initial_state(xs.shape[:1])
    _, one = jt.unroll(cell, params, state, xs, key=jax.random.key(1))
    _, two = jt.unroll(cell, params, state, xs, key=jax.random.key(2))
    assert (one != two).any()


@pytest.mark.parametrize("cell", [jt.rnn, jt.lstm, jt.gru])
def test_dtypes_are_kept(cell):
    params = exactness.narrow(cell(H).init(jax.random.key(0), D))
    cell = cell(H, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
    back, again = from_linen(*to_linen(cell, params))
    exactness.same_weights(again, params)
    assert jax.tree.leaves(back.initial_state(()))[-1].dtype == jnp.bfloat16


REFUSED = {
    "got MGUCell": nn.RNN(nn.MGUCell(H)),
    "got Dense": nn.Dense(H),
    "no residual": nn.RNN(nn.SimpleCell(H, residual=True)),
    "with tanh": nn.RNN(nn.LSTMCell(H, activation_fn=nn.relu)),
    "sigmoid gates": nn.RNN(nn.GRUCell(H, gate_fn=nn.hard_sigmoid)),
    "starts at zero": nn.RNN(nn.GRUCell(H, carry_init=nn.initializers.ones)),
    "got reverse=True": nn.RNN(nn.GRUCell(H), reverse=True),
    "another merge_fn": nn.Bidirectional(
        nn.RNN(nn.GRUCell(H)), nn.RNN(nn.GRUCell(H)), merge_fn=jnp.add
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_other_functions_are_refused(reason):
    module, xs = REFUSED[reason], exactness.inputs()
    variables = module.init(jax.random.key(0), xs)
    with pytest.raises(InputError, match=reason):
        from_linen(module, variables)


def test_variables_of_another_module_are_refused():
    xs = exactness.inputs()
    variables = nn.RNN(nn.GRUCell(H)).init(jax.random.key(0), xs)
    with pytest.raises(InputError, match="got some without 'ii'"):
        from_linen(nn.RNN(nn.LSTMCell(H)), variables)


def test_a_gru_that_resets_before_is_refused():
    cell = jt.gru(H, reset_after=False)
    with pytest.raises(InputError, match="another function"):
        to_linen(cell, exactness.start(cell))

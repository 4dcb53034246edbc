"""torch: outputs, gradients and weights both ways, and what is refused."""

import copy
from functools import partial

import exactness
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exactness import D, H

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop import from_torch, to_torch

torch = pytest.importorskip("torch", reason="needs pip install torch")
nn = torch.nn

MODULES = {
    "RNN": lambda: nn.RNN(D, H, batch_first=True),
    "LSTM": lambda: nn.LSTM(D, H, batch_first=True),
    "GRU": lambda: nn.GRU(D, H, batch_first=True),
    "LSTM without bias": lambda: nn.LSTM(D, H, bias=False, batch_first=True),
    "GRU without bias": lambda: nn.GRU(D, H, bias=False, batch_first=True),
    "RNN, 3 layers": lambda: nn.RNN(D, H, 3, batch_first=True),
    "LSTM, bidirectional": lambda: nn.LSTM(D, H, batch_first=True, bidirectional=True),
    "LSTM, 2 layers, bidirectional": lambda: nn.LSTM(
        D, H, 2, batch_first=True, bidirectional=True
    ),
    "GRU, 3 layers, bidirectional, dropout": lambda: nn.GRU(
        D, H, 3, batch_first=True, bidirectional=True, dropout=0.5
    ).eval(),
}
CELLS = {
    "rnn": jt.rnn(H),
    "lstm": jt.lstm(H),
    "gru": jt.gru(H),
    "bidirectional": jt.bidirectional(jt.gru(H)),
    "bidirectional, D = H": jt.bidirectional(jt.lstm(D)),
    "stack, D = H": jt.stack(jt.lstm(D), jt.lstm(D)),
    "stack with dropout": jt.stack(jt.rnn(H), jt.dropout(0.5), jt.rnn(H)),
    "stack of bidirectional": jt.stack(
        jt.bidirectional(jt.lstm(H)), jt.bidirectional(jt.lstm(H))
    ),
}


def run_with_gradients(module, xs):
    """Outputs, and a module of gradients, which converts as a module of weights does.

    A merged bias is the sum of two that have the same gradient, so one of them counts.
    """
    x = torch.tensor(np.asarray(xs), requires_grad=True)
    ys = module(x)[0]
    by = torch.tensor(np.asarray(exactness.cotangent(jnp.asarray(ys.detach().numpy()))))
    ys.backward(by)
    slopes = copy.deepcopy(module)
    with torch.no_grad():
        for (name, p), q in zip(
            module.named_parameters(), slopes.parameters(), strict=True
        ):
            q.copy_(p.grad)
            if name.startswith("bias_hh"):
                q[: 2 * H if isinstance(module, nn.GRU) else None] = 0
    return ys.detach().numpy(), x.grad.numpy(), slopes


def same_function(name, module, cell, params):
    xs = exactness.inputs()
    theirs, to_inputs, slopes = run_with_gradients(module, xs)
    here, mine = exactness.outputs_and_gradients(
        partial(exactness.ours, cell), params, xs
    )
    to_weights = from_torch(slopes)[1]
    exactness.compare(f"{name}, outputs", theirs, here, 3e-6)
    if "without bias" in name:  # a bias that is not there has no gradient
        mine, to_weights = (kernels(mine[0]), mine[1]), kernels(to_weights)
    exactness.compare(f"{name}, gradients", (to_weights, to_inputs), mine, 1.5e-5)


def kernels(params):
    return {name: x for name, x in params.items() if "kernel" in name}


@pytest.mark.parametrize("name", MODULES)
def test_from_torch(name):
    torch.manual_seed(0)
    module = MODULES[name]()
    same_function(f"from torch {name}", module, *from_torch(module))


@pytest.mark.parametrize("name", CELLS)
def test_to_torch_and_back(name):
    cell, params = CELLS[name], exactness.start(CELLS[name])
    module = to_torch(cell, params)
    again = from_torch(module)
    if "dropout" in name:  # nothing without a key, and left out
        params = {str(i): part for i, part in enumerate(params.values())}
    exactness.same_weights(again[1], params)
    same_function(f"to torch {name}", module, *again)
    here = exactness.ours(cell, exactness.start(cell), exactness.inputs())
    theirs = module(torch.tensor(np.asarray(exactness.inputs())))[0].detach().numpy()
    exactness.compare(f"to torch {name}, outputs", theirs, here, 3e-6)


def test_dropout_between_layers_becomes_ours():
    cell, params = from_torch(nn.LSTM(D, H, 3, dropout=0.5))
    assert list(params) == ["0", "2", "4"]
    state, xs = cell.initial_state(()), exactness.inputs()[0]
    _, one = jt.unroll(cell, params, state, xs, key=jax.random.key(1))
    _, two = jt.unroll(cell, params, state, xs, key=jax.random.key(2))
    assert (one != two).any()


def test_neither_moves_the_other():
    module = nn.LSTM(D, H)
    cell, params = from_torch(module)
    before = jax.tree.map(np.array, params)
    back = to_torch(cell, params)
    with torch.no_grad():
        for p in [*module.parameters(), *back.parameters()]:
            p.add_(1)
    exactness.same_weights(params, before)


def test_conversion_draws_no_random_numbers():
    cell, params = from_torch(nn.LSTM(D, H))
    state = torch.get_rng_state()
    to_torch(cell, params)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_dtypes_are_kept(make, dtype):
    module = make(D, H, dtype=getattr(torch, dtype))
    with jax.enable_x64(dtype == "float64"), torch.no_grad():
        for p in [module.bias_hh_l0]:
            p[: 2 * H if make is nn.GRU else None] = 0  # where the sum would round
        cell, params = from_torch(module)
        assert {x.dtype for x in params.values()} == {jnp.dtype(dtype)}
        assert jax.tree.leaves(cell.initial_state(()))[-1].dtype == dtype
        back = to_torch(cell, params)
    for name, p in module.named_parameters():
        assert torch.equal(p, back.get_parameter(name))


def test_float64_without_x64_is_refused():
    with pytest.raises(InputError, match="jax_enable_x64"):
        from_torch(nn.LSTM(D, H, dtype=torch.float64))


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("got an nn.RNN with relu", lambda: nn.RNN(D, H, nonlinearity="relu")),
        ("proj_size=2", lambda: nn.LSTM(D, H, proj_size=2)),
        ("got Linear", lambda: nn.Linear(D, H)),
        ("got LSTMCell", lambda: nn.LSTMCell(D, H)),
    ],
)
def test_other_functions_are_refused(reason, make):
    with pytest.raises(InputError, match=reason):
        from_torch(make())


@pytest.mark.parametrize(
    ("reason", "cell"),
    [
        ("another function", jt.gru(H, reset_after=False)),
        ("one kind", jt.stack(jt.lstm(H), jt.gru(H))),
        ("convert layer by layer", jt.stack(jt.lstm(H), jt.lstm(4))),
        ("number of directions", jt.stack(jt.bidirectional(jt.gru(H)), jt.gru(H))),
    ],
)
def test_what_torch_has_no_module_for_is_refused(reason, cell):
    with pytest.raises(InputError, match=reason):
        to_torch(cell, exactness.start(cell))

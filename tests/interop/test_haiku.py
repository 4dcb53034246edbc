"""Haiku: outputs, gradients and weights both ways, and what is refused."""

import exactness
import jax
import pytest
from exactness import B, H

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop import from_haiku, to_haiku

hk = pytest.importorskip("haiku", reason="needs pip install dm-haiku")

CORES = {
    "LSTM": lambda: hk.LSTM(H),
    "GRU": lambda: hk.GRU(H),
    "DeepRNN": lambda: hk.DeepRNN([hk.LSTM(H), hk.GRU(4), hk.LSTM(3)]),
}
CELLS = {
    "lstm": jt.lstm(H),
    "gru": jt.gru(H, reset_after=False),
    "stack": jt.stack(jt.lstm(H), jt.gru(4, reset_after=False), jt.lstm(3)),
}


def transformed(make_core):
    def run(xs):
        core = make_core()
        ys, _ = hk.dynamic_unroll(core, xs, core.initial_state(B), time_major=False)
        return ys

    return hk.without_apply_rng(hk.transform(run))


@pytest.mark.parametrize("name", CORES)
def test_from_haiku(name):
    net, xs = transformed(CORES[name]), exactness.inputs()
    weights = exactness.noisy(net.init(jax.random.key(0), xs))

    def convert(weights):
        return from_haiku(CORES[name], weights)

    exactness.same_function(f"from Haiku {name}", net.apply, convert, weights, xs)


@pytest.mark.parametrize("name", CELLS)
def test_to_haiku_and_back(name):
    params, xs = exactness.start(CELLS[name]), exactness.inputs()
    make_core, weights = to_haiku(CELLS[name], params)
    net = transformed(make_core)

    def convert(weights):
        return from_haiku(make_core, weights)

    here = exactness.ours(CELLS[name], params, xs)
    exactness.compare(f"to Haiku {name}, outputs", net.apply(weights, xs), here, 3e-6)
    exactness.same_function(f"to Haiku {name}", net.apply, convert, weights, xs)
    # The one that Haiku adds to the forget gate costs its bias one rounding.
    again = from_haiku(make_core, weights)[1]
    exactness.compare(f"to Haiku {name} and back, weights", again, params, 2e-7)


REFUSED = {
    "VanillaRNN, which uses ReLU": lambda: hk.VanillaRNN(H),
    "got IdentityCore": lambda: hk.IdentityCore(),
    "got relu": lambda: hk.DeepRNN([hk.LSTM(H), jax.nn.relu]),
    "got _DeepRNN": lambda: hk.deep_rnn_with_skip_connections([hk.LSTM(H)]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_other_functions_are_refused(reason):
    params = {"lstm/linear": lstm_weights()}
    with pytest.raises(InputError, match=reason):
        from_haiku(REFUSED[reason], params)


def lstm_weights():
    net = transformed(CORES["LSTM"])
    return net.init(jax.random.key(0), exactness.inputs())["lstm/linear"]


def test_parameters_of_another_core_are_refused():
    with pytest.raises(InputError, match="got no 'gru'"):
        from_haiku(CORES["GRU"], {"lstm/linear": lstm_weights()})


@pytest.mark.parametrize(
    ("reason", "cell"),
    [
        ("no plain tanh cell", jt.rnn(H)),
        ("another function", jt.gru(H)),
        ("no bidirectional layer", jt.bidirectional(jt.lstm(H))),
    ],
)
def test_what_haiku_has_no_core_for_is_refused(reason, cell):
    with pytest.raises(InputError, match=reason):
        to_haiku(cell, exactness.start(cell))

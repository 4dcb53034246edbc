"""A network is taken apart exactly, or refused."""

import subprocess
import sys

import exactness
import jax
import pytest
from exactness import D, H

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.interop.layers import layers_of

NETWORKS = {
    "lstm": (jt.lstm(H), [["lstm"]]),
    "before": (jt.gru(H, reset_after=False), [["gru, reset before"]]),
    "two layers of one width": (jt.stack(jt.rnn(D), jt.rnn(D)), [["rnn"], ["rnn"]]),
    "two directions of one width": (jt.bidirectional(jt.rnn(D)), [["rnn", "rnn"]]),
    "stack in a stack": (
        jt.stack(jt.stack(jt.gru(D), jt.dropout(0.1)), jt.stack(jt.lstm(H))),
        [["gru"], ["lstm"]],
    ),
    "two bidirectional layers": (
        jt.stack(jt.bidirectional(jt.rnn(D)), jt.bidirectional(jt.rnn(D))),
        [["rnn", "rnn"], ["rnn", "rnn"]],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers(name):
    cell, kinds = NETWORKS[name]
    layers = layers_of(cell, exactness.start(cell))
    assert [[d.kind for d in layer] for layer in layers] == kinds


def leaky(hidden):
    """Another function of an LSTM's parameters."""
    cell = jt.lstm(hidden)

    def step(params, state, x, noise=None):
        (c, h), y = cell.step(params, state, x, noise)
        return jt.LSTMState(0.9 * c, h), y

    return jt.with_step(cell, step)


REFUSED = {
    "residual": jt.stack(jt.lstm(D), jt.residual(jt.lstm(D))),
    "a residual alone": jt.residual(jt.gru(D)),
    "both ways over a stack": jt.bidirectional(jt.stack(jt.gru(D), jt.gru(D))),
    "nothing but dropout": jt.dropout(0.1),
    "another cell": leaky(H),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_made_of_anything_else_is_refused(name):
    cell = REFUSED[name]
    with pytest.raises(InputError, match=r"not made of these alone"):
        layers_of(cell, exactness.start(cell))


def test_a_stack_of_no_layers_has_no_kind():
    with pytest.raises(InputError, match=r"not made of these alone"):
        layers_of(jt.lstm(H), {"unknown": jax.numpy.ones(3)})


def test_importing_imports_no_peer():
    program = """
import sys
import jaxtext as jt
for name in jt.interop.__all__:
    if "nnx" not in name.lower():
        getattr(jt.interop, name)
print(*sys.modules)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    peers = {"torch", "keras", "haiku", "equinox", "flax.nnx"}
    assert "jaxtext.interop.torch" in run.stdout.split()
    assert not peers & set(run.stdout.split())

"""Every cell against its equations, written gate by gate in NumPy and float64."""

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt

H = 4


def σ(x):
    return 1 / (1 + np.exp(-x))


def gates(array, names):
    """The parts of a kernel, bias or product, by the names of its gates."""
    names = names.split()
    return dict(zip(names, np.split(array, len(names), axis=-1), strict=True))


def affine(p, x, h, names):
    """``x W + h U + b``, gate by gate."""
    W, U = gates(p["kernel"], names), gates(p["recurrent_kernel"], names)
    b = gates(p["bias"], names)
    return {k: x @ W[k] + h @ U[k] + b[k] for k in W}


def LN(x, α):
    μ = x.mean(-1, keepdims=True)
    return α * (x - μ) / np.sqrt(((x - μ) ** 2).mean(-1, keepdims=True) + 1e-5)


def rnn(p, h, x):
    h = np.tanh(x @ p["kernel"] + h @ p["recurrent_kernel"] + p["bias"])
    return h, h


def lstm(p, state, x):
    a = affine(p, x, state[1], "i f g o")
    c = σ(a["f"]) * state[0] + σ(a["i"]) * np.tanh(a["g"])
    h = σ(a["o"]) * np.tanh(c)
    return (c, h), h


def gru_reset_after(p, h, x):
    W, U = gates(p["kernel"], "r z n"), gates(p["recurrent_kernel"], "r z n")
    b = gates(p["bias"], "r z n")
    r = σ(x @ W["r"] + h @ U["r"] + b["r"])
    z = σ(x @ W["z"] + h @ U["z"] + b["z"])
    n = np.tanh(x @ W["n"] + b["n"] + r * (h @ U["n"] + p["recurrent_bias"]))
    h = (1 - z) * n + z * h
    return h, h


def gru_reset_before(p, h, x):
    W, U = gates(p["kernel"], "r z n"), gates(p["recurrent_kernel"], "r z n")
    b = gates(p["bias"], "r z n")
    r = σ(x @ W["r"] + h @ U["r"] + b["r"])
    z = σ(x @ W["z"] + h @ U["z"] + b["z"])
    n = np.tanh(x @ W["n"] + b["n"] + (r * h) @ U["n"])
    h = (1 - z) * n + z * h
    return h, h


def layer_norm_rnn(p, h, x):
    a = LN(x @ p["kernel"] + h @ p["recurrent_kernel"], p["scale"])
    h = np.tanh(a + p["bias"])
    return h, h


def layer_norm_lstm(p, state, x):
    c, h = state
    a = LN(h @ p["recurrent_kernel"], p["recurrent_scale"])
    a = gates(a + LN(x @ p["kernel"], p["input_scale"]) + p["bias"], "i f g o")
    c = σ(a["f"]) * c + σ(a["i"]) * np.tanh(a["g"])
    h = σ(a["o"]) * np.tanh(LN(c, p["cell_scale"]) + p["cell_bias"])
    return (c, h), h


def layer_norm_gru(p, h, x):
    W, U, b, α_x, α_h = (
        np.split(p[name], [2 * H], axis=-1)
        for name in (
            "kernel",
            "recurrent_kernel",
            "bias",
            "input_scale",
            "recurrent_scale",
        )
    )
    gate = gates(σ(LN(x @ W[0], α_x[0]) + LN(h @ U[0], α_h[0]) + b[0]), "r z")
    from_h = LN(h @ U[1], α_h[1]) + p["recurrent_bias"]
    n = np.tanh(LN(x @ W[1], α_x[1]) + b[1] + gate["r"] * from_h)
    h = (1 - gate["z"]) * n + gate["z"] * h
    return h, h


def coupled_lstm(p, state, x):
    a = affine(p, x, state[1], "i g o")
    forget = 1 - σ(a["i"])
    c = forget * state[0] + σ(a["i"]) * np.tanh(a["g"])
    h = σ(a["o"]) * np.tanh(c)
    return (c, h), h


def peephole_lstm(p, state, x):
    c, h = state
    a, peep = affine(p, x, h, "i f g o"), gates(p["peephole"], "i f o")
    i, f = σ(a["i"] + peep["i"] * c), σ(a["f"] + peep["f"] * c)
    c = f * c + i * np.tanh(a["g"])
    h = σ(a["o"] + peep["o"] * c) * np.tanh(c)
    return (c, h), h


def projected_lstm(p, state, x):
    (c, m), _ = lstm(p, state, x)
    h = m @ p["projection"]
    return (c, h), h


def min_gru(p, h, x):
    a = gates(x @ p["kernel"] + p["bias"], "z n")
    h = (1 - σ(a["z"])) * h + σ(a["z"]) * a["n"]
    return h, h


def min_lstm(p, h, x):
    a = gates(x @ p["kernel"] + p["bias"], "f i n")
    f, i = σ(a["f"]), σ(a["i"])
    h = f / (f + i) * h + i / (f + i) * a["n"]
    return h, h


def para_gru(p, h, x):
    z = gates(x @ p["kernel"] + p["bias"], "r z n")
    a = gates(p["recurrent_diagonal"], "r z n")
    r, keep = σ(z["r"] + a["r"] * h), σ(z["z"] + a["z"] * h)
    h = (1 - keep) * np.tanh(z["n"] + a["n"] * r * h) + keep * h
    return h, h


def para_lstm(p, state, x):
    c, h = state
    z = gates(x @ p["kernel"] + p["bias"], "f g o")
    a, peep = gates(p["recurrent_diagonal"], "f g o"), gates(p["peephole"], "f o")
    f = σ(z["f"] + a["f"] * h + peep["f"] * c)
    c = f * c + (1 - f) * np.tanh(z["g"] + a["g"] * h)
    h = σ(z["o"] + a["o"] * h + peep["o"] * c) * np.tanh(c)
    return (c, h), h


def minimal_gated_unit(p, h, x):
    W, U = gates(p["kernel"], "f n"), gates(p["recurrent_kernel"], "f n")
    b = gates(p["bias"], "f n")
    f = σ(x @ W["f"] + h @ U["f"] + b["f"])
    n = np.tanh(x @ W["n"] + (f * h) @ U["n"] + b["n"])
    h = (1 - f) * h + f * n
    return h, h


def mogrified_lstm(p, state, x):
    c, h = state
    (q1, q3, q5), (r2, r4) = p["input_gates"].values(), p["hidden_gates"].values()
    x1 = 2 * σ(h @ q1) * x
    h2 = 2 * σ(x1 @ r2) * h
    x3 = 2 * σ(h2 @ q3) * x1
    h4 = 2 * σ(x3 @ r4) * h2
    x5 = 2 * σ(h4 @ q5) * x3
    return lstm(p["cell"], (c, h4), x5)


CELLS = {
    "rnn": (lambda **dtypes: jt.rnn(H, **dtypes), rnn),
    "lstm": (lambda **dtypes: jt.lstm(H, **dtypes), lstm),
    "gru": (lambda **dtypes: jt.gru(H, **dtypes), gru_reset_after),
    "gru, reset before": (
        lambda **dtypes: jt.gru(H, reset_after=False, **dtypes),
        gru_reset_before,
    ),
    "layer_norm_rnn": (
        lambda **dtypes: jt.layer_norm_rnn(H, **dtypes),
        layer_norm_rnn,
    ),
    "layer_norm_lstm": (
        lambda **dtypes: jt.layer_norm_lstm(H, **dtypes),
        layer_norm_lstm,
    ),
    "layer_norm_gru": (
        lambda **dtypes: jt.layer_norm_gru(H, **dtypes),
        layer_norm_gru,
    ),
    "coupled_lstm": (lambda **dtypes: jt.coupled_lstm(H, **dtypes), coupled_lstm),
    "peephole_lstm": (lambda **dtypes: jt.peephole_lstm(H, **dtypes), peephole_lstm),
    "projected_lstm": (
        lambda **dtypes: jt.projected_lstm(H, 3, **dtypes),
        projected_lstm,
    ),
    "min_gru": (lambda **dtypes: jt.min_gru(H, **dtypes), min_gru),
    "min_lstm": (lambda **dtypes: jt.min_lstm(H, **dtypes), min_lstm),
    "para_gru": (lambda **dtypes: jt.para_gru(H, **dtypes), para_gru),
    "para_lstm": (lambda **dtypes: jt.para_lstm(H, **dtypes), para_lstm),
    "minimal_gated_unit": (
        lambda **dtypes: jt.minimal_gated_unit(H, **dtypes),
        minimal_gated_unit,
    ),
    "mogrifier": (
        lambda dtype, param_dtype: jt.mogrifier(
            jt.lstm(H, dtype=dtype, param_dtype=param_dtype), param_dtype=param_dtype
        ),
        mogrified_lstm,
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_cell_is_its_equations(name):
    make_cell, equations = CELLS[name]
    with jax.enable_x64(True):
        cell = make_cell(dtype=jnp.float64, param_dtype=jnp.float64)
        params, state, xs = contracts.make(cell)
        actual = jax.tree.map(np.asarray, jt.unroll(cell, params, state, xs))
        params, state, xs = jax.tree.map(np.asarray, (params, state, xs))
    expected = []
    for t in range(contracts.T):
        state, y = equations(params, state, xs[:, t])
        expected.append(y)
    expected = jax.tree.leaves((state, np.stack(expected, 1)))
    for a, e in zip(jax.tree.leaves(actual), expected, strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_dtypes_stay_what_they_were(name):
    """In bfloat16: the output's type, and that of what is summed up over time."""
    cell = CELLS[name][0](dtype=jnp.bfloat16, param_dtype=jnp.float32)

    def run():
        params = cell.init(jax.random.key(0), 3)
        state = cell.initial_state((2,))
        ids = jnp.zeros((2, 5), int)
        return params, state, jt.unroll(cell, params, state, ids)

    params, before, (after, ys) = jax.eval_shape(run)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert after == before
    assert ys.dtype == jnp.bfloat16
    if isinstance(after, jt.LSTMState):
        assert (after.c.dtype, after.h.dtype) == (jnp.float32, jnp.bfloat16)
    elif name.startswith("min_"):
        assert after.dtype == jnp.float32


def test_chrono_begins_with_memories_of_all_lengths():
    plain = jt.lstm(1000).init(jax.random.key(0), 3)
    params = jt.lstm(1000, chrono=200).init(jax.random.key(0), 3)
    i, f, g, o = np.split(np.asarray(params["bias"], np.float64), 4)
    np.testing.assert_allclose(i, -f)
    lengths = np.sort(np.exp(f))  # uniform in [1, 199]
    np.testing.assert_allclose(lengths, np.linspace(1, 199, 1000), atol=15)
    assert not g.any()
    assert not o.any()
    for name in ("kernel", "recurrent_kernel"):
        np.testing.assert_array_equal(params[name], plain[name])
    # Drawn from a key of its own: not the numbers that the kernels come from.
    keys = jax.random.split(jax.random.key(0))
    for key in (jax.random.key(0), *keys, *jax.random.split(keys[0], 4)):
        other = jax.random.uniform(key, (1000,), minval=1, maxval=199)
        assert np.abs(np.exp(f) - other).max() > 1


def test_chrono_needs_something_to_remember():
    with pytest.raises(ValueError, match="of at least 3, got 2"):
        jt.lstm(4, chrono=2)


def test_a_projection_wider_than_the_cell_is_refused():
    with pytest.raises(ValueError, match="at most hidden = 4, got 5"):
        jt.projected_lstm(4, 5)


@pytest.mark.parametrize("cell", [jt.gru(4), jt.stack(jt.lstm(4)), jt.min_lstm(4)])
def test_the_mogrifier_refuses_a_state_that_is_also_the_memory(cell):
    with pytest.raises(ValueError, match="hidden state h beside its memory"):
        jt.mogrifier(cell)

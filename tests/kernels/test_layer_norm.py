"""The hand-derived steps of the layer-norm cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.kernels import layer_norm
from jaxtext.kernels.gates import activations, gate_by_gate

B, H = 3, 5
# Gates that are normalised together, and the sizes of the small weights.
STEPS = {
    "rnn": ((1,), (H, H)),
    "lstm": ((4,), (4 * H, H, H)),
    "gru": ((2, 1), (3 * H, H)),
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def _split(x):
    return tuple(jnp.split(x, x.shape[-1] // H, axis=-1))


@pytest.mark.parametrize("as_tuples", [False, True], ids=["arrays", "tuples"])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_backwards_is_its_derivative(name, as_tuples):
    together, sizes = STEPS[name]
    step = getattr(layer_norm, f"LAYER_NORM_{name.upper()}")
    rng = np.random.default_rng(0)

    def normal(size):
        return jnp.asarray(rng.normal(size=(B, size)))

    def centre(x):
        groups = jnp.split(x, np.cumsum(together)[:-1] * H, axis=-1)
        return jnp.concatenate([layer_norm.centred(g) for g in groups], axis=-1)

    def gates(x):
        return _split(x) if as_tuples else x

    z, u = (normal(sum(together) * H) for _ in range(2))
    state = tuple(normal(H) for _ in range(2 if name == "lstm" else 1))
    scale, *rest = (normal(size)[:1] for size in sizes)
    inner = scale, tuple(rest) if name == "lstm" else rest[0]

    def run(z, u, inner, state):
        z = centre(z) if name == "rnn" else z
        activate = gate_by_gate if as_tuples else activations
        inner = (gates(inner[0]), inner[1])
        return step.forward(gates(z), gates(centre(u)), inner, state, activate)

    (after, saved), pullback = jax.vjp(run, z, u, inner, state)
    dafter = tuple(normal(H) for _ in after)
    expected = pullback((dafter, jax.tree.map(jnp.zeros_like, saved)))
    inner = (gates(inner[0]), inner[1])
    dpre, dbefore, dinner = step.backward(dafter, saved, state, inner)
    dz, du = (jnp.concatenate(d, axis=-1) for d in (dpre[0], dpre[-1]))
    dz = centre(dz) if name == "rnn" else dz
    dscale, drest = dinner
    dscale = jnp.concatenate(dscale, -1) if isinstance(dscale, tuple) else dscale
    dinner = jax.tree.map(lambda d: d.sum(0, keepdims=True), (dscale, drest))
    found = dz, centre(du), dinner, dbefore
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-13),
        found,
        expected,
    )


@pytest.mark.parametrize("name", STEPS)
def test_an_offset_common_to_all_columns_costs_no_digits(name):
    """In float32, against the step in float64: the variance is that of what is left."""
    make = getattr(jt, f"layer_norm_{name}")

    def outputs(dtype, backend):
        cell = make(8, dtype=dtype, param_dtype=dtype)
        params = make(8).init(jax.random.key(0, impl="threefry2x32"), 4)
        for kernel in ("kernel", "recurrent_kernel"):
            # Sums with these are exact, so that both types have the same weights.
            rounded = jnp.round(params[kernel].astype(jnp.float32) * 1024) / 1024
            params[kernel] = rounded + 1000
        params = jax.tree.map(lambda p: jnp.asarray(p, dtype), params)
        xs = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 4)), dtype)
        _, ys = jt.unroll(cell, params, None, xs, backend=backend)
        return np.asarray(ys)

    found, expected = outputs(jnp.float32, "fused"), outputs(jnp.float64, "scan")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    assert np.abs(expected).max() > 0.1

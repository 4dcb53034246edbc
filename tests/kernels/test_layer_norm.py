"""The hand-derived steps of the layer-norm cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
    forward = getattr(layer_norm, f"{name}_forward")
    backward = getattr(layer_norm, f"{name}_backward")
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
    inner = tuple(normal(size)[:1] for size in sizes)

    def run(z, u, inner, state):
        z = centre(z) if name == "rnn" else z
        scale, *rest = inner
        activate = gate_by_gate if as_tuples else activations
        return forward(
            gates(z), gates(centre(u)), (gates(scale), *rest), state, activate
        )

    (after, saved), pullback = jax.vjp(run, z, u, inner, state)
    dafter = tuple(normal(H) for _ in after)
    expected = pullback((dafter, jax.tree.map(jnp.zeros_like, saved)))
    scale, *rest = inner
    dpre, dbefore, dinner = backward(dafter, saved, state, (gates(scale), *rest))
    dz, du = (jnp.concatenate(d, axis=-1) for d in (dpre[0], dpre[-1]))
    dz = centre(dz) if name == "rnn" else dz
    dscale, *drest = dinner
    dscale = jnp.concatenate(dscale, -1) if isinstance(dscale, tuple) else dscale
    dinner = tuple(d.sum(0, keepdims=True) for d in (dscale, *drest))
    found = dz, centre(du), dinner, dbefore
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-13),
        found,
        expected,
    )

"""The scan around one product: derivatives of derivatives, and where products are."""

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.kernels import one_product

H, D = 5, 3


def _core(params, z, u, state):
    del state
    return jnp.tanh(z + u + params["bias"])


def _inputs(params, xs):
    return xs @ params["kernel"]


CELLS = {
    "rnn": jt.rnn(H)._replace(
        backends=(one_product.backend(_core, _inputs, ("bias",), jnp.float32),)
    )
}


def _loss(cell, backend):
    start = jax.tree.map(lambda x: x + 0.1, cell.initial_state((2,)))
    xs = jax.random.normal(jax.random.key(1), (2, 4, D))
    resets = jnp.array([[False, False, True, False]] * 2)
    lengths = jnp.array([4, 3])

    def loss(params):
        _, ys = jt.unroll(
            cell, params, start, xs, backend=backend, resets=resets, lengths=lengths
        )
        return jnp.sin(ys).sum()

    return loss


def _params(cell):
    return jax.tree.map(lambda x: x + 0.1, cell.init(jax.random.key(0), D))


@pytest.mark.parametrize("name", CELLS)
def test_its_derivative_has_one(name):
    cell = CELLS[name]
    params = _params(cell)

    def twice(backend):
        gradient = jax.grad(_loss(cell, backend))
        return jax.grad(lambda params: jnp.sin(gradient(params)["bias"]).sum())

    def alike(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)

    jax.tree.map(alike, jax.jit(twice("fused"))(params), twice("scan")(params))


def _products(jaxpr, in_loop=False):
    """Shapes of all products within loops."""
    for equation in jaxpr.eqns:
        if in_loop and equation.primitive.name == "dot_general":
            yield equation.outvars[0].aval.shape
        loop = in_loop or equation.primitive.name == "scan"
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from _products(inner, loop)


@pytest.mark.parametrize("name", CELLS)
def test_the_weights_gradient_is_not_within_the_loop(name):
    cell = CELLS[name]
    params = _params(cell)

    def as_large(backend):
        """Whether any of those products is as large as the weights."""
        jaxpr = jax.make_jaxpr(jax.grad(_loss(cell, backend)))(params)
        size = params["recurrent_kernel"].size
        return any(np.prod(shape) == size for shape in _products(jaxpr))

    assert as_large("scan")
    assert not as_large("fused")

"""A backend's derivatives beside those of the scan, as JAX takes them."""

import contracts
import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

import jaxtext as jt


def scalar(cell, **options):
    """A loss of all that `unroll` returns, as a function of its operands."""

    def loss(params, state, xs):
        return contracts.total(jt.unroll(cell, params, state, xs, **options))

    return loss


def assert_first(backend, tolerance, cell, *operands, **options):
    """The loss and its gradient are those of the scan."""
    argnums = _floats(*operands)

    def first(backend):
        loss = scalar(cell, backend=backend, **options)
        return jax.jit(jax.value_and_grad(loss, argnums))(*operands)

    contracts.assert_close(first(backend), first("scan"), tolerance)


def assert_second(backend, tolerance, cell, *operands, **options):
    """The gradient of what the gradient says is that of the scan."""
    argnums = _floats(*operands)

    def second(backend):
        loss = scalar(cell, backend=backend, **options)

        def of_gradient(*operands):
            return contracts.total(jax.grad(loss, argnums)(*operands))

        return jax.jit(jax.grad(of_gradient, argnums))(*operands)

    contracts.assert_close(second(backend), second("scan"), tolerance)


def scans(jaxpr):
    """Every scan of a program, also within the functions that it calls."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from scans(inner)


def _floats(params, state, xs):
    del params, state
    return (0, 1) if jnp.issubdtype(xs.dtype, jnp.integer) else (0, 1, 2)

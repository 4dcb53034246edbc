"""The output layer's cross-entropy against Optax's of the same logits."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxtext.kernels.cross_entropy import cross_entropy, logits

N, H, V = 6, 5, 11
DRAWS = [
    jax.random.normal(key, (40, 40)) for key in jax.random.split(jax.random.key(3), 4)
]
HS, KERNEL, BIAS = DRAWS[0][:N, :H], DRAWS[1][:H, :V], DRAWS[2][0, :V]
WEIGHTS = DRAWS[3][0, :N]
TARGETS = jnp.array([0, V - 1, 3, 3, 7, 0])
OPERANDS = HS, KERNEL, BIAS


def ours(dtype, hs, kernel, bias):
    return cross_entropy(hs, kernel, bias, TARGETS, dtype)


def expected(dtype, hs, kernel, bias):
    z = logits(hs, kernel, bias, dtype)
    return optax.softmax_cross_entropy_with_integer_labels(z, TARGETS)


def weighted(losses, *operands):
    return jnp.vdot(WEIGHTS, losses(*operands))


def assert_close(found, wanted, tolerance):
    for a, b in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 3e-2)]
)
def test_values_and_gradients(dtype, tolerance):
    found, wanted = partial(ours, dtype), partial(expected, dtype)
    assert_close(found(*OPERANDS), wanted(*OPERANDS), 1e-6)
    of = (0, 1, 2)
    assert_close(
        jax.grad(partial(weighted, found), of)(*OPERANDS),
        jax.grad(partial(weighted, wanted), of)(*OPERANDS),
        tolerance,
    )


def test_second_derivatives():
    def curvature(losses):
        def length(*operands):
            grads = jax.grad(partial(weighted, losses), (0, 1, 2))(*operands)
            return optax.tree.norm(grads, squared=True)

        return jax.grad(length, (0, 1, 2))(*OPERANDS)

    found = curvature(partial(ours, "float32"))
    assert_close(found, curvature(partial(expected, "float32")), 1e-4)


def test_huge_logits_are_finite():
    """As ``exp`` of them is not."""
    losses, grads = jax.value_and_grad(partial(weighted, partial(ours, "float32")))(
        1e4 * HS, KERNEL, BIAS
    )
    assert np.isfinite(losses)
    assert np.isfinite(grads).all()

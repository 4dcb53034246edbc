"""The adaptive softmax: one distribution, and the loss and gradients of it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental import checkify

from jaxtext.kernels import adaptive_softmax
from jaxtext.kernels.cross_entropy import logits

N, H, V, F = 9, 4, 12, 8
DRAWS = [jax.random.normal(k, (20, 20)) for k in jax.random.split(jax.random.key(3), 4)]
OPERANDS = DRAWS[0][:N, :H], DRAWS[1][:H, : V + 1], DRAWS[2][0, : V + 1]
WEIGHTS = DRAWS[3][0, :N]
SOME_RARE = jnp.array([0, F + 1, 3, V, F - 1, V, F + 2, 1, 0])
TARGETS = {
    "some rare": SOME_RARE,
    "none": SOME_RARE % F,
    "all": F + 1 + SOME_RARE % (V - F),
}
ALL = pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)


@pytest.fixture(autouse=True, params=[2, 128])
def rows(request, monkeypatch):
    monkeypatch.setattr(adaptive_softmax, "ROWS", request.param)


def ours(targets, *operands, dtype="float32"):
    return adaptive_softmax.cross_entropy(*operands, targets, F, dtype)


def expected(targets, *operands, dtype="float32"):
    """The loss from the probabilities of all symbols."""
    z = logits(*operands, dtype)
    places = targets - (targets > F)
    said = adaptive_softmax.log_probabilities(z, F)
    return -jnp.take_along_axis(said, places[:, None], axis=1)[:, 0]


def gradients(losses, *operands):
    def total(*operands):
        return jnp.vdot(WEIGHTS, losses(*operands))

    return jax.grad(total, (0, 1, 2))(*operands)


def assert_close(found, wanted, tolerance):
    for a, b in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_probabilities_add_up_to_one():
    said = adaptive_softmax.log_probabilities(logits(*OPERANDS, "float32"), F)
    assert said.shape == (N, V)
    np.testing.assert_allclose(jnp.exp(said).sum(-1), 1, rtol=1e-5)


@ALL
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 5e-2)]
)
def test_values_and_gradients(targets, dtype, tolerance):
    found, wanted = (partial(f, targets, dtype=dtype) for f in (ours, expected))
    assert_close(jax.jit(found)(*OPERANDS), jax.jit(wanted)(*OPERANDS), tolerance)
    found, wanted = (jax.jit(partial(gradients, f)) for f in (found, wanted))
    assert_close(found(*OPERANDS), wanted(*OPERANDS), tolerance)


@ALL
def test_second_derivatives(targets):
    def curvature(losses):
        def length(*operands):
            found = gradients(partial(losses, targets), *operands)
            return optax.tree.norm(found, squared=True)

        return jax.jit(jax.grad(length, (0, 1, 2)))(*OPERANDS)

    assert_close(curvature(ours), curvature(expected), 1e-3)


@ALL
def test_batches_of_batches(targets):
    many = jnp.stack([targets, jnp.roll(targets, 2)])

    def of_each(losses):
        def one(targets):
            return gradients(partial(losses, targets), *OPERANDS)

        return jax.jit(jax.vmap(one))(many)

    assert_close(of_each(ours), of_each(expected), 1e-5)


@ALL
def test_no_index_is_out_of_bounds(targets):
    step = checkify.checkify(
        partial(gradients, partial(ours, targets)),
        checkify.index_checks | checkify.nan_checks,
    )
    error, _ = jax.jit(step)(*OPERANDS)
    error.throw()

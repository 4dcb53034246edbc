"""All steps at once are the steps one by one, whatever the recurrence does."""

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtext as jt
from jaxtext.kernels import newton

CELLS = {"para_gru": jt.para_gru, "para_lstm": jt.para_lstm}


def made(name, dtype, length, scale=1.0):
    cell = CELLS[name](8, dtype=dtype, param_dtype=dtype)
    params, state, _ = contracts.make(cell, contracts.Case(batch=2, dtype=dtype))
    params = jax.tree.map(lambda x: scale * x, params)
    key = jax.random.key(3)
    return cell, params, state, jax.random.normal(key, (2, length, contracts.D), dtype)


@pytest.mark.parametrize(
    ("dtype", "values", "gradients"),
    [("float32", 1e-5, 1e-4), ("float64", 1e-12, 1e-10)],
)
@pytest.mark.parametrize("length", [1, 2, 1000])
@pytest.mark.parametrize("name", CELLS)
def test_long_sequences_lose_no_precision(name, length, dtype, values, gradients):
    with jax.enable_x64(dtype == "float64"):
        cell, params, state, xs = made(name, dtype, length, scale=2.0)

        def run(backend):
            def loss(params, state, xs):
                found = jt.unroll(cell, params, state, xs, backend=backend)
                return contracts.total(found) / length, found

            gradient = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)
            (_, found), gradient = gradient(params, state, xs)
            return found, gradient

        (found, gradient), (expected, by_scan) = run("newton"), run("scan")
        contracts.assert_close(found, expected, values)
        contracts.assert_close(gradient, by_scan, gradients)


@pytest.mark.parametrize("name", CELLS)
def test_a_few_iterations_are_enough(name):
    cell, params, state, xs = made(name, "float32", 2000)
    counts = []
    for length in (20, 2000):
        there = jnp.moveaxis(xs[:, :length], 1, 0)
        count, worst = newton.converge(cell, params, state, there)
        assert worst <= newton.tolerance("float32")
        counts.append(int(count))
    assert 2 <= counts[0] <= counts[1] <= 6


@pytest.mark.parametrize("name", CELLS)
def test_steep_slopes_are_no_obstacle(name, monkeypatch):
    cell, params, state, xs = made(name, "float32", 1000, scale=8.0)
    operands = cell, params, state, jnp.moveaxis(xs, 1, 0)
    count, worst = newton.converge(*operands)
    assert worst <= newton.tolerance("float32")
    monkeypatch.setattr(newton, "NEAR", jnp.inf)
    slow, _ = newton.converge(*operands)
    assert count < slow


def chaotic(params, states, inputs):
    """The logistic map, whose states all depend on the last bit of the first."""
    del inputs
    return tuple(1 - params * x**2 for x in states)


def one_by_one(step, params, inputs, start):
    def body(state, here):
        state = step(params, state, here)
        return state, state

    return jax.lax.scan(body, start, inputs)[1]


@pytest.mark.parametrize("broken", [False, True])
def test_what_does_not_converge_is_taken_step_by_step(broken):
    start, inputs = (jnp.array([0.3]),), jnp.zeros((300, 1))
    rate = jnp.float32(2.5 if broken else 2.0)  # with 2.5 it runs away to infinity
    operands = chaotic, rate, inputs, start
    _, worst, count = newton.iterate(*operands)
    assert not worst <= newton.tolerance("float32")
    assert count <= newton.MOST_ITERATIONS
    (found,), (expected,) = newton.solve(*operands), one_by_one(*operands)
    np.testing.assert_array_equal(found, expected)
    assert bool(jnp.isfinite(expected[-1, 0])) is not broken


@pytest.mark.parametrize("name", CELLS)
def test_what_is_not_finite_stays_where_it_came_from(name):
    cell, params, state, xs = made(name, "float32", 20)
    xs = xs.at[1, 12, 0].set(jnp.nan)
    found, expected = (
        jt.unroll(cell, params, state, xs, backend=backend)[1]
        for backend in ("newton", "scan")
    )
    contracts.assert_close(found, expected)
    assert bool(jnp.isfinite(found[0]).all() & jnp.isfinite(found[1, :12]).all())
    assert bool(jnp.isnan(found[1, 12:]).all())


@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_has_a_gradient(name):
    cell, params, state, xs = made(name, "float32", 6)

    def slope(params, backend):
        def loss(params):
            return contracts.total(jt.unroll(cell, params, state, xs, backend=backend))

        return contracts.total(jax.grad(loss)(params))

    found, expected = (jax.grad(slope)(params, way) for way in ("newton", "scan"))
    contracts.assert_close(found, expected, 1e-4)

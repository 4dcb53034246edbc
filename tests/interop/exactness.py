"""What a conversion has to keep: the function, its gradients, the weights."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxtext as jt

B, T, D, H = 2, 6, 3, 5  # odd, and all different: a transposed kernel cannot pass


def noisy(tree, seed=0):
    """Weights away from their start: no bias is zero."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return jax.tree.unflatten(
        structure,
        [
            x + 0.3 * jax.random.normal(key, x.shape, x.dtype)
            for x, key in zip(leaves, keys, strict=True)
        ],
    )


def start(cell, seed=1):
    return noisy(cell.init(jax.random.key(seed), D), seed)


def narrow(params):
    return jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)


def inputs(dtype=jnp.float32):
    return jax.random.normal(jax.random.key(7), (B, T, D), dtype)


@partial(jax.jit, static_argnums=0)
def ours(cell, params, xs):
    """Outputs ``[B, T, H]``."""
    return jt.unroll(cell, params, cell.initial_state(xs.shape[:-2]), xs)[1]


def cotangent(ys):
    """What outputs are weighted by, so that no two gradients are alike."""
    return jax.random.normal(jax.random.key(8), ys.shape, ys.dtype)


@partial(jax.jit, static_argnums=0)
def outputs_and_gradients(function, weights, xs):
    """``function(weights, xs)``, and its gradients with respect to both."""
    ys, pull = jax.vjp(function, weights, xs)
    return ys, pull(cotangent(ys))


def compare(what, theirs, here, tolerance):
    """Prints and returns the largest difference; fails where it is too large."""
    assert jax.tree.structure(theirs) == jax.tree.structure(here)
    worst = 0.0
    for a, b in zip(jax.tree.leaves(theirs), jax.tree.leaves(here), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        assert a.any(), "nothing was compared"
        worst = max(worst, float(np.abs(a - b).max()))
    print(f"largest difference, {what}: {worst:.1e}")
    assert worst < tolerance
    return worst


def same_function(name, run, convert, weights, xs, tolerance=3e-6):
    """Outputs and gradients of a peer that is written in JAX, against ours.

    ``run(weights, xs)`` is the peer's outputs, ``convert(weights)`` our network. The
    gradient with respect to *their* weights goes through the conversion.
    """
    theirs = outputs_and_gradients(run, weights, xs)
    here = outputs_and_gradients(lambda w, x: ours(*convert(w), x), weights, xs)
    compare(f"{name}, outputs", theirs[0], here[0], tolerance)
    compare(f"{name}, gradients", theirs[1], here[1], 5 * tolerance)


def same_weights(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))

"""Cells as in a textbook: a few lines, a scan, and JAX's own gradient."""

import jax
import jax.numpy as jnp


def rnn(params, h, x):
    """Elman's network."""
    h = jnp.tanh(x @ params["w"] + h @ params["u"] + params["b"])
    return h, h


def lstm(params, state, x):
    """Long short-term memory."""
    c, h = state
    gates = x @ params["w"] + h @ params["u"] + params["b"]
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (c, h), h


def gru(params, h, x):
    """Gated recurrent unit, with the reset gate after the product as in torch."""
    x_r, x_z, x_n = jnp.split(x @ params["w"] + params["b"], 3, axis=-1)
    h_r, h_z, h_n = jnp.split(h @ params["u"] + params["b_h"], 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h = (1 - z) * jnp.tanh(x_n + r * h_n) + z * h
    return h, h


def unroll(step, params, state, xs):
    """Applies a step along time-major `xs`."""
    return jax.lax.scan(lambda state, x: step(params, state, x), state, xs)

"""The LSTM's part of a fused recurrence: gates in the order ``i, f, g, o``."""

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import Gates


def _forward(z, u, inner, state, activate):
    del inner
    c_tm1, h_tm1 = state
    z = jax.tree.map(lambda z, u: (z + u).astype(c_tm1.dtype), z, u)
    i, f, g, o = activate(z, (True, True, False, True))
    c = f * c_tm1 + i * g
    h = (o * jnp.tanh(c)).astype(h_tm1.dtype)
    return (c, h), (i, f, g, o)


def _backward(dstate, saved, state, inner):
    del inner
    dc, dh = dstate
    i, f, g, o = saved
    c_tm1, h_tm1 = state
    dh = dh.astype(dc.dtype)
    tanh_c = jnp.tanh(f * c_tm1 + i * g)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    dz = (
        dc * g * i * (1 - i),
        dc * c_tm1 * f * (1 - f),
        dc * i * (1 - g * g),
        dh * tanh_c * o * (1 - o),
    )
    return (dz,), (dc * f, jnp.zeros_like(h_tm1)), None


LSTM = Gates("lstm", _forward, _backward, saved=4)

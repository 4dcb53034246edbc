"""The GRU's part of a fused recurrence, reset after: gates ``r, z, n``."""

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import Gates, last_apart
from jaxtext.kernels.products import along


def _forward(z, u, inner, state, activate):
    (h_tm1,) = state
    hidden = h_tm1.shape[-1]
    (z_rz, z_n), (u_rz, u_n) = last_apart(z, hidden), last_apart(u, hidden)
    r, z = activate(jax.tree.map(jnp.add, z_rz, u_rz), (True, True))
    u_n = u_n + along(inner, u_n).astype(u_n.dtype)
    n = jnp.tanh(z_n + r * u_n)
    return ((1 - z) * n + z * h_tm1,), (r, z, n, u_n)


def _backward(dstate, saved, state, inner):
    del inner
    (dh,) = dstate
    r, z, n, u_n = saved
    (h_tm1,) = state
    dn = dh * (1 - z) * (1 - n * n)
    dr = dn * u_n * r * (1 - r)
    dz = dh * (h_tm1 - n) * z * (1 - z)
    du_n = dn * r
    return ((dr, dz, dn), (dr, dz, du_n)), (dh * z,), du_n


GRU = Gates("gru", _forward, _backward, saved=4, differ=True, reads_h=True)

"""One step of each layer-norm cell without its products, and the same backwards.

The recurrent kernel comes with its mean over columns subtracted (`centred`), and so
does what ``z`` is made of where that is still to be normalised. A product with it has
mean zero already, so that its normalisation is a division::

    û = u r,  r = 1 / sqrt(mean(u²) + ε)

The derivative of ``α ⊙ û``, where ``v`` is what comes in::

    dα = Σ v ⊙ û,  du = r (α ⊙ v - û mean(α ⊙ v ⊙ û))

It lacks the mean of ``α ⊙ v``, which is the derivative of `centred` and is subtracted
there, once for all steps: ``du Uᵀ`` and ``h_tm1ᵀ du`` with a centred ``U`` are the same
with and without it. The cell state is not a product, so its normalisation has both::

    ĉ = (c - mean(c)) s,  s = 1 / sqrt(mean((c - mean(c))²) + ε)
    dc = s (w - mean(w) - ĉ mean(w ⊙ ĉ)),  w = α_c ⊙ v

Each function is one of `jaxtext.kernels.gates.Gates`. `z` and `u` are ``[B, G H]``, or
tuples of ``G`` arrays ``[B, H]``, and so are the scales of products in `inner`, with
one row. What is saved is a tuple of arrays ``[B, H]``, and of ``[B, 1]`` for what a
whole row has in common.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import last_apart
from jaxtext.types import Array

EPSILON = 1e-5


def centred(kernel: Array) -> Array:
    """A kernel whose products have the mean zero: ``U - mean(U)``, row by row.

    In at least float32. ``x U - mean(x U) = x (U - mean(U))``.

    Args:
      kernel: ``[D, F]``, all columns being normalised together.
    """
    kernel = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))
    return kernel - kernel.mean(-1, keepdims=True)


def mean(x: Array) -> Array:
    """The mean of each row, ``[B, 1]``."""
    return x.mean(-1, keepdims=True)


def parts(x: Any, hidden: int) -> tuple[Array, ...]:
    """Gates side by side, one by one."""
    if isinstance(x, tuple):
        return x
    return tuple(jnp.split(x, x.shape[-1] // hidden, axis=-1))


def _wide(x):
    """In the type that means are taken in."""
    return jax.tree.map(lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32)), x)


def _reciprocal(gates):
    """``1 / sqrt(mean(x²) + ε)``, the mean being over several gates."""
    square = sum(jnp.square(gate) for gate in gates)
    return jax.lax.rsqrt(mean(square) / len(gates) + EPSILON)


def _derivative(v, hats, scales, reciprocal):
    """``du``, gate by gate, of gates that are normalised together."""
    w = [v * scale for v, scale in zip(v, scales, strict=True)]
    common = mean(sum(w * hat for w, hat in zip(w, hats, strict=True))) / len(hats)
    return tuple(
        reciprocal * (w - hat * common) for w, hat in zip(w, hats, strict=True)
    )


def rnn_forward(z, u, inner, state, activate):
    """``h = tanh(α ⊙ LN(z + u) + b)``; `inner` is ``(α, b)``, each ``[1, H]``."""
    del activate
    (h_tm1,), (scale, bias) = state, jax.tree.leaves(inner)
    (z,), (u,) = jax.tree.leaves(z), jax.tree.leaves(u)
    total = _wide(z) + _wide(u)
    reciprocal = _reciprocal((total,))
    hat = total * reciprocal
    h = jnp.tanh(scale * hat + bias).astype(h_tm1.dtype)
    return (h,), (h, hat, reciprocal)


def rnn_backward(dstate, saved, state, inner):
    """``dz``, which is ``du``; then by the state and by `inner`, row by row."""
    del state
    (dh,), (h, hat, reciprocal), (scale, _) = dstate, saved, jax.tree.leaves(inner)
    dh, h, hat = _wide((dh, h, hat))
    v = dh * (1 - h * h)
    dz = _derivative((v,), (hat,), (scale,), reciprocal)
    return (dz,), (jnp.zeros_like(dstate[0]),), (v * hat, v)


def lstm_forward(z, u, inner, state, activate):
    """``z`` is normalised already; `inner` is ``(α, α_c, b_c)``."""
    c_tm1, h_tm1 = state
    scale, cell_scale, cell_bias = inner
    hidden = c_tm1.shape[-1]
    u = _wide(u)
    reciprocal = _reciprocal(parts(u, hidden))
    hat = jax.tree.map(lambda u: u * reciprocal, u)
    z = jax.tree.map(lambda z, scale, hat: z + scale * hat, z, scale, hat)
    i, f, g, o = activate(z, (True, True, False, True))
    c = f * c_tm1 + i * g
    centre = mean(c)
    cell_reciprocal = _reciprocal((c - centre,))
    read = jnp.tanh(cell_scale * ((c - centre) * cell_reciprocal) + cell_bias)
    h = (o * read).astype(h_tm1.dtype)
    rows = reciprocal, centre, cell_reciprocal
    return (c, h), (i, f, g, o, *parts(hat, hidden), *rows)


def lstm_backward(dstate, saved, state, inner):
    """``dz`` and ``du``; then by the state and by `inner`, row by row."""
    (dc, dh), (c_tm1, h_tm1) = dstate, state
    i, f, g, o, *hats, reciprocal, centre, cell_reciprocal = saved
    scale, cell_scale, cell_bias = inner
    hidden = c_tm1.shape[-1]
    dh = dh.astype(dc.dtype)
    cell_hat = (f * c_tm1 + i * g - centre) * cell_reciprocal
    read = jnp.tanh(cell_scale * cell_hat + cell_bias)
    v = dh * o * (1 - read * read)
    w = v * cell_scale
    through = w - mean(w) - cell_hat * mean(w * cell_hat)
    dc = dc + cell_reciprocal * through
    dz = (
        dc * g * i * (1 - i),
        dc * c_tm1 * f * (1 - f),
        dc * i * (1 - g * g),
        dh * read * o * (1 - o),
    )
    du = _derivative(dz, hats, parts(scale, hidden), reciprocal)
    dscale = tuple(dz * hat for dz, hat in zip(dz, hats, strict=True))
    return (dz, du), (dc * f, jnp.zeros_like(h_tm1)), (dscale, v * cell_hat, v)


def gru_forward(z, u, inner, state, activate):
    """``z`` is normalised already; `inner` is ``(α, b_hn)``, ``α`` of all gates."""
    (h_tm1,), (scale, bias) = state, inner
    hidden = h_tm1.shape[-1]
    z_rz, z_n = last_apart(z, hidden)
    u_rz, u_n = last_apart(_wide(u), hidden)
    scale_rz, scale_n = last_apart(scale, hidden)
    reciprocal = _reciprocal(parts(u_rz, hidden))
    reciprocal_n = _reciprocal((u_n,))
    hat_rz = jax.tree.map(lambda u: u * reciprocal, u_rz)
    hat_n = u_n * reciprocal_n
    z_rz = jax.tree.map(lambda z, scale, hat: z + scale * hat, z_rz, scale_rz, hat_rz)
    r, z = activate(z_rz, (True, True))
    n = jnp.tanh(z_n + r * (scale_n * hat_n + bias))
    h = ((1 - z) * n + z * h_tm1).astype(h_tm1.dtype)
    hats = *parts(hat_rz, hidden), hat_n
    return (h,), (r, z, n, *hats, reciprocal, reciprocal_n)


def gru_backward(dstate, saved, state, inner):
    """``dz`` and ``du``; then by the state and by `inner`, row by row."""
    (dh,), (h_tm1,), (scale, bias) = dstate, state, inner
    r, z, n, *hats, reciprocal, reciprocal_n = _wide(saved)
    hat_r, hat_z, hat_n = hats
    dh, h_tm1 = _wide((dh, h_tm1))
    scale_r, scale_z, scale_n = parts(scale, h_tm1.shape[-1])
    dn = dh * (1 - z) * (1 - n * n)
    dr = dn * (scale_n * hat_n + bias) * r * (1 - r)
    dz = dh * (h_tm1 - n) * z * (1 - z)
    inside = dn * r
    du_rz = _derivative((dr, dz), (hat_r, hat_z), (scale_r, scale_z), reciprocal)
    du_n = _derivative((inside,), (hat_n,), (scale_n,), reciprocal_n)
    dscale = dr * hat_r, dz * hat_z, inside * hat_n
    dpre = (dr, dz, dn), (*du_rz, *du_n)
    return dpre, ((dh * z).astype(dstate[0].dtype),), (dscale, inside)

"""One step of each layer-norm cell without its products, and the same backwards.

The recurrent kernel comes with its mean over columns subtracted (`centred`), so that a
product with it has the mean zero already, and its normalisation is a division::

    û = u r,  r = 1 / sqrt(mean(u²) + ε),  v = α ⊙ û

Backwards, for the gradient ``dv``::

    dα = Σ dv ⊙ û,  du = r (α ⊙ dv - û mean(α ⊙ dv ⊙ û))

That lacks the mean of ``α ⊙ dv``, which is in the derivative of `centred` and is
subtracted there, once for all steps: ``du Uᵀ`` and ``h_tm1ᵀ du`` with a centred ``U``
are the same with and without it. The step after it, from ``z`` and ``v``, is that of a
plain cell or nearly so: that of the GRU, and that of an LSTM which reads its memory
normalised. The memory is no product, so its normalisation has both means::

    ĉ = (c - mean(c)) s,  s = 1 / sqrt(mean((c - mean(c))²) + ε)
    dc = s (w - mean(w) - ĉ mean(w ⊙ ĉ)),  w = α_c ⊙ dread
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.gates import Gates, Normed, parts
from jaxtext.kernels.gru import GRU
from jaxtext.target import target
from jaxtext.types import Array

Normalised: TypeAlias = tuple[Array, list[Array]]

EPSILON = 1e-5


def centred(kernel: Array) -> Array:
    """A kernel whose products have the mean zero: ``U - mean(U)``, row by row.

    In at least float32. ``x U - mean(x U) = x (U - mean(U))``.

    Args:
      kernel: ``[D, F]``, all columns being normalised together.
    """
    kernel = _wide(kernel)
    kernel -= kernel.mean(-1, keepdims=True)
    # Again, since the mean of large numbers is rounded.
    return kernel - kernel.mean(-1, keepdims=True)


def normalise(u: Array, groups: tuple[int, ...]) -> Normalised:
    """``û``, and each group's ``r``, of which every row has one.

    Args:
      u: ``[B, G H]``, a product with a `centred` kernel.
      groups: How many gates are normalised together.

    Returns:
      ``[B, G H]``, and ``[B, 1]`` for each group, in at least float32.
    """
    u = _wide(u)
    reciprocals = [jax.lax.rsqrt(x + EPSILON) for x in _means(jnp.square(u), groups)]
    return u * _spread(reciprocals, groups, u), reciprocals


def rescaled(normalised: Normalised, scale: Array, bias: Array | None = None) -> Array:
    """``α ⊙ û + b`` of what `normalise` returned, both being rows ``[1, G H]``."""
    hat, _ = normalised
    scale = scale.astype(hat.dtype)
    return scale * hat if bias is None else scale * hat + bias.astype(hat.dtype)


def normalise_backward(
    dv: Array, normalised: Normalised, scale: Array, groups: tuple[int, ...]
) -> tuple[Array, Array]:
    """``du``, and what is to be summed to ``dα``, both ``[B, G H]``.

    Args:
      dv: ``[B, G H]``, the gradient by ``α ⊙ û``.
      normalised: What `normalise` returned.
      scale: ``α [1, G H]``.
      groups: How many gates are normalised together.
    """
    hat, reciprocals = normalised
    dv = dv.astype(hat.dtype)
    w = dv * scale.astype(hat.dtype)
    common = _spread(_means(w * hat, groups), groups, w)
    return _spread(reciprocals, groups, w) * (w - hat * common), dv * hat


def mean(x: Array) -> Array:
    """The mean of each row, ``[B, 1]``.

    On the CPU XLA's loop over a row does one addition after another. A product is
    vectorised, and has XLA compute `x` once.
    """
    if target().platform == "cpu":
        ones = jnp.full_like(x, 1 / x.shape[-1], shape=(x.shape[-1], 1))
        return jnp.matmul(x, ones, precision=jax.lax.Precision.HIGHEST)
    return x.mean(-1, keepdims=True)


def _wide(x: Any) -> Any:
    """In the type that means are taken in."""

    def of_leaf(x):
        return x.astype(accumulation_dtype(x.dtype))

    return jax.tree.map(of_leaf, x)


def _means(x, groups):
    """The mean of each group, ``[B, 1]``: first over its gates, then over units."""
    gates, means = list(parts(x, x.shape[-1] // sum(groups))), []
    for n in groups:
        group, gates = gates[:n], gates[n:]
        means.append(mean(sum(group) / n))
    return means


def _spread(rows, groups, like):
    """What the gates of a group have in common, for each of its columns."""
    hidden = like.shape[-1] // sum(groups)
    columns = jax.lax.broadcasted_iota(jnp.int32, (1, like.shape[-1]), 1)
    spread, end = rows[-1], like.shape[-1]
    for row, n in zip(rows[-2::-1], groups[:0:-1], strict=True):
        end -= n * hidden
        spread = jnp.where(columns < end, row, spread)
    return spread


def _whole(x):
    """Gates side by side."""
    return jnp.concatenate(x, axis=-1) if isinstance(x, tuple) else x


def _lstm_forward(z, u, inner, state, activate):
    c_tm1, h_tm1 = state
    scale, bias = _wide(inner)
    i, f, g, o = activate(jax.tree.map(jnp.add, z, u), (True, True, False, True))
    c = f * c_tm1 + i * g
    centre = mean(c)
    reciprocal = jax.lax.rsqrt(mean(jnp.square(c - centre)) + EPSILON)
    read = jnp.tanh(scale * ((c - centre) * reciprocal) + bias)
    h = (o * read).astype(h_tm1.dtype)
    return (c, h), (i, f, g, o, centre, reciprocal)


def _lstm_backward(dstate, saved, state, inner):
    (dc, dh), (c_tm1, h_tm1) = dstate, state
    i, f, g, o, centre, reciprocal = saved
    scale, bias = _wide(inner)
    dh = dh.astype(dc.dtype)
    hat = (f * c_tm1 + i * g - centre) * reciprocal
    read = jnp.tanh(scale * hat + bias)
    dread = dh * o * (1 - read * read)
    w = dread * scale
    dc = dc + reciprocal * (w - mean(w) - hat * mean(w * hat))
    dz = (
        dc * g * i * (1 - i),
        dc * c_tm1 * f * (1 - f),
        dc * i * (1 - g * g),
        dh * read * o * (1 - o),
    )
    return (dz,), (dc * f, jnp.zeros_like(h_tm1)), (dread * hat, dread)


def _rnn_forward(z, u, inner, state, activate):
    del activate
    (h_tm1,), (scale, bias) = state, _wide(jax.tree.leaves(inner))
    (z,), (u,) = jax.tree.leaves(z), jax.tree.leaves(u)
    total = _wide(z) + _wide(u)
    reciprocal = jax.lax.rsqrt(mean(jnp.square(total)) + EPSILON)
    hat = total * reciprocal
    h = jnp.tanh(scale * hat + bias).astype(h_tm1.dtype)
    return (h,), (h, hat, reciprocal)


def _rnn_backward(dstate, saved, state, inner):
    del state
    (dh,), (scale, _) = dstate, _wide(jax.tree.leaves(inner))
    h, hat, reciprocal = _wide(saved)
    dinside = _wide(dh) * (1 - h * h)
    w = dinside * scale
    dz = reciprocal * (w - hat * mean(w * hat))
    return ((dz,),), (jnp.zeros_like(dh),), (dinside * hat, dinside)


def _joined(name: str, gates: Gates, groups: tuple[int, ...]) -> Gates:
    """A normalised recurrent product and the step after it, as one step.

    Its `inner` is ``(α, inner)``, the second being that of `gates`. It saves what
    `gates` saves, ``û`` of each gate, and of each row ``r`` and what `gates` has.

    Args:
      name: Of the cell.
      gates: The step after it.
      groups: How many gates are normalised together.
    """

    def forward(z, u, inner, state, activate):
        scale, inner = _wide(inner)
        hidden = state[-1].shape[-1]
        hat, reciprocals = normalise(_whole(u), groups)
        v = _whole(scale) * hat
        v = parts(v, hidden) if isinstance(z, tuple) else v
        after, saved = gates.forward(_wide(z), v, inner, state, activate)
        after = tuple(a.astype(b.dtype) for a, b in zip(after, state, strict=True))
        saved, rows = saved[: gates.saved], saved[gates.saved :]
        return after, (*saved, *parts(hat, hidden), *reciprocals, *rows)

    def backward(dstate, saved, state, inner):
        scale, inner = _wide(inner)
        hidden = state[-1].shape[-1]
        ends = np.cumsum([gates.saved, sum(groups), len(groups)])
        kept, hats, reciprocals, rows = (
            tuple(saved[i:j]) for i, j in zip((0, *ends), (*ends, None), strict=True)
        )
        kept = (*_wide(kept), *rows)
        dpre, dbefore, dinner = gates.backward(_wide(dstate), kept, _wide(state), inner)
        dbefore = tuple(d.astype(s.dtype) for d, s in zip(dbefore, dstate, strict=True))
        of_u = _whole(_wide(hats)), list(reciprocals)
        found = normalise_backward(_whole(dpre[-1]), of_u, _whole(scale), groups)
        du, dscale = (parts(x, hidden) for x in found)
        return (dpre[0], du), dbefore, (dscale, dinner)

    return Gates(
        name,
        forward,
        backward,
        saved=gates.saved + sum(groups),
        row_values=gates.row_values + len(groups),
        differ=True,
        reads_h=gates.reads_h,
        normed=Normed(gates, groups),
    )


LAYER_NORM_RNN = Gates(
    "layer_norm_rnn", _rnn_forward, _rnn_backward, saved=2, row_values=1
)
LAYER_NORM_LSTM = _joined(
    "layer_norm_lstm",
    Gates("", _lstm_forward, _lstm_backward, saved=4, row_values=2),
    (4,),
)
LAYER_NORM_GRU = _joined("layer_norm_gru", GRU, (2, 1))

"""The plain network's part of a fused recurrence."""

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import Gates


def _forward(z, u, inner, state, activate):
    del inner, state, activate
    (z,), (u,) = jax.tree.leaves(z), jax.tree.leaves(u)
    h = jnp.tanh(z + u)
    return (h,), (h,)


def _backward(dstate, saved, state, inner):
    del state, inner
    (dh,), (h,) = dstate, saved
    return ((dh * (1 - h * h),),), (jnp.zeros_like(dh),), None


RNN = Gates("rnn", _forward, _backward, saved=1)

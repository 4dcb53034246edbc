"""The plain network's part of a fused recurrence."""

import jax
import jax.numpy as jnp

from jaxtext.kernels.gates import Gates


def _forward(z, u, recurrent_bias, state, activate):
    del recurrent_bias, state, activate
    (z,), (u,) = jax.tree.leaves(z), jax.tree.leaves(u)
    h = jnp.tanh(z + u)
    return (h,), (h,)


def _backward(dstate, saved, state):
    del state
    (dh,), (h,) = dstate, saved
    return ((dh * (1 - h * h),),), (jnp.zeros_like(dh),)


RNN = Gates("rnn", _forward, _backward, saved=1)

"""The way from a cell to the kernels: batch axes made one, parameters by name."""

import math

import jax
import jax.numpy as jnp

from jaxtext.kernels.fused import recurrence
from jaxtext.kernels.gates import Gates, Recurrence, Weights
from jaxtext.types import Backend, DType


def fused(gates: Gates, dtype: DType) -> Backend:
    """The backend of a cell whose step is `gates` between two products.

    The cell's initial state is zero, and its parameters are ``kernel``,
    ``recurrent_kernel``, ``bias`` and, if it has one, ``recurrent_bias``.
    """

    def sequence(params, state, xs, masks, noise, keep):
        del noise
        batch_shape = jax.tree.leaves(state)[0].shape[:-1]
        batch = math.prod(batch_shape)

        def flat(x):
            """[T, B…, …] -> [T, B, …]"""
            return x.reshape(x.shape[0], batch, *x.shape[1 + len(batch_shape) :])

        leaves, structure = jax.tree.flatten(state)  # c before h
        resets = masks.resets
        operands = (
            Weights(*(params.get(name) for name in Weights._fields)),
            tuple(x.reshape(batch, x.shape[-1]) for x in leaves),
            flat(xs),
            None if resets is None else flat(resets[:-1]),
            None if masks.valid is None else flat(masks.valid),
        )
        what = Recurrence(gates, dtype, keep)
        leaves, ys = recurrence(what, *operands)
        leaves = [x.reshape(*batch_shape, x.shape[-1]) for x in leaves]
        if resets is not None:
            last = resets[-1][..., None]
            leaves = [jnp.where(last, jnp.zeros_like(x), x) for x in leaves]
        ys = ys.reshape(ys.shape[0], *batch_shape, ys.shape[-1])
        return jax.tree.unflatten(structure, leaves), ys

    return Backend("fused", sequence)

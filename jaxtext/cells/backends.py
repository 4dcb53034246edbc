"""The way from a cell to the kernels: batch axes made one, parameters by name."""

import math

import jax
import jax.numpy as jnp

from jaxtext.kernels.fused import FUSED
from jaxtext.kernels.gates import Gates, Passes, Recurrence, Weights
from jaxtext.kernels.mosaic import MOSAIC
from jaxtext.kernels.recurrence import recurrence
from jaxtext.types import Backend, DType


def backends(gates: Gates, dtype: DType) -> tuple[Backend, ...]:
    """The backends of a cell whose step is `gates` between two products."""
    return _backend("fused", FUSED, gates, dtype), _backend(
        "mosaic", MOSAIC, gates, dtype
    )


def _backend(name: str, passes: Passes, gates: Gates, dtype: DType) -> Backend:
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
        what = Recurrence(passes, gates, dtype, keep)
        leaves, ys = recurrence(what, *operands)
        leaves = [x.reshape(*batch_shape, x.shape[-1]) for x in leaves]
        if resets is not None:
            last = resets[-1][..., None]
            leaves = [jnp.where(last, jnp.zeros_like(x), x) for x in leaves]
        ys = ys.reshape(ys.shape[0], *batch_shape, ys.shape[-1])
        return jax.tree.unflatten(structure, leaves), ys

    return Backend(name, sequence)

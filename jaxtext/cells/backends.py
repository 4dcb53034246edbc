"""The way from a cell to the kernels: batch axes made one, parameters by name."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxtext.kernels.divided import divide_gradient
from jaxtext.kernels.fused import FUSED
from jaxtext.kernels.gates import Gates, Operands, Passes, Recurrence, Weights
from jaxtext.kernels.mosaic import MOSAIC
from jaxtext.kernels.mosaic_gpu import MOSAIC_GPU
from jaxtext.kernels.recurrence import recurrence
from jaxtext.types import Activation, Array, Backend, DType, Params


def backends(
    gates: Gates, dtype: DType, activation: Activation, **more: Passes
) -> tuple[Backend, ...]:
    """The backends of a cell whose step is `gates` between two products.

    The cell's initial state is zero. Its parameters are ``kernel``,
    ``recurrent_kernel`` and, unless it is without biases, ``bias`` and what else
    `gates` has. `more` are further backends that only these gates have.
    """
    known = {"fused": FUSED, "mosaic": MOSAIC, "mosaic_gpu": MOSAIC_GPU, **more}
    made_of = partial(_plain, gates)
    return tuple(
        backend(name, passes, gates, dtype, activation, made_of)
        for name, passes in known.items()
    )


def backend(
    name: str,
    passes: Passes,
    gates: Gates,
    dtype: DType,
    activation: Activation,
    made_of: Callable[[Params, Array], tuple[Weights, Array]],
) -> Backend:
    """One backend of a cell whose step is `gates` between two products.

    Args:
      name: What it is called.
      passes: How it takes the sequence.
      gates: The step.
      dtype: The type of the products.
      activation: That of the cell.
      made_of: ``(params, xs) -> (weights, xs)``, what the recurrence is taken over;
        `xs` are ``[T, B, D]``, or symbols ``[T, B]``.
    """

    def lacks(target, params, state, xs, masks):
        if activation is not jnp.tanh:
            return "its derivative is written for activation=jnp.tanh"
        what = Recurrence(passes, gates, dtype, True)
        operands = jax.eval_shape(operands_of, params, state, xs, masks)
        sizes = *operands.xs.shape, *operands.state[-1].shape
        if not passes.divisible and not all(isinstance(n, int) for n in sizes):
            return "kernels are made for known sizes, not for symbolic ones"
        return passes.lacks(target, what, operands)

    def sequence(params, state, xs, masks, noise, keep):
        del noise
        what = Recurrence(passes, gates, dtype, keep)
        params = divide_gradient(params)
        leaves, ys = recurrence(what, operands_of(params, state, xs, masks))
        first, *_ = jax.tree.leaves(state)
        batch_shape = first.shape[:-1]
        leaves = [x.reshape(*batch_shape, x.shape[-1]) for x in leaves]
        ys = ys.reshape(ys.shape[0], *batch_shape, ys.shape[-1])
        return jax.tree.unflatten(jax.tree.structure(state), leaves), ys

    operands_of = partial(_operands, made_of)
    return Backend(name, sequence, lacks, passes.divisible, gates.name)


def _plain(gates, params, xs):
    """The weights by name; biases of zero, whose gradient nobody asks for, if none."""
    names = "kernel", "recurrent_kernel", "bias", "recurrent_bias"
    weights = Weights(*map(params.get, names))
    if weights.bias is None:
        hidden, width = weights.recurrent_kernel.shape
        zeros = jnp.zeros_like(weights.kernel, shape=(width,))
        inner = zeros[:hidden] if gates.differ else None
        weights = weights._replace(bias=zeros, inner=inner)
    return weights, xs


def _operands(made_of, params, state, xs, masks):
    """What `recurrence` takes, all batch axes made one."""
    leaves = jax.tree.leaves(state)  # c before h
    batch_shape = leaves[0].shape[:-1]
    batch = math.prod(batch_shape)

    def flat(x):
        """[T, B…, …] -> [T, B, …]"""
        return x.reshape(x.shape[0], batch, *x.shape[1 + len(batch_shape) :])

    weights, xs = made_of(params, flat(xs))
    return Operands(
        weights,
        tuple(x.reshape(batch, x.shape[-1]) for x in leaves),
        xs,
        None if masks.resets is None else flat(masks.resets),
        None if masks.valid is None else flat(masks.valid),
    )

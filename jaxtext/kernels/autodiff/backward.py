"""The backward pass: JAX differentiates each step, and the products wait."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxtext.floats import accumulation_dtype
from jaxtext.kernels.autodiff.forward import (
    Operands,
    Scan,
    Tape,
    Weights,
    step,
    weights_of,
)
from jaxtext.kernels.fused.chunks import chunk_length, that_fit
from jaxtext.kernels.masks import kept, out_of_step
from jaxtext.kernels.products import is_symbols, outer, product_gradients
from jaxtext.types import Array, Noise, State


def backward(
    what: Scan,
    operands: Operands,
    tape: Tape,
    cotangents: tuple[State, Array],
) -> Operands:
    """Gradients of the scan, chunk by chunk from the last one to the first.

    Args:
      what: The scan.
      operands: What it is of.
      tape: What `run` recorded.
      cotangents: Those of the last state and of the outputs.

    Returns:
      Gradients by params, state and inputs; ``None`` for those of symbols.
    """
    params, _, xs, resets, valid, noise = operands
    dstate, dys = cotangents
    plain, to_params, weights = jax.vjp(
        partial(weights_of, what, operands), params, has_aux=True
    )
    leaves, tree = jax.tree.flatten(params)
    # Here rather than in the loop, where XLA would make them part of the products.
    transposed = [[w.T for w in kernels] for kernels, _ in weights]

    def at(t):
        """What a step reads, and what its gradient does besides."""
        arrays = xs, noise.per_step, resets, valid, tape, dys
        x, per_step, reset, is_valid, (state, sums), dy = jax.tree.map(
            lambda x: jax.lax.dynamic_index_in_dim(x, t, keepdims=False), arrays
        )
        here = Noise(noise.per_sequence, per_step)
        if sums is None:
            _, sums = step(what, weights, params, state, x, here)
        return (state, x, sums, here), (reset, is_valid, dy)

    places = []  # where the factors of each sum are, among the inputs and the state

    def again(own, state, x, sums, here):
        """The step from its sums of products, and the factors that are nowhere else."""
        known = [x, *jax.tree.leaves(state)]
        factors = []
        places.clear()

        def given(*pairs, bias=None, dtype):
            del bias
            call = len(factors)
            lefts = [a for a, _ in pairs]
            places.append([_place(a, known) for a in lefts])
            factors.append([None if _place(a, known) is not None else a for a in lefts])
            # The gradient by the inputs can wait, too.
            through = [
                (a.astype(dtype), w)
                for a, w in zip(lefts, transposed[call], strict=True)
                if a is not x
            ]
            return _given(sums[call], through)

        values = [p if o is None else o for p, o in zip(leaves, own, strict=True)]
        after = what.step(tree.unflatten(values), state, x, here, multiply=given)
        return after, factors

    (state, x, sums, here), _ = at(0)
    reads, _, reads_x, _ = _read(partial(again, here=here), leaves, state, x, sums)
    own = [p if read else None for p, read in zip(leaves, reads, strict=True)]
    reads_x = reads_x and not is_symbols(xs)

    def one(carry, t):
        """One step backwards."""
        dstate, down = carry
        (state, x, sums, here), (reset, is_valid, dy) = at(t)

        def of(own, state, sums, floats):
            return again(own, state, floats if reads_x else x, sums, here)

        floats = x if reads_x else None
        _, pullback, factors = jax.vjp(of, own, state, sums, floats, has_aux=True)
        dhere, dbefore, dsums, dx = pullback(kept(is_valid, (dstate, dy)))
        dbefore, structure = jax.tree.flatten(dbefore)
        dbefore = out_of_step(is_valid, reset, dbefore, jax.tree.leaves(dstate))
        down = jax.tree.map(jnp.add, down, dhere)
        return (structure.unflatten(dbefore), down), (dsums, factors, dx)

    def chunk(carry, start, steps):
        """`steps` steps backwards, and then the products over them all."""
        *carry, dweights = carry
        along = start + jnp.arange(steps)
        carry, (dsums, factors, dx) = jax.lax.scan(
            one, tuple(carry), along, reverse=True
        )
        known = [
            jax.lax.dynamic_slice_in_dim(array, start, steps)
            for array in (xs, *jax.tree.leaves(tape.states))
        ]
        factors = [
            [a if i is None else known[i] for a, i in zip(of, place, strict=True)]
            for of, place in zip(factors, places, strict=True)
        ]
        dchunk, dthrough = _gradients(weights, factors, dsums, known[0])
        dweights = jax.tree.map(jnp.add, dweights, dchunk)
        return (*carry, dweights), _sum(dx, dthrough)

    def zero(x, dtype=None):
        return jnp.zeros_like(dys, shape=x.shape, dtype=dtype or x.dtype)

    length = dys.shape[0]
    of_weights = sum(w.size * _total(w).itemsize for w in jax.tree.leaves(weights))
    of_step = sum(x.size * x.dtype.itemsize for x in sums)
    steps = chunk_length(length, that_fit(of_weights, of_step))
    count, rest = divmod(length, steps)
    dweights = jax.tree.map(lambda w: zero(w, _total(w)), weights)
    carry, tail = (dstate, jax.tree.map(zero, own), dweights), None
    if rest:
        carry, tail = chunk(carry, length - rest, rest)
    body, starts = partial(chunk, steps=steps), steps * jnp.arange(count)
    carry, dxs = jax.lax.scan(body, carry, starts, reverse=True)
    dstate, down, dweights = carry
    dweights = jax.tree.map(lambda g, w: g.astype(w.dtype), dweights, plain)
    (dparams,) = to_params(dweights)
    dparams = [_sum(d, o) for d, o in zip(jax.tree.leaves(dparams), down, strict=True)]
    if dxs is not None:
        dxs = dxs.reshape(count * steps, *xs.shape[1:])
        dxs = dxs if tail is None else jnp.concatenate([dxs, tail])
    return Operands(tree.unflatten(dparams), dstate, dxs, None, None, None)


def _gradients(
    weights: list[Weights],
    factors: list[list[Array]],
    dsums: list[Array],
    xs: Array,
) -> tuple[list[Weights], Array | None]:
    """Gradients of sums of products by their weights, and by `xs` as a factor."""
    dweights, dxs = [], None
    for (kernels, bias), lefts, dy in zip(weights, factors, dsums, strict=True):
        total, dy = _total(dy), _rows(dy)
        dkernels = []
        for a, w in zip(lefts, kernels, strict=True):
            if a is xs:
                dx, dkernel = product_gradients(_rows(a), w, dy, total)
                dxs = _sum(dxs, None if dx is None else dx.reshape(xs.shape))
            else:
                dkernel = outer(_rows(a).astype(dy.dtype), dy, total)
            dkernels.append(dkernel)
        dbias = None if bias is None else dy.sum(0, dtype=total)
        dweights.append(Weights(dkernels, dbias))
    return dweights, dxs


def _given(total: Array, through: list[tuple[Array, Array]]) -> Array:
    """A sum of products that is known, whose kernels get their gradient elsewhere.

    `through` has those factors that get theirs here, each with its kernel transposed.
    """
    return _with_gradient(total, [a for a, _ in through], [w for _, w in through])


@jax.custom_vjp
def _with_gradient(total, lefts, transposed):
    del lefts, transposed
    return total


def _with_gradient_forward(total, lefts, transposed):
    del lefts
    return total, transposed


def _with_gradient_backward(transposed, dy):
    return dy, [dy @ w for w in transposed], None


_with_gradient.defvjp(_with_gradient_forward, _with_gradient_backward)


def _read(function: Any, *args: Any) -> Any:
    """For each leaf of the arguments, whether the function's results depend on it."""
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    read = set(map(id, jaxpr.outvars))
    for equation in reversed(jaxpr.eqns):
        if not read.isdisjoint(map(id, equation.outvars)):
            read.update(map(id, equation.invars))
    flags = [id(v) in read for v in jaxpr.invars]
    return jax.tree.unflatten(jax.tree.structure(args), flags)


def _place(array: Any, known: Sequence[Any]) -> int | None:
    return next((i for i, other in enumerate(known) if array is other), None)


def _sum(a: Any, b: Any) -> Any:
    """``a + b``, where ``None`` is zero."""
    return b if a is None else a if b is None else a + b


def _rows(x: Array) -> Array:
    return x.reshape(-1) if is_symbols(x) else x.reshape(-1, x.shape[-1])


def _total(x: Array) -> Any:
    """The type to add up in over time and batch: at least float32."""
    return accumulation_dtype(x.dtype)

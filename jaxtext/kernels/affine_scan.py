"""Affine recurrences, all steps at once.

::

    s_t = A_t s_tm1 + b_t        t = 1 … T

Two steps in a row are again such a step: ``(A, b)`` and then ``(A', b')`` is
``(A' A, A' b + b')``, and that is associative. So all steps take a number of rounds
that is logarithmic in ``T``. ``s`` is a small vector, one for each unit.

References:
  Blelloch, "Prefix sums and their applications", 1990, section 1.4.
"""

from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp

from jaxtext.types import Array

Vector: TypeAlias = tuple[Array, ...]
Matrix: TypeAlias = tuple[Vector, ...]  # rows


def affine_scan(
    matrices: Matrix,
    vectors: Vector,
    start: Vector,
    resets: Array | None = None,
    *,
    reverse: bool = False,
) -> Vector:
    """The states after each step.

    Args:
      matrices: ``A``, ``N`` rows of ``N`` arrays ``[T, …]``.
      vectors: ``b``, ``N`` arrays ``[T, …]``.
      start: ``s_0``, ``N`` arrays ``[…]``.
      resets: Flags ``[T, …]``: the state is zero before the step, whatever it was, NaN
        included.
      reverse: Whether to go from the last step to the first.

    Returns:
      ``N`` arrays ``[T, …]``.

    Example:
      >>> half, one = jnp.full((3, 1), 0.5), jnp.ones((3, 1))
      >>> (s,) = affine_scan(((half,),), (one,), (jnp.array([2.0]),))
      >>> s.ravel().tolist()
      [2.0, 2.0, 2.0]
    """

    def after(first, second):
        (a, b, cut), (a_2, b_2, cut_2) = first, second
        ab = product(a_2, a), added(times(a_2, b), b_2)
        if cut is None:
            return *ab, None
        ab = jax.tree.map(partial(jnp.where, cut_2), (a_2, b_2), ab)
        return *ab, cut | cut_2

    steps = matrices, vectors, resets
    a, b, cut = jax.lax.associative_scan(after, steps, reverse=reverse)
    seen = tuple(x[None] for x in start)
    if cut is not None:
        # Before the product, whose gradient would be zero times what was cut off.
        seen = tuple(jnp.where(cut, 0, x) for x in seen)
    return added(times(a, seen), b)


def times(a: Matrix, x: Vector) -> Vector:
    """``A x``."""
    return tuple(_sum(p * q for p, q in zip(row, x, strict=True)) for row in a)


def product(a: Matrix, b: Matrix) -> Matrix:
    """``A B``."""
    return transposed(tuple(times(a, column) for column in transposed(b)))


def transposed(a: Matrix) -> Matrix:
    """``Aᵀ``."""
    return tuple(zip(*a, strict=True))


def added(x: Vector, y: Vector) -> Vector:
    """``x + y``."""
    return tuple(p + q for p, q in zip(x, y, strict=True))


def _sum(terms):
    first, *others = terms
    return sum(others, first)
